//! Results as files for other tools, and as a page to look at.
//!
//! `run`, `sweep` and `compare` write their results into a directory ([`files`]); [`run`] makes one page of a directory, or
//! of two runs beside each other. The page needs nothing but itself: style and pictures are in it, and it has no program.

mod chart;
mod curves;
mod facts;
pub mod files;
mod hgrm;
mod hlog;
mod html;
mod one;
mod scale;
mod sweep;
mod systems;
mod two;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use self::html::Html;
use crate::compare::outcome::Comparison;
use crate::load::Outcome;
use crate::sweep::Sweep;

/// What to make a page of.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where `run`, `sweep` or `compare` wrote results with --output; two of `run` are compared.
    #[arg(required = true, num_args = 1..=2, value_name = "DIR")]
    pub directories: Vec<PathBuf>,
    /// The page to write; report.html in the first directory unless given.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Why there is no page.
#[derive(Debug)]
pub enum ReportError {
    /// A file of results cannot be read.
    Unreadable(files::Unreadable),
    /// There is none of those files in the directory that could be shown.
    Nothing(PathBuf, &'static [&'static str]),
    /// The page cannot be written.
    Page(PathBuf, io::Error),
}

/// Makes the page; returns where it is.
///
/// # Errors
/// When there are no results, or they cannot be read, or the page cannot be written.
pub fn run(options: &Options) -> Result<PathBuf, ReportError> {
    let (text, first) = match options.directories.as_slice() {
        [first, second] => (two_runs(first, second)?, first),
        // Options have one at least.
        rest => {
            let first = rest.first().ok_or_else(|| ReportError::Nothing(PathBuf::new(), &ANY))?;
            (directory(first)?, first)
        }
    };
    let page = options.html.clone().unwrap_or_else(|| first.join("report.html"));
    std::fs::write(&page, text).map_err(|error| ReportError::Page(page.clone(), error))?;
    Ok(page)
}

const ANY: [&str; 3] = [files::RUN, files::SWEEP, files::COMPARE];

/// A page of everything in a directory.
fn directory(directory: &Path) -> Result<String, ReportError> {
    let run: Option<Outcome> = files::read(directory, files::RUN)?;
    let sweep: Option<Sweep> = files::read(directory, files::SWEEP)?;
    let comparison: Option<Comparison> = files::read(directory, files::COMPARE)?;
    let mut html = Html::default();
    let mut titles = Vec::new();
    if let Some(comparison) = &comparison {
        titles.push(systems::title(comparison));
        html.title(systems::title(comparison));
        systems::show(&mut html, comparison);
    }
    if let Some(sweep) = &sweep {
        titles.push(sweep::title(sweep));
        html.title(sweep::title(sweep));
        sweep::show(&mut html, sweep);
    }
    if let Some(outcome) = &run {
        titles.push(one::title(outcome));
        html.title(one::title(outcome));
        one::show(&mut html, outcome);
    }
    if titles.is_empty() {
        return Err(ReportError::Nothing(directory.to_owned(), &ANY));
    }
    Ok(html.page(&titles.join("; ")))
}

/// A page of two runs beside each other.
fn two_runs(first: &Path, second: &Path) -> Result<String, ReportError> {
    let read = |directory: &Path| -> Result<Outcome, ReportError> {
        let outcome = files::read(directory, files::RUN)?;
        outcome.ok_or_else(|| ReportError::Nothing(directory.to_owned(), &[files::RUN]))
    };
    let (ours, theirs) = (read(first)?, read(second)?);
    let mut html = Html::default();
    let title = format!("{} beside {}", first.display(), second.display());
    html.title(&title);
    two::show(&mut html, [&first.display().to_string(), &second.display().to_string()], [&ours, &theirs]);
    Ok(html.page(&title))
}

impl From<files::Unreadable> for ReportError {
    fn from(error: files::Unreadable) -> Self {
        Self::Unreadable(error)
    }
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::Nothing(directory, wanted) => {
                let of = if wanted.len() == 1 { "no" } else { "none of" };
                let (directory, wanted) = (directory.display(), wanted.join(", "));
                write!(
                    f,
                    "{directory} has {of} {wanted}; right would be a directory that was written with --output"
                )
            }
            Self::Page(path, error) => write!(f, "{} cannot be written: {error}", path.display()),
        }
    }
}

impl std::error::Error for ReportError {}
