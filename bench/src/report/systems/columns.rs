//! Figures of all systems below each other: which is best, and where ours is not.

use super::super::html::{Cell, Html, Table};
use crate::compare::outcome::{Range, Row};

/// The system that this is the project of. It has to say where it is not best.
pub(super) const OURS: &str = "headcast";

/// Which figure one wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    /// A high one.
    High,
    /// A low one.
    Low,
}

/// A figure of a system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) range: Range,
    /// Whether it takes part: what an overloaded system shows does not.
    pub(super) counts: bool,
}

/// Where the figure of a system is.
type Of<'a> = dyn Fn(&Row) -> Option<Figure> + 'a;

/// One figure of each system.
pub(super) struct Column<'a> {
    name: &'static str,
    better: Better,
    told: Box<dyn Fn(f64) -> String + 'a>,
    of: Box<Of<'a>>,
}

impl Figure {
    /// One that counts.
    pub(super) fn of(range: Range) -> Self {
        Self { range, counts: true }
    }

    /// One that was measured once.
    pub(super) fn one(value: f64) -> Self {
        Self::of(Range { median: value, min: value, max: value })
    }
}

impl<'a> Column<'a> {
    pub(super) fn new(
        name: &'static str,
        better: Better,
        told: impl Fn(f64) -> String + 'a,
        of: impl Fn(&Row) -> Option<Figure> + 'a,
    ) -> Self {
        Self { name, better, told: Box::new(told), of: Box::new(of) }
    }

    /// The best median of those that count; `None` when fewer than two take part.
    fn best(&self, rows: &[&Row]) -> Option<f64> {
        let medians = rows.iter().filter_map(|row| (self.of)(row)).filter(|figure| figure.counts);
        let mut medians: Vec<f64> = medians.map(|figure| figure.range.median).collect();
        medians.sort_by(f64::total_cmp);
        if medians.len() < 2 {
            return None;
        }
        match self.better {
            Better::Low => medians.first(),
            Better::High => medians.last(),
        }
        .copied()
    }

    /// Where ours is not best: who is, and by how much.
    fn loss(&self, rows: &[&Row]) -> Option<String> {
        let best = self.best(rows)?;
        let row = rows.iter().find(|row| row.system == OURS)?;
        let name = self.name;
        let winners = rows.iter().filter_map(|row| Some((row, (self.of)(row)?)));
        let (winner, of_winner) =
            winners.into_iter().find(|(_, other)| other.counts && other.range.median == best)?;
        let (who, told) = (&winner.system, (self.told)(best));
        let Some(ours) = (self.of)(row) else {
            return Some(format!("{name}: {who} is best with {told}; {OURS} has no figure."));
        };
        let figure = (self.told)(ours.range.median);
        if !ours.counts {
            return Some(format!(
                "{name}: {who} is best with {told}; {OURS} did not sustain the rate ({figure})."
            ));
        }
        if ours.range.median == best {
            return None;
        }
        let close = if ours.range.min <= of_winner.range.max && of_winner.range.min <= ours.range.max {
            " Their rounds overlap."
        } else {
            ""
        };
        let times = ours.range.median / best;
        Some(format!("{name}: {who} is best with {told}; {OURS} has {figure}, {times:.2} times that.{close}"))
    }
}

/// The table, and below it a sentence for each column in which ours is not best.
pub(super) fn table(html: &mut Html, caption: &str, rows: &[&Row], columns: &[Column<'_>]) {
    let there: Vec<&Column<'_>> =
        columns.iter().filter(|column| rows.iter().any(|row| (column.of)(row).is_some())).collect();
    let head: Vec<&str> = std::iter::once("system").chain(there.iter().map(|column| column.name)).collect();
    let mut table = Table::new(caption, &head);
    for row in rows {
        let cells = there.iter().map(|column| cell(column, row, column.best(rows)));
        table.rows.push(std::iter::once(Cell::number(&row.system)).chain(cells).collect());
    }
    html.table(&table);
    let losses: Vec<String> = there.iter().filter_map(|column| column.loss(rows)).collect();
    if !losses.is_empty() {
        html.paragraph(format!("Where {OURS} is not best:"));
        html.list(&losses);
    }
}

fn cell(column: &Column<'_>, row: &Row, best: Option<f64>) -> Cell {
    let Some(Figure { range, counts }) = (column.of)(row) else { return Cell::none() };
    let median = (column.told)(range.median);
    let text = if range.min == range.max {
        median
    } else {
        format!("{median} ({} - {})", (column.told)(range.min), (column.told)(range.max))
    };
    if !counts {
        return Cell::number(format!("{text}, not sustained")).bad();
    }
    let cell = Cell::number(text);
    if best == Some(range.median) { cell.best() } else { cell }
}
