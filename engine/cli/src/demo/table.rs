//! The tables at the end.

use std::fmt::Write as _;

use indicatif::HumanCount;

use headcast_recorder::records::Stats;

use super::account::Totals;
use super::recording::{ANSWERED, Recorded};
use super::results::{Results, Row};
use super::service::pods;

/// With more pods than this, those with the same fate share a row.
const ROWS_MAX: usize = 25;
/// Characters of the longest bar.
const BAR_MAX: u64 = 40;
/// Where a bar of the histogram ends, in ns: 1, 2 and 5 of each decade.
const BOUNDS_NS: [u64; 17] = [
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    1_000_000_000,
    u64::MAX,
];

/// Pods, sums, latencies.
pub(super) fn render(results: &Results) -> String {
    let parts = [table(results), sums(results), recorded(&results.recorded), latencies(results)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

/// One row for each pod, or for each group of pods.
fn table(results: &Results) -> String {
    let mut rows = vec![
        ["", "", "", "", "", "lost", "lost"].map(String::from),
        ["pod", "in the service", "owed", "delivered", "rescued", "on purpose", "otherwise"]
            .map(String::from),
    ];
    let row = |name: String, lifetime: String, totals: &Totals| {
        let count = |count: u64| HumanCount(count).to_string();
        let Totals { owed, delivered, rescued, lost_on_purpose, lost_otherwise, .. } = *totals;
        [
            name,
            lifetime,
            count(owed),
            count(delivered),
            count(rescued),
            count(lost_on_purpose),
            count(lost_otherwise),
        ]
    };
    if results.rows.len() <= ROWS_MAX {
        let mut pods: Vec<&Row> = results.rows.iter().collect();
        pods.sort_by_key(|row| (row.ip, row.lifetime.came));
        rows.extend(pods.iter().map(|pod| row(pod.ip.to_string(), pod.lifetime.to_string(), &pod.totals)));
    } else {
        let groups = groups(&results.rows);
        rows.extend(groups.iter().map(|(lifetime, n, totals)| row(pods(*n), lifetime.clone(), totals)));
    }
    rows.push(row("all".into(), String::new(), &results.totals()));
    aligned(&rows)
}

/// Pods that came and went at the same time, how many, and their sums.
fn groups(rows: &[Row]) -> Vec<(String, usize, Totals)> {
    let mut groups: Vec<(String, usize, Totals)> = Vec::new();
    for row in rows {
        let lifetime = row.lifetime.to_string();
        match groups.iter_mut().find(|(known, ..)| *known == lifetime) {
            Some((_, pods, totals)) => {
                *pods += 1;
                *totals += row.totals;
            }
            None => groups.push((lifetime, 1, row.totals)),
        }
    }
    groups
}

/// Columns as wide as they need to be: the first two to the left, numbers to the right.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            let gap = if at == 0 { "" } else { "  " };
            // Writing to a string cannot fail.
            let _ = if at < 2 {
                write!(line, "{gap}{cell:<width$}")
            } else {
                write!(line, "{gap}{cell:>width$}")
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn sums(results: &Results) -> String {
    let (totals, traffic) = (results.totals(), results.traffic);
    let count = |count: u64| HumanCount(count).to_string();
    let percent = results.loss.percent();
    let many =
        |number: u64, what: &str| format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" });
    let mut lines = vec![format!(
        "{} published in {:.1} s, {} copies each{}",
        many(results.published, "message"),
        results.elapsed.as_secs_f64(),
        super::COPIES,
        if results.interrupted { "; ended early by a signal" } else { "" }
    )];
    if results.is_behind() {
        lines.push(format!(
            "  rate        achieved {}/s of {}/s: this machine cannot keep up",
            rate(results.achieved()),
            rate(results.rate)
        ));
    }
    lines.push(format!(
        "  DNS         {}, {}",
        many(results.lookups.0, "lookup"),
        many(results.peer_sets, "peer set")
    ));
    lines.push(format!(
        "  owed        {}: each of these to each pod that was a peer at that time",
        many(totals.owed, "message")
    ));
    lines.push(format!(
        "  datagrams   {} got to the pods, {} of them were dropped on purpose",
        count(traffic.datagrams),
        count(traffic.dropped_on_purpose)
    ));
    lines.push(format!(
        "  duplicates  {} dropped, so that each message was handed on once",
        count(traffic.duplicates)
    ));
    lines.push(format!("  rescued     {} by the second copy", count(totals.rescued)));
    lines.push(format!(
        "  lost        {} on purpose, by both copies; {percent} % x {percent} % of {} would be {}",
        count(totals.lost_on_purpose),
        count(totals.owed),
        rate(results.loss.expected(totals.owed))
    ));
    lines.push(format!("              {} otherwise", count(totals.lost_otherwise)));
    if totals.delivered == 0 {
        lines.push(nothing_delivered(results).into());
    }
    lines.join("\n") + "\n"
}

/// What the recorder has.
fn recorded(recorded: &Recorded) -> String {
    let count = |count: u64| HumanCount(count).to_string();
    let Stats { messages, responses, divergent_messages, divergent_responses, .. } = recorded.stats;
    if recorded.answers == 0 {
        return String::new();
    }
    let mut lines = vec![
        format!(
            "{} answers of the pods, every {ANSWERED}th message from all that got it",
            count(recorded.answers)
        ),
        format!(
            "  recorder    {} datagrams dropped on purpose, {} sent again until they were acknowledged",
            count(recorded.dropped),
            count(recorded.sent_again)
        ),
        format!("  duplicates  {} suppressed", count(recorded.duplicates)),
        format!(
            "  rows        {} in SQLite, one for each message, for {} answers, in {} commits",
            count(messages),
            count(responses),
            count(recorded.commits)
        ),
        format!(
            "  divergent   {} rows, about which {} answers say something else than the first",
            count(divergent_messages),
            count(divergent_responses)
        ),
    ];
    if let Some((seq, [(one, first), (another, other)])) = &recorded.example {
        lines.push(format!(
            "              message {seq}: pod {one} said {first} first, pod {another} said {other}"
        ));
    }
    lines.join("\n") + "\n"
}

fn nothing_delivered(results: &Results) -> &'static str {
    if results.published == 0 {
        "Nothing was published, so nothing was delivered."
    } else if results.totals().lost_on_purpose > 0 {
        "Nothing was delivered: every datagram was dropped on purpose, as told."
    } else {
        "Nothing was delivered."
    }
}

/// A number with a fraction only if it is small.
pub(super) fn rate(number: f64) -> String {
    if number >= 100.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and far below 2^63"
        )]
        let whole = number.round() as u64;
        HumanCount(whole).to_string()
    } else {
        format!("{}", (number * 10.0).round() / 10.0)
    }
}

/// Percentiles, and a bar for each range of the histogram.
fn latencies(results: &Results) -> String {
    let histogram = &results.latencies;
    if histogram.is_empty() {
        return String::new();
    }
    let us = |ns: u64| HumanCount(ns.div_ceil(1000)).to_string();
    let at = |quantile: f64| us(histogram.value_at_quantile(quantile));
    let mut text = format!(
        "latency from publish to delivery in µs: p50 {}, p90 {}, p99 {}, p99.9 {}, max {}\n",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        us(histogram.max())
    );
    let mut bars = bars(|from, to| histogram.count_between(from, to));
    while bars.last().is_some_and(|(_, count)| *count == 0) {
        bars.pop();
    }
    let skip = bars.iter().take_while(|(_, count)| *count == 0).count();
    let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    for (upper, count) in &bars[skip..] {
        let label = match *upper {
            u64::MAX => format!("{:>6}", "more"),
            upper if upper < 1_000_000 => format!("{:>3} µs", upper / 1_000),
            upper if upper < 1_000_000_000 => format!("{:>3} ms", upper / 1_000_000),
            upper => format!("{:>3} s ", upper / 1_000_000_000),
        };
        // Something is never shown as nothing.
        let len = usize::try_from((count * BAR_MAX).div_ceil(most)).unwrap_or(0);
        let _ = writeln!(text, "  < {label}  {:<40}  {}", "#".repeat(len), HumanCount(*count));
    }
    if results.totals().rescued > 0 {
        text += "  The second hump is what the second copies brought: they follow 2 ms after the first.\n";
    }
    text
}

/// The counts of all ranges by their upper bounds.
fn bars(count: impl Fn(u64, u64) -> u64) -> Vec<(u64, u64)> {
    let mut from = 0;
    BOUNDS_NS
        .iter()
        .map(|&upper| {
            let bar = (upper, count(from, upper - 1));
            from = upper;
            bar
        })
        .collect()
}
