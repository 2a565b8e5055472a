//! What a comparison is asked for.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;

use super::outcome::{Comparison, Unavailable};
use super::ratios::{self, Pair};
use super::search::RATE_MAX;
use super::targets::PAIRS;
use super::{Stage, systems};
use crate::load::stamp::STAMP_LEN;
use crate::usage::{self, Cores, Usage};

/// The longest payload: what every system carries in one datagram.
const SIZE_MAX: u64 = 1352;
/// The longest trial.
const TRIAL_MAX: Duration = Duration::from_secs(60);
/// The longest comparison.
const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long what a message costs is looked at.
const COST: Duration = Duration::from_secs(1);

/// What to compare, and how thoroughly.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The systems, in the order of the first round; by default all but headcast-once.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = systems::known)]
    pub systems: Vec<String>,
    /// Numbers of receivers.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [8, 32, 100],
          value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub receivers: Vec<usize>,
    /// Bytes of each message; the first 24 say which one it is and when it was due.
    #[arg(long, value_name = "BYTES,...", value_delimiter = ',', default_values_t = [128, 1024],
          value_parser = RangedU64ValueParser::<usize>::new().range(STAMP_LEN as u64..=SIZE_MAX))]
    pub sizes: Vec<usize>,
    /// Messages per second at which latencies are measured; costs are at the lowest.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1_000.0, 10_000.0], value_parser = usage::rate)]
    pub rates: Vec<f64>,
    /// How long each of those rates is measured; at most 1m, its warm-up included.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = usage::duration)]
    pub duration: Duration,
    /// How long messages are sent before that, which are in no figure.
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = usage::duration)]
    pub warm_up: Duration,
    /// How long each rate is tried in the search for the highest.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = usage::duration)]
    pub search: Duration,
    /// No higher rate is tried.
    #[arg(long, value_name = "N", default_value_t = RATE_MAX, value_parser = usage::rate)]
    pub max_rate: f64,
    /// How often everything is measured; every other round goes the other way round.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = RangedU64ValueParser::<usize>::new().range(1..=100))]
    pub rounds: usize,
    /// Leave the search for the highest rate out.
    #[arg(long, conflicts_with = "no_latency")]
    pub no_throughput: bool,
    /// Leave latencies at fixed rates out.
    #[arg(long)]
    pub no_latency: bool,
    /// Leave out what a message costs.
    #[arg(long)]
    pub no_costs: bool,
    /// Systems to put beside each other round by round, besides those that always are; without --systems only these
    /// take part.
    ///
    /// The median of the rounds' ratios is told, with its 95 % bootstrap interval: 20 rounds and more make it narrow.
    #[arg(long, value_name = "ONE/OTHER,...", value_delimiter = ',', value_parser = ratios::pair)]
    pub ratio: Vec<Pair>,
    /// The cores to keep the sender and the receivers on; `none` leaves them to the kernel, as servers, relays and
    /// media drivers always are.
    #[arg(long, value_name = "SENDER,RECEIVERS", default_value = "auto", value_parser = usage::cores)]
    pub cores: Cores,
    /// Stop after this time, and say what is missing; at most 1d.
    #[arg(long, value_name = "DURATION", default_value = "3h", value_parser = usage::duration)]
    pub deadline: Duration,
    /// One small case, one round: shows that it works.
    #[arg(long, conflicts_with_all = ["receivers", "sizes", "rates", "duration", "warm_up", "search", "max_rate", "rounds"])]
    pub quick: bool,
    /// Write compare.json into this directory, after every round; `report` makes a page of it.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Print a table in Markdown.
    #[arg(long)]
    pub markdown: bool,
    /// The program for ZeroMQ and Aeron, which scripts/compare builds.
    #[arg(long, value_name = "PATH")]
    pub rivals: Option<PathBuf>,
    /// The program of the sidecars [default: headcast, beside this program]
    #[arg(long, value_name = "PATH")]
    pub headcast: Option<PathBuf>,
    /// A name that, with the number of receivers in front of it as 8.NAME, has their addresses, 127.0.1.1 and so on.
    ///
    /// It is for what resolves a name by itself; where it has other addresses, they are given to it.
    #[arg(long, value_name = "NAME", default_value = "headcast-bench.internal")]
    pub name: String,
    /// A system that cannot take part, and why.
    #[arg(long, value_name = "NAME=REASON", value_parser = unavailable)]
    pub unavailable: Vec<Unavailable>,
    /// The program that plays the parts.
    #[arg(long, value_name = "PATH", hide = true)]
    pub program: Option<PathBuf>,
}

impl Options {
    /// All of them, where the command line may leave something out.
    ///
    /// # Errors
    /// Says what does not go together, and what would be right.
    pub(super) fn checked(&self) -> Result<Self, Usage> {
        let mut options = self.clone();
        if options.quick {
            (options.receivers, options.sizes, options.rates) = (vec![3], vec![128], vec![1_000.0]);
            (options.duration, options.warm_up) = (Duration::from_millis(300), Duration::from_millis(100));
            (options.search, options.max_rate, options.rounds) = (Duration::from_millis(300), 4_000.0, 1);
        }
        if options.systems.is_empty() && !options.ratio.is_empty() {
            for (system, other) in &options.ratio {
                options.systems.extend([system.clone(), other.clone()]);
            }
        }
        if options.systems.is_empty() {
            options.systems = systems::usual().collect();
        }
        let mut seen = BTreeSet::new();
        options.systems.retain(|name| seen.insert(name.clone()));
        let absent = options.ratio.iter().flat_map(|(system, other)| [system, other]);
        if let Some(name) = absent.into_iter().find(|name| !seen.contains(*name)) {
            return Err(Usage(format!(
                "--ratio names {name}, which --systems leaves out: right would be both"
            )));
        }
        for list in [&mut options.receivers, &mut options.sizes] {
            list.sort_unstable();
            list.dedup();
        }
        options.rates.sort_by(f64::total_cmp);
        options.rates.dedup();
        for (name, length) in [("--duration", options.duration), ("--search", options.search)] {
            if length.is_zero() || length.saturating_add(options.warm_up) > TRIAL_MAX {
                let asked = humantime::format_duration(length);
                return Err(Usage(format!("{name} {asked}: right would be up to 1m, with --warm-up")));
            }
        }
        options.cores.check(false)?;
        if options.deadline > DEADLINE_MAX {
            return Err(Usage("--deadline: right would be up to 1d".to_owned()));
        }
        Ok(options)
    }

    /// Makes the directory of the results: that there is none is better known before anything is measured.
    ///
    /// # Errors
    /// When it cannot; names it.
    pub(super) fn prepare(&self) -> Result<(), String> {
        let Some(directory) = &self.output else { return Ok(()) };
        fs::create_dir_all(directory).map_err(|error| {
            format!("--output {}: no results can be written there: {error}", directory.display())
        })
    }

    pub(super) fn systems(&self) -> &[String] {
        &self.systems
    }

    /// Who is put beside whom.
    pub(super) fn pairs(&self) -> Vec<Pair> {
        let always = PAIRS.map(|(system, other)| (system.to_owned(), other.to_owned()));
        let asked = self.ratio.iter().filter(|pair| !always.contains(pair)).cloned();
        always.iter().cloned().chain(asked).collect()
    }

    /// What was said to be unavailable, as far as it was asked for.
    pub(super) fn unavailable(&self) -> Vec<Unavailable> {
        self.unavailable.iter().filter(|one| self.systems.contains(&one.name)).cloned().collect()
    }

    /// What all trials have in common.
    ///
    /// # Errors
    /// When it is not known where this program is.
    pub(super) fn stage(&self) -> io::Result<Stage> {
        let program = self.program.clone().map_or_else(std::env::current_exe, Ok)?;
        let headcast = self.headcast.clone().unwrap_or_else(|| program.with_file_name("headcast"));
        let (rivals, name) = (self.rivals.clone(), self.name.clone());
        Ok(Stage { program, rivals, headcast, name, cores: self.cores.0 })
    }

    /// The warm-up of a trial in the search.
    pub(super) fn search_warm_up(&self) -> Duration {
        self.warm_up.min(self.search / 5)
    }

    /// How long what a message costs is looked at.
    pub(super) fn cost(&self) -> Duration {
        self.duration.min(COST)
    }

    /// Writes compare.json, and the tables as compare.txt and compare.md; each whole or not at all.
    ///
    /// # Errors
    /// When it cannot; names the file.
    pub(super) fn write(&self, comparison: &Comparison) -> io::Result<()> {
        let Some(directory) = &self.output else { return Ok(()) };
        let files = [
            ("compare.json", serde_json::to_string_pretty(comparison)?),
            ("compare.txt", comparison.to_string()),
            ("compare.md", comparison.markdown()),
        ];
        for (name, text) in files {
            let path = directory.join(name);
            let write = || {
                fs::create_dir_all(directory)?;
                let mut file = tempfile::NamedTempFile::new_in(directory)?;
                io::Write::write_all(&mut file, text.as_bytes())?;
                // Made for its owner alone, which results are not.
                let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
                file.as_file().set_permissions(readable)?;
                file.persist(&path)?;
                Ok(())
            };
            write().map_err(|error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
        }
        Ok(())
    }
}

fn unavailable(text: &str) -> Result<Unavailable, String> {
    let right = "right would be a system and why it cannot take part, as 'aeron=cmake is missing'";
    let (name, reason) = text.split_once('=').ok_or(right)?;
    Ok(Unavailable { name: systems::known(name)?, reason: reason.trim().to_owned() })
}
