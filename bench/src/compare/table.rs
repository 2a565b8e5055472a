//! A comparison as text, and in Markdown.

use std::fmt;

use super::outcome::{AtRate, Comparison, Cost, Range, Row, System};
use crate::load::latencies::human;

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, rows) in self.cases() {
            writeln!(f, "{title}\n")?;
            let lines = self.lines(&rows);
            let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
            let width = |column: usize| {
                lines
                    .iter()
                    .filter_map(|line| line.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            };
            let widths: Vec<usize> = (0..columns).map(width).collect();
            for line in &lines {
                for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                    // Names to the left, figures to the right.
                    if column == 0 { write!(f, "{cell:<width$}")? } else { write!(f, "  {cell:>width$}")? }
                }
                writeln!(f)?;
            }
            writeln!(f)?;
        }
        self.remarks(f, "")
    }
}

impl Comparison {
    /// As tables of Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        // A string takes everything.
        let _ = self.write_markdown(&mut text);
        text
    }

    fn write_markdown(&self, out: &mut impl fmt::Write) -> fmt::Result {
        for (title, rows) in self.cases() {
            writeln!(out, "**{title}**\n")?;
            for (at, line) in self.lines(&rows).iter().enumerate() {
                writeln!(
                    out,
                    "| {} |",
                    line.iter().map(|cell| escaped(cell)).collect::<Vec<_>>().join(" | ")
                )?;
                if at == 0 {
                    writeln!(out, "|---|{}", "---:|".repeat(line.len() - 1))?;
                }
            }
            writeln!(out)?;
        }
        writeln!(out, "| system | version | set up as |\n|---|---|---|")?;
        for System { name, version, setup } in &self.systems {
            writeln!(out, "| {} | {} | {} |", escaped(name), escaped(version), escaped(setup))?;
        }
        writeln!(out)?;
        self.remarks(out, "- ")
    }

    /// Rows with the same number of receivers and size.
    fn cases(&self) -> impl Iterator<Item = (String, Vec<&Row>)> {
        let cases =
            self.rows.chunk_by(|one, other| (one.receivers, one.size) == (other.receivers, other.size));
        cases.map(|rows| {
            let title = format!("{} receivers, {} B", rows[0].receivers, rows[0].size);
            (title, rows.iter().collect())
        })
    }

    /// A line of headings, and one for each row.
    fn lines(&self, rows: &[&Row]) -> Vec<Vec<String>> {
        let mut headings = vec!["system".to_owned()];
        for rate in &self.settings.rates {
            headings.push(format!("one at {rate}/s: p50, p99, p99.9"));
            headings.push("last: p50, p99, p99.9".to_owned());
        }
        headings.push("delivered/s (least-most)".to_owned());
        for load in ["slow", "busy"] {
            headings.push(format!("CPU s/million {load}"));
            headings.push(format!("calls {load}"));
            headings.push(format!("wire/payload {load}"));
        }
        let mut lines = vec![headings];
        lines.extend(rows.iter().map(|row| self.line(row)));
        lines
    }

    fn line(&self, row: &Row) -> Vec<String> {
        let mut line = vec![row.system.clone()];
        for rate in &self.settings.rates {
            let at = row.latency.iter().find(|at| (at.rate - rate).abs() < 1e-9);
            line.extend(at.map_or_else(|| [none(), none()], latencies));
        }
        line.push(row.throughput.map_or_else(none, |found| {
            let limit = if found.at_limit { "at least " } else { "" };
            let Range { median, min, max } = found.delivered_per_s;
            format!("{limit}{} ({}-{})", count(median), count(min), count(max))
        }));
        for cost in [&row.low, &row.knee] {
            line.extend(cost.as_ref().map_or_else(|| [none(), none(), none()], costs));
        }
        line
    }

    fn remarks(&self, out: &mut impl fmt::Write, bullet: &str) -> fmt::Result {
        for one in &self.unavailable {
            writeln!(out, "{bullet}{} took no part: {}", one.name, one.reason)?;
        }
        for row in &self.rows {
            for error in &row.errors {
                writeln!(
                    out,
                    "{bullet}{}, {} receivers, {} B: {error}",
                    row.system, row.receivers, row.size
                )?;
            }
        }
        for missing in &self.missing {
            writeln!(out, "{bullet}no time was left for {missing}")?;
        }
        for note in &self.notes {
            writeln!(out, "{bullet}{note}")?;
        }
        Ok(())
    }
}

/// One receiver, and the last one.
fn latencies(at: &AtRate) -> [String; 2] {
    if at.sustained {
        return [at.one, at.last].map(|quantiles| {
            [quantiles.p50_ns, quantiles.p99_ns, quantiles.p999_ns]
                .map(|range| human(whole(range.median)))
                .join(", ")
        });
    }
    let lost = if at.lost > 0 {
        format!(" ({:.2} % lost)", 100.0 * at.lost as f64 / (at.received + at.lost) as f64)
    } else {
        String::new()
    };
    [format!("not sustained{lost}"), none()]
}

fn costs(cost: &Cost) -> [String; 3] {
    [
        format!("{:.2}", cost.cpu_s_per_million.median),
        cost.calls_per_delivery.map_or_else(none, |calls| format!("{calls:.3}")),
        cost.wire_per_payload.map_or_else(none, |wire| format!("{:.2}", wire.median)),
    ]
}

fn none() -> String {
    "-".to_owned()
}

/// `1234567` as `1.23 M`.
fn count(value: f64) -> String {
    match value {
        1e6.. => format!("{:.2} M", value / 1e6),
        1e3.. => format!("{:.0} k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time: not negative; saturates"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
