//! The files of results: written by whoever measures, read by whoever reports.
//!
//! | file | what |
//! |---|---|
//! | `run.json` | the [`Outcome`], everything that is known of the run |
//! | `latency.hgrm`, `first.hgrm`, `last.hgrm` | the percentiles of [`Received`](crate::load::outcome::Received) |
//! | `send-start.hgrm`, `send-call.hgrm` | those of [`Paced`](crate::load::Paced) |
//! | `latency.hlog` | the latencies second by second |
//!
//! `docs/results.md` says what every key means.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headcast::clock::mono_ns;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{hgrm, hlog};
use crate::load::outcome::SCHEMA;
use crate::load::{Latencies, Outcome};

/// The file of a single run.
pub const RUN: &str = "run.json";
/// The file of a sweep.
pub const SWEEP: &str = "sweep.json";
/// The file of a comparison of systems.
pub const COMPARE: &str = "compare.json";

/// Bytes that a file of results may have: far more than any has.
const BYTES_MAX: u64 = 1 << 30;

/// Writes all files of a run into a directory, which is made if it is not there. What a run before left there under
/// these names does not stay.
///
/// # Errors
/// When one cannot be written; names it.
pub fn write(directory: &Path, outcome: &Outcome) -> io::Result<()> {
    write_json(directory, RUN, outcome)?;
    let received = outcome.received.as_ref();
    let histograms: [(&str, Option<&Latencies>); 5] = [
        ("latency.hgrm", received.map(|received| &received.latency)),
        ("first.hgrm", received.map(|received| &received.first)),
        ("last.hgrm", received.map(|received| &received.last)),
        ("send-start.hgrm", Some(&outcome.sent.lag)),
        ("send-call.hgrm", Some(&outcome.sent.call)),
    ];
    for (name, latencies) in histograms {
        put(&directory.join(name), latencies.map(|latencies| hgrm::text(latencies.histogram())))?;
    }
    let log = received.map(|received| hlog::text(&received.series, outcome.sent.start_ns, boot()));
    put(&directory.join("latency.hlog"), log)
}

/// Writes a file of results into a directory, which is made if it is not there. The file is whole or as it was before.
///
/// # Errors
/// When it cannot be written; names it.
pub fn write_json(directory: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    fs::create_dir_all(directory).map_err(|error| told(directory, &error))?;
    let path = directory.join(name);
    let text = serde_json::to_string_pretty(value).map_err(|error| told(&path, &error.into()))?;
    put(&path, Some(text + "\n"))
}

/// Writes a file, or sees to it that there is none.
fn put(path: &Path, text: Option<String>) -> io::Result<()> {
    let done = match text {
        None => match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
        Some(text) => {
            let mut new = path.as_os_str().to_owned();
            new.push(".new");
            fs::write(&new, text).and_then(|()| fs::rename(&new, path))
        }
    };
    done.map_err(|error| told(path, &error))
}

fn told(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// When `CLOCK_MONOTONIC` was 0, after 1970. The latencies know nothing else; the tools that read logs want a date.
#[expect(clippy::disallowed_methods, reason = "a file says when it was written")]
fn boot() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_nanos(mono_ns()))
}

/// Reads a file of results; `None` if there is none.
///
/// # Errors
/// When it is there and cannot be read, is damaged, or has another schema.
pub fn read<T: DeserializeOwned>(directory: &Path, name: &'static str) -> Result<Option<T>, Unreadable> {
    let path = directory.join(name);
    let failed = |why| Unreadable { path: path.clone(), why };
    let text = match fs::metadata(&path).and_then(|data| {
        if data.len() > BYTES_MAX {
            return Err(io::Error::other(format!(
                "it has {} bytes, and {BYTES_MAX} is the most",
                data.len()
            )));
        }
        fs::read_to_string(&path)
    }) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| failed(Why::Io(error)))?,
    };
    // First of all: what another version means by the rest is not known.
    #[derive(serde::Deserialize)]
    struct Versioned {
        schema: u32,
    }
    let Versioned { schema } =
        serde_json::from_str(&text).map_err(|error| failed(Why::Damaged(error.to_string())))?;
    if schema != SCHEMA {
        return Err(failed(Why::Schema(schema)));
    }
    serde_json::from_str(&text).map(Some).map_err(|error| failed(Why::Damaged(error.to_string())))
}

/// A file of results that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Which.
    pub path: PathBuf,
    /// Why not.
    pub why: Why,
}

/// Why a file of results cannot be read.
#[derive(Debug)]
pub enum Why {
    /// The system does not hand it out.
    Io(io::Error),
    /// It is not what this program writes; says where it is not.
    Damaged(String),
    /// It is of another version.
    Schema(u32),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            Why::Io(error) => write!(f, "{path} cannot be read: {error}"),
            Why::Damaged(what) => write!(
                f,
                "{path} is damaged: {what}; right would be a file as headcast-bench writes it with --output"
            ),
            Why::Schema(schema) if *schema > SCHEMA => write!(
                f,
                "{path} has schema {schema}, which is newer than this program; right would be {SCHEMA}, or the \
                 headcast-bench that wrote it"
            ),
            Why::Schema(schema) => write!(
                f,
                "{path} has schema {schema}; right would be {SCHEMA}: measure again, or use the headcast-bench that \
                 wrote it"
            ),
        }
    }
}

impl std::error::Error for Unreadable {}
