//! Figures of all systems below each other: which is the best, and by how much ours is not.

use super::super::outcome::{AtRate, Cost, Quantiles, Range, Row};
use crate::load::latencies::human;

/// The system that this is the project of. It has to say where it is not the best.
const OURS: &str = "headcast";

/// Which figure one wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Better {
    High,
    Low,
}

/// What a system has in a column.
#[derive(Clone, Debug)]
enum Figure {
    /// One that takes part.
    Counts { range: Range, at_limit: bool },
    /// Of a system that is overloaded; and what is said of it.
    Overloaded(String),
}

/// Where the figure of a system is.
type Of = Box<dyn Fn(&Row) -> Option<Figure>>;

/// One figure of each system.
pub(super) struct Column {
    /// What it is called where it stands alone.
    name: String,
    better: Better,
    /// Whether the least and the most are told besides the median.
    spread: bool,
    told: fn(f64) -> String,
    of: Of,
}

/// Columns that stand in one cell.
pub(super) struct Group {
    pub(super) heading: String,
    columns: Vec<Column>,
}

/// Latencies at a rate: of one receiver, and of the last.
pub(super) fn latencies(rate: f64) -> [Group; 2] {
    let one: fn(&AtRate) -> Quantiles = |at| at.one;
    let last: fn(&AtRate) -> Quantiles = |at| at.last;
    [("one", one), ("last", last)].map(|(who, of)| {
        let column = |(name, quantile, spread): (&str, Quantile, bool)| Column {
            name: format!("{name} of {who} at {rate}/s"),
            better: Better::Low,
            spread,
            told: |ns| human(whole(ns)),
            of: Box::new(move |row| {
                let at = row.latency.iter().find(|at| (at.rate - rate).abs() < 1e-9)?;
                Some(if at.sustained { counts(quantile(&of(at))) } else { overloaded(at) })
            }),
        };
        let quantiles: [(&str, Quantile, bool); 3] = [
            ("p50", |all| all.p50_ns, true),
            ("p99", |all| all.p99_ns, true),
            ("p99.9", |all| all.p999_ns, false),
        ];
        let heading = format!("{who} at {rate}/s: p50, p99, p99.9");
        Group { heading, columns: quantiles.map(column).into() }
    })
}

/// One quantile among several.
type Quantile = fn(&Quantiles) -> Range;

/// The highest rate, and what a delivery costs.
pub(super) fn rate_and_costs() -> Vec<Group> {
    let mut all = vec![Group::of("delivered/s", Better::High, count, |row| {
        let found = row.throughput?;
        Some(Figure::Counts { range: found.delivered_per_s, at_limit: found.at_limit })
    })];
    let low: fn(&Row) -> Option<Cost> = |row| row.low;
    let knee: fn(&Row) -> Option<Cost> = |row| row.knee;
    for (load, of) in [("slow", low), ("under load", knee)] {
        let two = |value| format!("{value:.2}");
        all.push(Group::of(format!("CPU s/million, {load}"), Better::Low, two, move |row| {
            Some(counts(of(row)?.cpu_s_per_million))
        }));
        let three = |value| format!("{value:.3}");
        all.push(Group::of(format!("calls, {load}"), Better::Low, three, move |row| {
            let calls = of(row)?.calls_per_delivery?;
            Some(counts(Range { median: calls, min: calls, max: calls }))
        }));
        all.push(Group::of(format!("wire/payload, {load}"), Better::Low, two, move |row| {
            Some(counts(of(row)?.wire_per_payload?))
        }));
    }
    all
}

impl Group {
    /// Of one column.
    fn of(
        name: impl Into<String>,
        better: Better,
        told: fn(f64) -> String,
        of: impl Fn(&Row) -> Option<Figure> + 'static,
    ) -> Self {
        let heading = name.into();
        let column = Column { name: heading.clone(), better, spread: true, told, of: Box::new(of) };
        Self { heading, columns: vec![column] }
    }

    /// Whether anybody has a figure.
    pub(super) fn is_there(&self, rows: &[&Row]) -> bool {
        self.columns.iter().any(|column| rows.iter().any(|row| (column.of)(row).is_some()))
    }

    /// What a system has; its best figures as `best` tells them.
    pub(super) fn cell(&self, row: &Row, rows: &[&Row], best: fn(String) -> String) -> String {
        let mut parts = Vec::new();
        for column in &self.columns {
            match (column.of)(row) {
                None => {}
                // It is said once.
                Some(Figure::Overloaded(text)) => return text,
                Some(Figure::Counts { range, at_limit }) => {
                    let text = column.figure(range, at_limit);
                    parts.push(if column.is_best(range, rows) { best(text) } else { text });
                }
            }
        }
        if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
    }

    /// A sentence for each column in which ours is not the best.
    pub(super) fn losses(&self, rows: &[&Row]) -> impl Iterator<Item = String> {
        self.columns.iter().filter_map(|column| column.loss(rows))
    }
}

impl Column {
    fn figure(&self, range: Range, at_limit: bool) -> String {
        let limit = if at_limit { "at least " } else { "" };
        let told = if self.spread { spread(range, self.told) } else { (self.told)(range.median) };
        format!("{limit}{told}")
    }

    /// Who is the best of those that count; `None` when fewer than two take part.
    fn best<'a>(&self, rows: &[&'a Row]) -> Option<(&'a str, Range)> {
        let mut all: Vec<(&str, Range)> = Vec::new();
        for row in rows {
            if let Some(Figure::Counts { range, .. }) = (self.of)(row) {
                all.push((&row.system, range));
            }
        }
        all.sort_by(|(_, one), (_, other)| one.median.total_cmp(&other.median));
        match (all.len(), self.better) {
            (0 | 1, _) => None,
            (_, Better::Low) => all.first().copied(),
            (_, Better::High) => all.last().copied(),
        }
    }

    /// Whoever looks the same in the table is the best as well.
    fn is_best(&self, range: Range, rows: &[&Row]) -> bool {
        self.best(rows).is_some_and(|(_, best)| (self.told)(range.median) == (self.told)(best.median))
    }

    fn loss(&self, rows: &[&Row]) -> Option<String> {
        let row = rows.iter().find(|row| row.system == OURS)?;
        let name = &self.name;
        let ours = (self.of)(row);
        // Where ours has no part, one other is enough to be better.
        let others: Vec<&Row> = rows.iter().copied().filter(|row| row.system != OURS).collect();
        let Some(Figure::Counts { range, .. }) = ours else {
            let who = others.iter().find(|row| matches!((self.of)(row), Some(Figure::Counts { .. })))?;
            let who = self.best(&others).map_or(who.system.as_str(), |(who, _)| who);
            let why = if ours.is_some() { "did not sustain the rate" } else { "has no figure" };
            return Some(format!("{name}: {who} is best, {OURS} {why}"));
        };
        let (who, best) = self.best(rows)?;
        if self.is_best(range, rows) {
            return None;
        }
        let ratio = best.median / range.median;
        let times =
            if ratio.is_finite() { format!(", {} x {OURS}", significant(ratio)) } else { String::new() };
        let overlap = range.min <= best.max && best.min <= range.max;
        let close = if overlap { " (their rounds overlap)" } else { "" };
        Some(format!("{name}: {who} is best{times}{close}"))
    }
}

fn counts(range: Range) -> Figure {
    Figure::Counts { range, at_limit: false }
}

fn overloaded(at: &AtRate) -> Figure {
    let all = at.received + at.lost;
    let missing = 100.0 * at.lost as f64 / all.max(1) as f64;
    let why = if at.lost > 0 { format!(" ({missing:.2} % not there in time)") } else { String::new() };
    Figure::Overloaded(format!("not sustained{why}"))
}

/// `57.0 us (55.1-61.2)`; with all three units where they are not the same.
fn spread(range: Range, told: fn(f64) -> String) -> String {
    let [median, min, max] = [range.median, range.min, range.max].map(told);
    if min == max {
        return median;
    }
    let unit = |text: &str| text.split_once(' ').map(|(_, unit)| unit.to_owned());
    let figure = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    if unit(&min) == unit(&median) && unit(&max) == unit(&median) {
        return format!("{median} ({}-{})", figure(&min), figure(&max));
    }
    format!("{median} ({min}-{max})")
}

/// `1234567` as `1.23 M`.
fn count(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", significant(value / 1e6)),
        1e3.. => format!("{} k", significant(value / 1e3)),
        _ => format!("{value:.0}"),
    }
}

/// With three significant digits, or more before the point.
fn significant(value: f64) -> String {
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$}")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time: not negative; saturates"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_three_digits() {
        assert_eq!(
            [999.0, 1_499.0, 12_449.0, 123_456.0, 1_234_567.0].map(count),
            ["999", "1.50 k", "12.4 k", "123 k", "1.23 M"]
        );
    }

    #[test]
    fn a_spread_has_its_unit_once_where_it_is_the_same() {
        let told = |median, min, max| spread(Range { median, min, max }, |ns| human(whole(ns)));
        assert_eq!(told(57_000.0, 55_100.0, 61_200.0), "57.0 us (55.1-61.2)");
        assert_eq!(told(57_000.0, 900.0, 12e6), "57.0 us (900 ns-12.0 ms)");
        assert_eq!(told(57_000.0, 57_000.0, 57_000.0), "57.0 us");
        let two = Range { median: 1.0, min: 0.5, max: 1.5 };
        assert_eq!(spread(two, |value| format!("{value:.2}")), "1.00 (0.50-1.50)");
    }
}
