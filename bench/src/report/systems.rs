//! A comparison of systems.

mod columns;

use self::columns::{Better, Column, Figure};
use super::chart::{self, Bar};
use super::html::{Cell, Html, Table, Tone};
use super::scale::{number, rounded};
use super::{curves, facts};
use crate::compare::outcome::{AtRate, Comparison, Cost, Quantiles, Range, Ratio, Row};
use crate::compare::table::ratios;
use crate::load::Latencies;
use crate::load::latencies::human;

/// What a comparison is called.
pub(super) fn title(comparison: &Comparison) -> String {
    format!("{} systems compared", comparison.systems.len())
}

/// All that is to say of it.
pub(super) fn show(html: &mut Html, comparison: &Comparison) {
    about(html, comparison);
    // In the order in which they are stored.
    let mut places: Vec<(usize, usize)> = Vec::new();
    for row in &comparison.rows {
        if !places.contains(&(row.receivers, row.size)) {
            places.push((row.receivers, row.size));
        }
    }
    for (receivers, size) in places {
        let rows: Vec<&Row> =
            comparison.rows.iter().filter(|row| (row.receivers, row.size) == (receivers, size)).collect();
        html.heading(format!("{receivers} receivers, {size} B"));
        place(html, comparison, &rows);
    }
    took_part(html, comparison);
    settings(html, comparison);
    facts::machine(html, &comparison.machine);
}

/// What has to be known to read the figures.
fn about(html: &mut Html, comparison: &Comparison) {
    let settings = &comparison.settings;
    html.paragraph(format!(
        "{} of {} rounds, in which the systems took turns, forth and back; medians over the rounds, and the least and the \
         greatest. Latency is taken from when a message was due. The best of each column is marked, and where {} is not it, \
         the text says so.",
        comparison.rounds,
        settings.rounds,
        columns::OURS,
    ));
    if !comparison.missing.is_empty() {
        html.block(Tone::Bad, "Not everything was measured: the time was up.", &comparison.missing);
    }
    let absent: Vec<String> =
        comparison.unavailable.iter().map(|system| format!("{}: {}", system.name, system.reason)).collect();
    if !absent.is_empty() {
        html.block(Tone::Warning, "Could not take part:", &absent);
    }
    if !comparison.notes.is_empty() {
        html.heading("Caveats");
        html.list(&comparison.notes);
    }
}

/// All systems with one number of receivers and one size.
fn place(html: &mut Html, comparison: &Comparison, rows: &[&Row]) {
    let style =
        |row: &Row| comparison.systems.iter().position(|system| system.name == row.system).unwrap_or(0);
    throughput(html, rows, style);
    for rate in &comparison.settings.rates {
        at_rate(html, rows, *rate, style);
    }
    costs(html, rows);
    beside(html, rows.first().into_iter().flat_map(|row| comparison.ratios_of(row)));
    let failed =
        |row: &&Row| row.errors.iter().map(|error| format!("{}: {error}", row.system)).collect::<Vec<_>>();
    let errors: Vec<String> = rows.iter().flat_map(failed).collect();
    if !errors.is_empty() {
        html.block(Tone::Warning, "Trials that failed:", &errors);
    }
}

fn throughput(html: &mut Html, rows: &[&Row], style: impl Fn(&Row) -> usize) {
    let there: Vec<_> = rows.iter().filter_map(|row| Some((*row, row.throughput?))).collect();
    if there.is_empty() {
        return;
    }
    html.subheading("Highest rate");
    let bar = |(row, throughput): &(&Row, crate::compare::outcome::Throughput)| {
        let Range { median, min, max } = throughput.delivered_per_s;
        let more = if throughput.at_limit { " or more" } else { "" };
        Bar { name: row.system.clone(), style: style(row), median, min, max, label: number(median) + more }
    };
    let bars: Vec<Bar> = there.iter().map(bar).collect();
    html.figure(
        "Messages delivered per second, all receivers together, at the highest rate that was kept; whiskers: rounds",
        &chart::bars("messages delivered per second", &bars),
    );
    let columns = [
        Column::new("delivered/s", Better::High, number, |row| {
            Some(Figure::of(row.throughput?.delivered_per_s))
        }),
        Column::new("sent/s", Better::High, number, |row| Some(Figure::of(row.throughput?.sent_per_s))),
    ];
    columns::table(
        html,
        "The highest rate at which no more was missing in the end than may be, with least - greatest.",
        rows,
        &columns,
    );
}

fn at_rate(html: &mut Html, rows: &[&Row], rate: f64, style: impl Fn(&Row) -> usize) {
    let find = move |row: &Row| -> Option<usize> {
        row.latency.iter().position(|at| at.rate == rate && at.trials > 0)
    };
    if rows.iter().all(|row| find(row).is_none()) {
        return;
    }
    html.subheading(format!("At {rate} messages/s"));
    let column = |name, of: fn(&AtRate) -> (Quantiles, u64), figure: fn(&Quantiles) -> Range| {
        Column::new(
            name,
            Better::Low,
            |ns| human(rounded(ns)),
            move |row: &Row| {
                let at = &row.latency[find(row)?];
                let (quantiles, count) = of(at);
                (count > 0).then(|| Figure { range: figure(&quantiles), counts: at.sustained })
            },
        )
    };
    let one: fn(&AtRate) -> (Quantiles, u64) = |at| (at.one, at.one_all.count());
    let last: fn(&AtRate) -> (Quantiles, u64) = |at| (at.last, at.last_all.count());
    for (who, of) in [("one receiver", one), ("the last receiver that a message reached", last)] {
        let columns = [
            column("p50", of, |all| all.p50_ns),
            column("p99", of, |all| all.p99_ns),
            column("p99.9", of, |all| all.p999_ns),
        ];
        let caption = format!(
            "Latency of {who}. What is marked as not sustained is what one sees of a system that is overloaded."
        );
        columns::table(html, &caption, rows, &columns);
    }
    let curves: Vec<(&str, usize, &Latencies)> = rows
        .iter()
        .filter_map(|row| Some((row.system.as_str(), style(row), &row.latency[find(row)?].last_all)))
        .collect();
    if let Some(svg) = curves::percentiles(&curves) {
        html.figure(
            format!("Percentiles of the last receiver at {rate} messages/s, all rounds together"),
            &svg,
        );
    }
    let cells: Vec<(&Row, &AtRate)> =
        rows.iter().filter_map(|row| Some((*row, &row.latency[find(row)?]))).collect();
    html.folded("Counts and complaints", |html| html.table(&counts(&cells)));
}

fn counts(cells: &[(&Row, &AtRate)]) -> Table {
    let head =
        ["system", "trials", "sustained", "sent", "received", "not there in time", "twice", "complaints"];
    let caption = "All trials together; what was received and what was not there in time are sent x receivers. Receivers \
                   stop after half a second in which nothing came, and 5 s after the last message was sent: a queue \
                   may have held what was not there.";
    let mut table = Table::new(caption, &head);
    for (row, at) in cells {
        table.rows.push(vec![
            Cell::number(&row.system),
            Cell::number(at.trials),
            Cell::number(at.sustained_trials).bad_if(!at.sustained),
            Cell::number(at.sent),
            Cell::number(at.received),
            Cell::number(at.lost).bad_if(at.lost > 0),
            Cell::number(at.duplicates),
            Cell::text(if at.complaints.is_empty() { "-".into() } else { at.complaints.join("; ") }),
        ]);
    }
    table
}

fn costs(html: &mut Html, rows: &[&Row]) {
    if rows.iter().all(|row| row.low.is_none() && row.knee.is_none()) {
        return;
    }
    html.subheading("What a delivery costs");
    let low: fn(&Row) -> Option<Cost> = |row| row.low;
    let knee: fn(&Row) -> Option<Cost> = |row| row.knee;
    let plain = |value: f64| format!("{value:.2}");
    let cpu = |name, of: fn(&Row) -> Option<Cost>| {
        Column::new(name, Better::Low, plain, move |row: &Row| Some(Figure::of(of(row)?.cpu_s_per_million)))
    };
    let calls = |name, of: fn(&Row) -> Option<Cost>| {
        Column::new(
            name,
            Better::Low,
            |value| format!("{value:.3}"),
            move |row: &Row| Some(Figure::one(of(row)?.calls_per_delivery?)),
        )
    };
    let wire = |name, of: fn(&Row) -> Option<Cost>| {
        Column::new(name, Better::Low, plain, move |row: &Row| Some(Figure::of(of(row)?.wire_per_payload?)))
    };
    let columns = [
        cpu("core seconds per million, low rate", low),
        cpu("core seconds per million, under load", knee),
        calls("system calls, low rate", low),
        calls("system calls, under load", knee),
        wire("bytes on the wire per byte, low rate", low),
        wire("bytes on the wire per byte, under load", knee),
    ];
    let caption = "Of all processes of the system together, for each message that was delivered to one receiver. Under load is \
                   at 0.8 of the highest rate that was found in the first round, each system's own.";
    columns::table(html, caption, rows, &columns);
}

/// Pairs of systems, round by round.
fn beside<'a>(html: &mut Html, all: impl Iterator<Item = &'a Ratio>) {
    let mut table = Table::new(ratios::LEGEND, &ratios::HEAD);
    for ratio in all {
        let [who, figure, times, difference, rounds, target] = ratio.told().map(Cell::number);
        let target = target.bad_if(ratio.misses());
        table.rows.push(vec![who, figure, times, difference, rounds, target]);
    }
    if !table.rows.is_empty() {
        html.subheading("Beside each other");
        html.table(&table);
    }
}

fn took_part(html: &mut Html, comparison: &Comparison) {
    html.heading("Systems");
    let mut table = Table::new("", &["system", "version", "set up"]);
    for system in &comparison.systems {
        table.rows.push(vec![
            Cell::number(&system.name),
            Cell::text(&system.version),
            Cell::text(&system.setup),
        ]);
    }
    html.table(&table);
}

fn settings(html: &mut Html, comparison: &Comparison) {
    let settings = &comparison.settings;
    let joined = |all: &[String]| all.join(", ");
    let told = |all: &[usize]| joined(&all.iter().map(ToString::to_string).collect::<Vec<_>>());
    let mut table = Table::default();
    table.say("command", &settings.command);
    table.say("receivers", told(&settings.receivers));
    table.say("payloads", format!("{} B", told(&settings.sizes)));
    table.say(
        "rates",
        joined(&settings.rates.iter().map(|rate| format!("{rate} messages/s")).collect::<Vec<_>>()),
    );
    table
        .say("trial", format!("{} s, after {} s that do not count", settings.duration_s, settings.warm_up_s));
    table.say("trial in the search for the highest rate", format!("{} s", settings.search_s));
    table.say("may be missing", format!("{:.4} % of the deliveries", 100.0 * settings.loss_max));
    table
        .say("the last message must have come", format!("{} after it was sent", human(settings.late_max_ns)));
    table.say("cores", format!("{}; servers are left to the scheduler", facts::cores(settings.cores)));
    table.say("took", format!("{:.0} s", comparison.took_s));
    html.heading("Settings");
    html.table(&table);
}
