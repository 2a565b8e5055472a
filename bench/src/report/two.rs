//! Two runs beside each other.

use super::facts::{self, Difference};
use super::html::{Cell, Html, Table, Tone};
use super::{curves, one};
use crate::load::latencies::{Summary, human};
use crate::load::{Latencies, Outcome};

/// A figure of a summary.
type Read = fn(&Summary) -> u64;
/// A figure of a run; none where the receivers are not ours.
type Told = fn(&Outcome) -> Option<f64>;

/// What of a histogram is compared.
const FIGURES: [(&str, Read); 5] = [
    ("p50", |summary| summary.p50_ns),
    ("p90", |summary| summary.p90_ns),
    ("p99", |summary| summary.p99_ns),
    ("p99.9", |summary| summary.p999_ns),
    ("most", |summary| summary.max_ns),
];

/// All that is to say of them. `names` are where they come from.
pub(super) fn show(html: &mut Html, names: [&str; 2], outcomes: [&Outcome; 2]) {
    let [first, second] = outcomes;
    for ((letter, name), outcome) in ["A", "B"].into_iter().zip(names).zip(outcomes) {
        let what = format!("{letter} is {name}: {}, {}", one::title(outcome), outcome.settings.variant);
        if outcome.is_valid() {
            html.block(Tone::Good, what, &[]);
        } else {
            html.block(
                Tone::Bad,
                format!("{what}. Not valid: its figures do not count."),
                &outcome.complaints,
            );
        }
    }
    warn(html, "machines", &facts::differences(&first.machine, &second.machine));
    warn(html, "settings", &facts::differences(&first.settings, &second.settings));
    html.heading("Rates and losses");
    html.table(&rates(first, second));
    html.heading("Latency");
    html.aside("B / A below 1: B is faster.");
    let ours = one::histograms(first);
    // A run whose receivers are not ours has fewer of them.
    let pairs = ours.into_iter().zip(one::histograms(second));
    for ((name, ours), (_, theirs)) in pairs {
        if ours.count() == 0 && theirs.count() == 0 {
            continue;
        }
        html.subheading(name);
        html.table(&latencies(ours, theirs));
        if let Some(svg) = curves::percentiles(&[("A", 0, ours), ("B", 1, theirs)]) {
            html.figure(format!("Percentiles, {name}"), &svg);
        }
    }
    let receivers =
        |outcome: &'_ Outcome| outcome.received.as_ref().map(|received| received.receivers.clone());
    let [ours, theirs] = outcomes.map(|outcome| receivers(outcome).unwrap_or_default());
    one::positions(html, &[("A, ", &ours), ("B, ", &theirs)]);
}

fn warn(html: &mut Html, what: &str, differences: &[Difference]) {
    if differences.is_empty() {
        return;
    }
    let told = |Difference { name, first, second }: &Difference| format!("{name}: {first} / {second}");
    let items: Vec<String> = differences.iter().map(told).collect();
    html.block(
        Tone::Warning,
        format!("The {what} differ (A / B), and so may the figures because of that."),
        &items,
    );
}

fn rates(first: &Outcome, second: &Outcome) -> Table {
    let mut table = Table::new("", &["", "A", "B", "B / A"]);
    let figures: [(&str, Told); 6] = [
        ("sent, messages/s", |outcome| Some(outcome.sent.rate())),
        ("delivered, messages/s", |outcome| outcome.received.as_ref().map(|_| outcome.delivered_per_s())),
        ("sent, messages", |outcome| Some(outcome.sent.sent as f64)),
        ("received, deliveries", |outcome| count(outcome, |total| total.received)),
        ("not there in time, deliveries", |outcome| count(outcome, |total| total.lost)),
        ("twice, deliveries", |outcome| count(outcome, |total| total.duplicates)),
    ];
    for (name, of) in figures {
        let (ours, theirs) = (of(first), of(second));
        let whole =
            |value: Option<f64>| value.map_or_else(Cell::none, |value| Cell::number(format!("{value:.0}")));
        table.rows.push(vec![Cell::number(name), whole(ours), whole(theirs), known_ratio(ours, theirs)]);
    }
    let loss = |outcome: &Outcome| outcome.loss().map_or("-".into(), |loss| format!("{:.4} %", 100.0 * loss));
    table.rows.push(vec![
        Cell::number("not there in time, part of the deliveries"),
        Cell::number(loss(first)),
        Cell::number(loss(second)),
        known_ratio(first.loss(), second.loss()),
    ]);
    table
}

fn count(outcome: &Outcome, of: fn(&crate::load::ledger::Account) -> u64) -> Option<f64> {
    outcome.received.as_ref().map(|received| of(&received.total) as f64)
}

fn latencies(ours: &Latencies, theirs: &Latencies) -> Table {
    let mut table = Table::new("", &["", "A", "B", "B / A"]);
    let (ours, theirs) = (ours.summary(), theirs.summary());
    for (name, of) in FIGURES {
        let cell = |summary: &Summary| {
            if summary.count == 0 { Cell::none() } else { Cell::number(human(of(summary))) }
        };
        let ratio = if ours.count == 0 || theirs.count == 0 {
            Cell::none()
        } else {
            ratio(of(&ours) as f64, of(&theirs) as f64)
        };
        table.rows.push(vec![Cell::number(name), cell(&ours), cell(&theirs), ratio]);
    }
    table
}

/// The ratio of two figures that both runs have.
fn known_ratio(ours: Option<f64>, theirs: Option<f64>) -> Cell {
    ours.zip(theirs).map_or_else(Cell::none, |(ours, theirs)| ratio(ours, theirs))
}

/// The second by the first, where there is such a thing.
fn ratio(ours: f64, theirs: f64) -> Cell {
    if ours == theirs {
        return Cell::number("1.000");
    }
    if ours > 0.0 { Cell::number(format!("{:.3}", theirs / ours)) } else { Cell::none() }
}
