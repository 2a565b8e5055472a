//! One run.

use super::chart::{Chart, Line};
use super::curves;
use super::facts;
use super::html::{Cell, Html, Table, Tone};
use super::scale::{Scale, number};
use crate::load::latencies::{Summary, human};
use crate::load::outcome::{Received, Receiver};
use crate::load::{Latencies, Outcome};

/// What is waited for.
const IN_TIME: &str =
    "receivers stop after half a second in which nothing came, and 5 s after the last message was sent";
/// Receivers that are shown one by one without being asked for.
const RECEIVERS_SHOWN: usize = 10;

/// All that is to say of it.
pub(super) fn show(html: &mut Html, outcome: &Outcome) {
    verdict(html, outcome);
    facts::settings(html, &outcome.settings);
    latencies(html, outcome);
    if let Some(received) = &outcome.received {
        seconds(html, outcome, received);
        positions(html, &[("", &received.receivers)]);
        counts(html, received);
    }
    losses(html, outcome);
    health(html, outcome);
    counters(html, outcome);
    facts::machine(html, &outcome.machine);
}

/// What a run is called.
pub(super) fn title(outcome: &Outcome) -> String {
    let settings = &outcome.settings;
    let to = match &settings.to {
        Some(to) => to.clone(),
        None => format!("{} receivers", settings.receivers),
    };
    format!("{} to {to}: {} B at {} messages/s", settings.system, settings.size, settings.rate)
}

/// Whether the figures count.
pub(super) fn verdict(html: &mut Html, outcome: &Outcome) {
    if outcome.is_valid() {
        let counts = "Valid: the schedule was kept, the harness woke in time, and next to no time was stolen from the machine.";
        html.block(Tone::Good, counts, &[]);
    } else {
        html.block(Tone::Bad, "Not valid: these figures do not count.", &outcome.complaints);
    }
}

/// The histograms of a run, each with what it is called.
pub(super) fn histograms(outcome: &Outcome) -> Vec<(&'static str, &Latencies)> {
    let mut all = vec![
        ("due until it is sent", &outcome.sent.lag),
        ("sending call until it returns", &outcome.sent.call),
    ];
    if let Some(received) = &outcome.received {
        all.extend([
            ("due until a receiver has it", &received.latency),
            ("due until the first has it", &received.first),
            ("due until half of them have it", &received.median),
            ("due until the last has it", &received.last),
            ("from the first to the last", &received.width),
        ]);
    }
    all
}

fn latencies(html: &mut Html, outcome: &Outcome) {
    html.heading("Latency");
    let caption = "From when a message was due, not from when it was sent: what a sender is late counts.";
    let mut table = Table::new(caption, &["", "p50", "p90", "p99", "p99.9", "most", "values"]);
    for (name, latencies) in histograms(outcome) {
        let mut row = vec![Cell::number(name)];
        row.extend(figures(&latencies.summary()));
        row.push(Cell::number(latencies.count()));
        table.rows.push(row);
    }
    html.table(&table);
    let beyond: u64 = histograms(outcome).iter().map(|(_, latencies)| latencies.summary().beyond).sum();
    if beyond > 0 {
        html.aside(format!("{beyond} values were longer than 100 s, and count as that."));
    }
    let all: Vec<curves::Named<'_>> = match &outcome.received {
        None => vec![("due until it is sent", 0, &outcome.sent.lag), ("sending call", 1, &outcome.sent.call)],
        Some(received) => vec![
            ("each receiver", 0, &received.latency),
            ("first receiver", 2, &received.first),
            ("receiver in the middle", 4, &received.median),
            ("last receiver", 1, &received.last),
        ],
    };
    if let Some(svg) = curves::percentiles(&all) {
        html.figure("Percentiles of the latency", &svg);
    }
}

/// p50, p90, p99, p99.9 and the greatest.
fn figures(summary: &Summary) -> Vec<Cell> {
    let all = [summary.p50_ns, summary.p90_ns, summary.p99_ns, summary.p999_ns, summary.max_ns];
    all.map(|ns| if summary.count == 0 { Cell::none() } else { Cell::number(human(ns)) }).to_vec()
}

fn seconds(html: &mut Html, outcome: &Outcome, received: &Received) {
    if received.series.is_empty() {
        return;
    }
    html.heading("Second by second");
    let start_s = outcome.sent.start_ns as f64 / 1e9;
    let line = |name: &str, style, of: fn(&Summary) -> u64| {
        let points = received
            .series
            .iter()
            .map(|part| (middle(part.at_s - start_s, part.length_s), of(&part.latency) as f64));
        Line::marked(name, style, points.collect())
    };
    let latencies = Chart {
        x: ("seconds since the first message", Scale::Plain),
        y: ("latency", Scale::Times),
        lines: vec![
            line("p50", 0, |summary| summary.p50_ns),
            line("p99", 4, |summary| summary.p99_ns),
            line("most", 1, |summary| summary.max_ns),
        ],
        rules: Vec::new(),
    };
    html.figure("Latency of what came in each second", &latencies.svg());
    let came = received.series.iter().filter(|part| part.length_s > SHORT_S);
    let came = came
        .map(|part| (middle(part.at_s - start_s, part.length_s), part.latency.count as f64 / part.length_s));
    let rates = Chart {
        x: ("seconds since the first message", Scale::Plain),
        y: ("messages/s", Scale::Plain),
        lines: vec![
            Line::marked("received, all receivers together", 0, came.collect()),
            Line::marked("sent, times the receivers", 1, sent(outcome, received.receivers.len())),
        ],
        rules: Vec::new(),
    };
    html.figure("Messages per second", &rates.svg());
}

/// A part of a second that is shorter is not told as a rate: one message more or less would change it too much.
const SHORT_S: f64 = 0.1;

/// In the middle of a part of the time.
fn middle(at_s: f64, length_s: f64) -> f64 {
    // Receivers look at the clock when they begin, which is before the first message was due.
    f64::midpoint(at_s.max(0.0), (at_s + length_s).max(0.0))
}

fn sent(outcome: &Outcome, receivers: usize) -> Vec<(f64, f64)> {
    let took_s = outcome.sent.took_ns as f64 / 1e9;
    let mut points = Vec::new();
    for (second, count) in outcome.sent.series.iter().enumerate() {
        let at_s = second as f64;
        let length_s = (took_s - at_s).min(1.0);
        if length_s > SHORT_S {
            points.push((middle(at_s, length_s), *count as f64 * receivers as f64 / length_s));
        }
    }
    points
}

/// Latencies of each receiver by its position, of each run with what its lines are called; nothing where no run has two
/// receivers.
pub(super) fn positions(html: &mut Html, runs: &[(&str, &[Receiver])]) {
    if runs.iter().all(|(_, receivers)| receivers.len() < 2) {
        return;
    }
    html.heading("Spread over the receivers");
    let mut lines = Vec::new();
    for (run, receivers) in runs {
        for name in ["p50", "p99"] {
            let of = |summary: &Summary| if name == "p50" { summary.p50_ns } else { summary.p99_ns };
            let there = receivers.iter().enumerate().filter(|(_, receiver)| receiver.latency.count > 0);
            let points = there.map(|(at, receiver)| (at as f64 + 1.0, of(&receiver.latency) as f64));
            lines.push(Line::marked(format!("{run}{name}"), lines.len(), points.collect()));
        }
    }
    let chart = Chart {
        x: ("position among the receivers", Scale::Plain),
        y: ("latency", Scale::Times),
        lines,
        rules: Vec::new(),
    };
    html.figure("Latency of each receiver, in the order in which the sender knows them", &chart.svg());
}

fn counts(html: &mut Html, received: &Received) {
    html.heading("Receivers");
    let total = &received.total;
    let mut table = Table::default();
    table.say("received", format!("{}, all receivers together", total.received));
    table.say("not there in time", format!("{}: {IN_TIME}", total.lost));
    table.say("messages that did not reach all", received.incomplete);
    table.say("longest gap", format!("{} messages, at one receiver", total.longest_gap));
    table.say("twice", total.duplicates);
    table.say("out of order", total.reordered);
    table.say("not of this run", total.foreign);
    table.say("of the warm-up", format!("{}, in no other figure", received.warm_up));
    html.table(&table);
    if received.receivers.len() > RECEIVERS_SHOWN {
        let summary = format!("Each of the {} receivers", received.receivers.len());
        html.folded(summary, |html| html.table(&one_by_one(&received.receivers)));
    } else {
        html.table(&one_by_one(&received.receivers));
    }
}

fn one_by_one(receivers: &[Receiver]) -> Table {
    let head = [
        "position",
        "received",
        "not there in time",
        "twice",
        "out of order",
        "longest gap",
        "not of this run",
        "dropped by its socket",
        "p50",
        "p99",
        "most",
        "failed",
    ];
    let mut table = Table::new("", &head);
    for (at, receiver) in receivers.iter().enumerate() {
        let Receiver { account, latency, socket_dropped, closed } = receiver;
        let mut row = vec![Cell::number(at + 1), Cell::number(account.received)];
        row.push(Cell::number(account.lost).bad_if(account.lost > 0));
        row.extend(
            [account.duplicates, account.reordered, account.longest_gap, account.foreign].map(Cell::number),
        );
        row.push(Cell::number(*socket_dropped).bad_if(*socket_dropped > 0));
        let times = [latency.p50_ns, latency.p99_ns, latency.max_ns];
        row.extend(times.map(|ns| if latency.count == 0 { Cell::none() } else { Cell::number(human(ns)) }));
        row.push(closed.as_ref().map_or_else(Cell::none, |why| Cell::text(why).bad()));
        table.rows.push(row);
    }
    table
}

/// What was not sent, what was dropped, and where.
fn losses(html: &mut Html, outcome: &Outcome) {
    html.heading("Where messages were lost");
    let sent = &outcome.sent;
    let mut table = Table::new("Drops are counted by the kernel, for all sockets of this network.", &[]);
    let rate = number(sent.rate());
    table.say("sent", format!("{} messages, {rate} per second", sent.sent));
    table.say("not taken by the system", format!("{} messages", sent.refused));
    table.say("never tried, because the sender was too far behind", format!("{} messages", sent.abandoned));
    if let Some(received) = &outcome.received {
        let all = received.total.received + received.total.lost;
        let percent = 100.0 * outcome.loss().unwrap_or(0.0);
        table
            .say("not there in time", format!("{} of {all} deliveries, {percent:.4} %", received.total.lost));
        let dropped: u64 = received.receivers.iter().map(|receiver| receiver.socket_dropped).sum();
        table.say("dropped by the receivers' sockets (SO_RXQ_OVFL)", format!("{dropped} datagrams"));
        table.say("delivered", format!("{} messages per second", number(outcome.delivered_per_s())));
    }
    let drops = &outcome.drops;
    for (name, count) in [
        ("handed to the kernel (OutDatagrams)", drops.out_datagrams),
        ("handed to a socket (InDatagrams)", drops.in_datagrams),
        ("not taken by a send, or asked again (SndbufErrors)", drops.send_buffer_errors),
        ("dropped by full receive buffers (RcvbufErrors)", drops.receive_buffer_errors),
        ("for a port without a listener (NoPorts)", drops.no_ports),
        ("dropped for another reason (InErrors)", drops.in_errors),
    ] {
        table.say(name, format!("{count} datagrams"));
    }
    html.table(&table);
}

fn health(html: &mut Html, outcome: &Outcome) {
    html.heading("The harness itself");
    let health = &outcome.health;
    let mut table = Table::default();
    let own = outcome.sent.own_lag.summary();
    table.say("woke late by itself", format!("p99 {}, at most {}", human(own.p99_ns), human(own.max_ns)));
    table.say("woke more than 1 ms late", format!("{:.3} % of the messages", 100.0 * health.late));
    table
        .say("stolen by other virtual machines", format!("{:.2} % of the cores' time", 100.0 * health.steal));
    table.say("cores busy", format!("{:.0} % of their time", 100.0 * health.busy));
    table.say("processor time of this process", format!("{:.2} s in {:.2} s", health.cpu_s, health.wall_s));
    let (own, forced) = (health.voluntary_switches, health.involuntary_switches);
    table.say("context switches", format!("{own} by itself, {forced} because it had to"));
    html.table(&table);
}

fn counters(html: &mut Html, outcome: &Outcome) {
    let received = outcome.received.as_ref().map(|received| &received.counters);
    let sides = [("the sender", Some(&outcome.counters)), ("the receivers, all together", received)];
    let there =
        sides.into_iter().filter_map(|(of, counters)| Some((of, counters.filter(|all| !all.is_empty())?)));
    for (of, counters) in there {
        html.folded(format!("What {} of {} counted", of, outcome.settings.system), |html| {
            let mut table = Table::default();
            counters.iter().for_each(|(name, count)| table.say(name, count));
            html.table(&table);
        });
    }
}
