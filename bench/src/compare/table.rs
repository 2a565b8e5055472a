//! A comparison as text, and in Markdown.

mod columns;
pub(crate) mod ratios;

use std::fmt;

use self::columns::Group;
use super::outcome::{Comparison, Ratio, Row, System};

/// What has to be known to read a table.
const LEGEND: &str = "Medians over the rounds (least-most). Latencies count from when a message was due: of one receiver, \
                      and of the last that a message reached. Under load: at 0.8 of the system's highest rate in the first \
                      round. CPU, system calls and bytes on the wire are for each delivery to one receiver.";

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{LEGEND}\n")?;
        for (title, rows) in self.cases() {
            writeln!(f, "{title}\n")?;
            for groups in self.tables(&rows) {
                aligned(f, &lines(&groups, &rows, |best| best))?;
                below(f, "", groups.iter().flat_map(|group| group.losses(&rows)))?;
            }
            let beside = beside(self.ratios_of(rows[0]));
            if beside.len() > 1 {
                aligned(f, &beside)?;
            }
            below(f, "", remarks(&rows).into_iter())?;
        }
        if !self.ratios.is_empty() {
            writeln!(f, "{}\n", ratios::LEGEND)?;
        }
        self.remarks(f, "")
    }
}

impl Comparison {
    /// As tables of Markdown, with the best figure of each column in bold.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        // A string takes everything.
        let _ = self.write_markdown(&mut text);
        text
    }

    fn write_markdown(&self, out: &mut impl fmt::Write) -> fmt::Result {
        writeln!(out, "{LEGEND} The best of each column is bold.\n")?;
        for (title, rows) in self.cases() {
            writeln!(out, "**{title}**\n")?;
            for groups in self.tables(&rows) {
                piped(out, &lines(&groups, &rows, |best| format!("**{best}**")))?;
                below(out, "- ", groups.iter().flat_map(|group| group.losses(&rows)))?;
            }
            let beside = beside(self.ratios_of(rows[0]));
            if beside.len() > 1 {
                piped(out, &beside)?;
            }
            below(out, "- ", remarks(&rows).into_iter())?;
        }
        if !self.ratios.is_empty() {
            writeln!(out, "{}\n", ratios::LEGEND)?;
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

    /// Systems beside each other in the same place as this row is of.
    pub(crate) fn ratios_of(&self, row: &Row) -> impl Iterator<Item = &Ratio> {
        let (receivers, size) = (row.receivers, row.size);
        self.ratios.iter().filter(move |ratio| (ratio.receivers, ratio.size) == (receivers, size))
    }

    /// The columns of each table of a case: together they would be too wide to be read.
    fn tables(&self, rows: &[&Row]) -> Vec<Vec<Group>> {
        let latencies = self.settings.rates.iter().flat_map(|rate| columns::latencies(*rate)).collect();
        let mut tables: Vec<Vec<Group>> = vec![latencies, columns::rate_and_costs()];
        tables.iter_mut().for_each(|groups| groups.retain(|group| group.is_there(rows)));
        tables.retain(|groups| !groups.is_empty());
        tables
    }

    /// What is said of all cases.
    fn remarks(&self, out: &mut impl fmt::Write, bullet: &str) -> fmt::Result {
        for one in &self.unavailable {
            writeln!(out, "{bullet}{} took no part: {}", one.name, one.reason)?;
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

/// A line of headings, and one for each row.
fn lines(groups: &[Group], rows: &[&Row], best: fn(String) -> String) -> Vec<Vec<String>> {
    let headings = groups.iter().map(|group| group.heading.clone());
    let mut lines: Vec<Vec<String>> = vec![std::iter::once("system".to_owned()).chain(headings).collect()];
    for row in rows {
        let cells = groups.iter().map(|group| group.cell(row, rows, best));
        lines.push(std::iter::once(row.system.clone()).chain(cells).collect());
    }
    lines
}

/// A line of headings, and one for each ratio.
fn beside<'a>(ratios: impl Iterator<Item = &'a Ratio>) -> Vec<Vec<String>> {
    let lines = ratios.map(|ratio| ratio.told().to_vec());
    std::iter::once(ratios::HEAD.map(str::to_owned).to_vec()).chain(lines).collect()
}

/// What speaks against the figures of a case, and what has failed in it.
fn remarks(rows: &[&Row]) -> Vec<String> {
    let mut remarks = Vec::new();
    for row in rows {
        let name = &row.system;
        for at in &row.latency {
            let rate = at.rate;
            remarks.extend(at.complaints.iter().map(|complaint| format!("{name} at {rate}/s: {complaint}")));
        }
        remarks.extend(row.errors.iter().map(|error| format!("{name}: a trial failed: {error}")));
    }
    remarks
}

/// As Markdown has tables.
fn piped(out: &mut impl fmt::Write, lines: &[Vec<String>]) -> fmt::Result {
    for (at, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line.iter().map(|cell| escaped(cell)).collect();
        writeln!(out, "| {} |", cells.join(" | "))?;
        if at == 0 {
            writeln!(out, "|---|{}", "---:|".repeat(line.len() - 1))?;
        }
    }
    writeln!(out)
}

fn aligned(f: &mut fmt::Formatter<'_>, lines: &[Vec<String>]) -> fmt::Result {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for line in lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            // Names to the left, figures to the right.
            if column == 0 { write!(f, "{cell:<width$}")? } else { write!(f, "  {cell:>width$}")? }
        }
        writeln!(f)?;
    }
    writeln!(f)
}

/// Sentences below a table, and an empty line if there are any.
fn below(out: &mut impl fmt::Write, bullet: &str, all: impl Iterator<Item = String>) -> fmt::Result {
    let mut any = false;
    for text in all {
        writeln!(out, "{bullet}{}", text.replace('\n', " "))?;
        any = true;
    }
    if any { writeln!(out) } else { Ok(()) }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
