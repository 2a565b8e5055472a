//! How much each mode loses, and what it costs: measured in worlds with one publisher and one subscriber,
//! beside the formula where there is one.

mod cells;
mod formula;
mod interval;
mod measure;
mod page;
mod picture;

use std::path::{Path, PathBuf};

use cells::Cell;
use measure::Measured;

/// A cell, and what came out.
pub(crate) struct Row {
    pub(crate) cell: Cell,
    pub(crate) measured: Measured,
    /// What the formula says; `None` where there is none.
    pub(crate) formula: Option<f64>,
}

/// How sure the assertion is: of a thousand intervals that are right, one does not hold the truth.
const SURE: f64 = interval::Z_999;

/// Measures, and writes the page and the picture into a directory, or the table alone into a file.
pub(crate) fn write(target: &Path) -> Result<(), String> {
    let target = in_repository(target);
    let rows: Vec<Row> = measure::all()?;
    agree(&rows)?;
    if !target.is_dir() {
        return save(&target, &page::table(&rows));
    }
    let page_path = target.join("reliability.md");
    let page =
        std::fs::read_to_string(&page_path).map_err(|error| format!("{}: {error}", page_path.display()))?;
    save(&page_path, &page::with_table(&page, &rows)?)?;
    save(&target.join("reliability.svg"), &picture::draw(&rows)?)
}

/// The measured losses are those of the formula, as far as can be told.
fn agree(rows: &[Row]) -> Result<(), String> {
    for Row { cell, measured, formula } in rows {
        let (low, high) = measured.interval(SURE);
        if let Some(formula) = formula.filter(|formula| !(low..=high).contains(formula)) {
            return Err(format!(
                "{cell}: measured {:e}, so between {low:e} and {high:e}; the formula says {formula:e}",
                measured.lost()
            ));
        }
    }
    Ok(())
}

/// A test runs in the directory of its package; what is relative is meant from the top of the repository.
fn in_repository(path: &Path) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn save(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
