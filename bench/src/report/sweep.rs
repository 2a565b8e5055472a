//! A sweep: what came of each rate, and where it gave.

use super::chart::{Chart, Line};
use super::facts;
use super::html::{Cell, Html, Table, Tone};
use super::scale::{Scale, number};
use crate::load::Outcome;
use crate::load::latencies::human;
use crate::sweep::{Knee, Limit, Point, Sweep};

/// What a sweep is called.
pub(super) fn title(sweep: &Sweep) -> String {
    let Some(Point { outcome, .. }) = sweep.points.first() else { return "An empty sweep".into() };
    format!("{}: how far it goes", outcome.settings.system)
}

/// All that is to say of it.
pub(super) fn show(html: &mut Html, sweep: &Sweep) {
    html.heading("Knees");
    html.paragraph(
        "A rate is kept when at least 99.5 % of it was achieved, at most 0.01 % of the deliveries did not come about, \
         repairs and all, and the 99th percentile was at most ten times that at the lowest rate.",
    );
    html.table(&knees(&sweep.knees));
    invalid(html, &sweep.points);
    html.heading("Latency and rate");
    let p99 = |outcome: &Outcome| {
        let received = outcome.received.as_ref()?;
        (received.latency.count() > 0).then(|| received.latency.at(0.99) as f64)
    };
    let latency = Chart {
        x: ("messages/s asked for", Scale::Counts),
        y: ("p99 of each receiver", Scale::Times),
        lines: lines(sweep, p99),
        rules: rules(&sweep.knees),
    };
    html.figure("99th percentile at each rate, up to the first that was not kept", &latency.svg());
    let achieved = Chart {
        x: ("messages/s asked for", Scale::Counts),
        y: ("messages/s achieved", Scale::Counts),
        // There is no place for 0 on this axis.
        lines: lines(sweep, |outcome| Some(achieved(outcome)).filter(|rate| *rate > 0.0)),
        rules: rules(&sweep.knees),
    };
    html.figure("Rate that was achieved", &achieved.svg());
    html.heading("Every step");
    html.table(&steps(&sweep.points));
    facts::machine(html, &sweep.machine);
}

fn knees(knees: &[Knee]) -> Table {
    let head = ["receivers", "payload", "highest rate kept", "first that was not", "what gave"];
    let mut table = Table::new("", &head);
    for Knee { receivers, size, kept, gave_at, gave } in knees {
        let rate =
            |rate: Option<f64>, none: &str| rate.map_or(none.to_owned(), |rate| format!("{rate} messages/s"));
        table.rows.push(vec![
            Cell::number(receivers),
            Cell::number(format!("{size} B")),
            Cell::number(rate(*kept, "not even the lowest")),
            Cell::number(rate(*gave_at, "none: the sweep ended before")),
            Cell::text(told(gave)),
        ]);
    }
    table
}

fn told(gave: &[Limit]) -> String {
    let all: Vec<String> = gave.iter().map(ToString::to_string).collect();
    if all.is_empty() { "-".into() } else { all.join(", ") }
}

/// Steps that do not count although nothing gave there.
fn invalid(html: &mut Html, points: &[Point]) {
    let steps = points.iter().filter(|point| point.gave.is_empty() && !point.outcome.is_valid());
    let items: Vec<String> = steps
        .map(|Point { outcome, .. }| {
            let settings = &outcome.settings;
            let (receivers, size, rate) = (settings.receivers, settings.size, settings.rate);
            format!("{receivers} receivers, {size} B, {rate} messages/s: {}", outcome.complaints.join("; "))
        })
        .collect();
    if !items.is_empty() {
        html.block(Tone::Warning, "Some steps do not count, though they are within the limits.", &items);
    }
}

/// One line for each receiver count and size.
fn lines(sweep: &Sweep, of: impl Fn(&Outcome) -> Option<f64>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for Point { outcome, .. } in &sweep.points {
        let name = name(outcome.settings.receivers, outcome.settings.size);
        let Some(value) = of(outcome) else { continue };
        let point = (outcome.settings.rate, value);
        match lines.iter_mut().find(|line| line.name == name) {
            None => lines.push(Line::marked(name, lines.len(), vec![point])),
            Some(line) => {
                line.points.push(point);
                line.marks.push(point);
            }
        }
    }
    lines
}

fn name(receivers: usize, size: usize) -> String {
    format!("{receivers} receivers, {size} B")
}

/// A line at each knee.
fn rules(knees: &[Knee]) -> Vec<(f64, String)> {
    let kept = knees.iter().filter_map(|knee| Some((knee, knee.kept?)));
    kept.map(|(knee, rate)| (rate, format!("knee: {}", name(knee.receivers, knee.size)))).collect()
}

/// Messages per second that were sent.
fn achieved(outcome: &Outcome) -> f64 {
    outcome.sent.achieved(outcome.settings.rate)
}

fn steps(points: &[Point]) -> Table {
    let head = [
        "receivers",
        "payload",
        "asked for",
        "achieved",
        "delivered/s",
        "not there in time",
        "p50",
        "p99",
        "p99.9",
        "p99 of the last",
        "what gave",
    ];
    let mut table = Table::new("", &head);
    for Point { outcome, gave } in points {
        let settings = &outcome.settings;
        let received = outcome.received.as_ref().filter(|received| received.latency.count() > 0);
        let at = |quantile| {
            received.map_or_else(Cell::none, |received| Cell::number(human(received.latency.at(quantile))))
        };
        let last = received.filter(|received| received.last.count() > 0);
        let loss = outcome.loss().map_or("-".into(), |loss| format!("{:.4} %", 100.0 * loss));
        let note = match (gave.is_empty(), outcome.is_valid()) {
            (false, _) => Cell::text(told(gave)).bad(),
            (true, false) => Cell::text("not valid: see above").bad(),
            (true, true) => Cell::text("-"),
        };
        table.rows.push(vec![
            Cell::number(settings.receivers),
            Cell::number(format!("{} B", settings.size)),
            Cell::number(settings.rate),
            Cell::number(format!("{:.0}", achieved(outcome))),
            Cell::number(number(outcome.delivered_per_s())),
            Cell::number(loss),
            at(0.5),
            at(0.99),
            at(0.999),
            last.map_or_else(Cell::none, |received| Cell::number(human(received.last.at(0.99)))),
            note,
        ]);
    }
    table
}
