//! Runs the worlds of the table.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;

use super::cells::{Cell, MESSAGES, WORLDS};
use super::interval::{Sample, Z_95};
use super::{Row, formula};
use crate::campaign::{describe, lock, on_all_cores, run};
use crate::world::Totals;

/// What came out of the worlds of a cell.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) missed: Sample,
    first_bytes: u64,
    other_bytes: u64,
}

impl Measured {
    /// The share of messages that did not arrive.
    pub(crate) fn lost(&self) -> f64 {
        self.missed.share()
    }

    pub(crate) fn interval(&self, z: f64) -> (f64, f64) {
        self.missed.interval(z)
    }

    pub(crate) fn interval_95(&self) -> (f64, f64) {
        self.interval(Z_95)
    }

    /// What was sent besides the first copies, for each of their bytes.
    pub(crate) fn extra(&self) -> f64 {
        self.other_bytes as f64 / self.first_bytes as f64
    }
}

/// Measures every cell. All worlds have seeds of their own.
pub(super) fn all() -> Result<Vec<Row>, String> {
    let progress = std::io::stderr().is_terminal();
    let mut rows: Vec<Row> = Vec::new();
    for (at, cell) in (0..).zip(Cell::all()) {
        if progress {
            eprint!("\r\x1b[K{cell}");
            let _ = std::io::stderr().flush();
        }
        let mut measured = measure(&cell, at * WORLDS + 1)?;
        // Losses that nearly none is left of come in bursts as large as those of first copies, at most.
        let alike = |row: &&Row| row.cell.mean == cell.mean && row.cell.bursts == cell.bursts;
        let once = rows.iter().find(alike).map_or(1.0, |row| row.measured.missed.design_effect());
        measured.missed.least_effect = once;
        rows.push(Row { cell, measured, formula: formula::lost(&cell) });
    }
    if progress {
        eprint!("\r\x1b[K");
    }
    Ok(rows)
}

fn measure(cell: &Cell, first_seed: u64) -> Result<Measured, String> {
    let results: Mutex<Vec<Option<Totals>>> = Mutex::new(vec![None; WORLDS as usize]);
    let failure: Mutex<Option<String>> = Mutex::new(None);
    on_all_cores(WORLDS, |at| match run(cell.plan(first_seed + at), false) {
        Ok(totals) => {
            lock(&results)[at as usize] = Some(totals);
            true
        }
        Err(violation) => {
            *lock(&failure) = Some(format!("{cell}: {}", describe(&violation)));
            false
        }
    });
    if let Some(failure) = lock(&failure).take() {
        return Err(failure);
    }
    // In the order of their seeds, whoever ran them.
    let worlds: Vec<Totals> = lock(&results).iter().flatten().copied().collect();
    let sum = |of: fn(&Totals) -> u64| worlds.iter().map(of).sum::<u64>();
    let each = worlds.iter().all(|world| world.measured == MESSAGES);
    if !each {
        return Err(format!("{cell}: a world has not measured {MESSAGES} messages"));
    }
    Ok(Measured {
        missed: Sample {
            each: MESSAGES,
            hits: worlds.iter().map(|world| world.missed).collect(),
            least_effect: 1.0,
        },
        first_bytes: sum(|world| world.first_bytes),
        other_bytes: sum(|world| world.other_bytes),
    })
}
