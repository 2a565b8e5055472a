//! How far a service can be driven: rates go up until something gives.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::load::health::ACHIEVED_MIN;
use crate::load::latencies::human;
use crate::load::outcome::SCHEMA;
use crate::load::stamp::STAMP_LEN;
use crate::load::{Machine, Outcome};
use crate::{run, usage};

/// The part of all deliveries that may be missing, repairs and all.
pub const LOSS_MAX: f64 = 0.0001;
/// How many times the 99th percentile at the lowest rate it may be.
pub const P99_FACTOR_MAX: f64 = 10.0;
/// Runs that do not count because of the machine are repeated so often.
const TRIES: usize = 3;
/// Steps of a sweep whose rates are not given.
const DOUBLINGS_MAX: u32 = 16;

/// What to go through. All else is as for a single run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Rates to go through in messages per second, from the lowest on; from 1000 on doubling unless given.
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = usage::rate)]
    pub rates: Vec<f64>,
    /// Receiver counts to go through.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [8, 32, 100],
          value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    pub receiver_counts: Vec<usize>,
    /// Sizes to go through, in bytes.
    #[arg(long, value_name = "BYTES,...", value_delimiter = ',', default_values_t = [128],
          value_parser = RangedU64ValueParser::<usize>::new().range(STAMP_LEN as u64..=1_048_576))]
    pub sizes: Vec<usize>,
    /// How long each step is measured.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = usage::duration)]
    pub duration: std::time::Duration,
    /// How long messages are sent before that.
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = usage::duration)]
    pub warm_up: std::time::Duration,
    /// How messages are made to arrive: once, dup, dup+nak or nak.
    #[arg(long, value_name = "MODE", value_parser = run::mode)]
    pub mode: Option<headcast::Mode>,
    /// Send the payload alone.
    #[arg(long)]
    pub raw: bool,
    /// The cores to keep the sender and the receivers on; `auto` takes the first two that it may run on, `none` leaves
    /// them to the kernel, as `auto` does where there are not two.
    #[arg(long, value_name = "SENDER,RECEIVERS", default_value = "auto", value_parser = usage::cores)]
    pub cores: usage::Cores,
    /// Write sweep.json into this directory; `report` makes a page of it.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// Every step, and where the knees are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sweep {
    /// The version of this JSON: [`SCHEMA`].
    pub schema: u32,
    /// Where it ran.
    pub machine: Machine,
    /// In the order in which they were measured.
    pub points: Vec<Point>,
    /// One for each receiver count and size.
    pub knees: Vec<Knee>,
}

/// One step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// The run.
    pub outcome: Outcome,
    /// What gave; nothing if this is empty.
    pub gave: Vec<Limit>,
}

/// How far it went with one receiver count and size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Knee {
    /// How many receivers.
    pub receivers: usize,
    /// Bytes of each message.
    pub size: usize,
    /// The highest rate that was kept, in messages per second; `None` if the lowest was not.
    pub kept: Option<f64>,
    /// The first rate at which something gave; `None` if none did.
    pub gave_at: Option<f64>,
    /// What gave there.
    pub gave: Vec<Limit>,
}

/// What makes a knee.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Less than 99.5 % of the rate was achieved; the part that was.
    Rate(f64),
    /// More than 0.01 % of the deliveries did not come about, repairs and all; the part that did not.
    Loss(f64),
    /// The 99th percentile was more than ten times that at the lowest rate; how many times.
    Latency(f64),
}

impl Limit {
    /// What gave in a run, when the 99th percentile at the lowest rate is `p99_low_ns`.
    #[must_use]
    pub fn of(outcome: &Outcome, p99_low_ns: u64) -> Vec<Self> {
        let mut gave = Vec::new();
        let (sent, rate) = (&outcome.sent, outcome.settings.rate);
        let part = sent.achieved(rate) / rate;
        if part < ACHIEVED_MIN {
            gave.push(Self::Rate(part));
        }
        if let Some(loss) = outcome.loss().filter(|loss| *loss > LOSS_MAX) {
            gave.push(Self::Loss(loss));
        }
        let p99_ns = p99_ns(outcome);
        let times = p99_ns as f64 / p99_low_ns.max(1) as f64;
        if times > P99_FACTOR_MAX {
            gave.push(Self::Latency(times));
        }
        gave
    }
}

fn p99_ns(outcome: &Outcome) -> u64 {
    outcome.received.as_ref().map_or(0, |received| received.latency.at(0.99))
}

/// Goes through all of it. `keep` gets what there is after each knee: a later step may fail.
///
/// # Errors
/// As a single run; options that do not go together before anything is measured.
pub fn run(options: &Options, mut keep: impl FnMut(&Sweep)) -> Result<Sweep, Box<dyn Error>> {
    let rates = options.checked_rates()?;
    let mut sweep = Sweep { schema: SCHEMA, machine: Machine::this(), points: Vec::new(), knees: Vec::new() };
    let progress = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {pos} steps, {elapsed}: {msg}").expect("a valid template"),
    );
    for &receivers in &options.receiver_counts {
        for &size in &options.sizes {
            let knee = climb(options, &rates, receivers, size, &mut sweep.points, &progress)?;
            sweep.knees.push(knee);
            keep(&sweep);
        }
    }
    progress.finish_and_clear();
    Ok(sweep)
}

/// With one receiver count and size, up to the knee.
fn climb(
    options: &Options,
    rates: &[f64],
    receivers: usize,
    size: usize,
    points: &mut Vec<Point>,
    progress: &ProgressBar,
) -> Result<Knee, Box<dyn Error>> {
    let mut knee = Knee { receivers, size, kept: None, gave_at: None, gave: Vec::new() };
    let mut p99_low_ns = None;
    for &rate in rates {
        let run = options.of(rate, receivers, size);
        // Rates that were asked for can all be had; the doublings end where the books do.
        if run.check().is_err() {
            break;
        }
        progress.set_message(format!("{receivers} receivers, {size} B, {rate} messages/s"));
        let (outcome, gave) = step(&run, &mut p99_low_ns)?;
        progress.inc(1);
        points.push(Point { outcome, gave: gave.clone() });
        if !gave.is_empty() {
            (knee.gave_at, knee.gave) = (Some(rate), gave);
            break;
        }
        knee.kept = Some(rate);
    }
    Ok(knee)
}

/// One rate. What gives once may have been the machine: it is measured again, and the best counts.
fn step(
    options: &run::Options,
    p99_low_ns: &mut Option<u64>,
) -> Result<(Outcome, Vec<Limit>), Box<dyn Error>> {
    let mut best: Option<(Outcome, Vec<Limit>)> = None;
    for _ in 0..TRIES {
        let outcome = run::step(options)?;
        let low_ns = p99_low_ns.unwrap_or_else(|| p99_ns(&outcome));
        let gave = Limit::of(&outcome, low_ns);
        let done = gave.is_empty() && outcome.is_valid();
        if best.as_ref().is_none_or(|(_, others)| gave.len() < others.len()) || done {
            best = Some((outcome, gave));
        }
        if done {
            break;
        }
    }
    let (outcome, gave) = best.ok_or("nothing was measured")?;
    p99_low_ns.get_or_insert_with(|| p99_ns(&outcome));
    Ok((outcome, gave))
}

impl Options {
    /// The rates to go through, ascending.
    ///
    /// # Errors
    /// When one of the runs cannot be; of the doublings, which are not asked for, only the first has to be possible.
    fn checked_rates(&self) -> Result<Vec<f64>, usage::Usage> {
        let doubling = (0..DOUBLINGS_MAX).map(|step| 1_000.0 * f64::from(1 << step)).collect();
        let is_doubling = self.rates.is_empty();
        let mut rates: Vec<f64> = if is_doubling { doubling } else { self.rates.clone() };
        rates.sort_by(f64::total_cmp);
        let asked = if is_doubling { &rates[..1] } else { &rates[..] };
        for &receivers in &self.receiver_counts {
            for &size in &self.sizes {
                asked.iter().try_for_each(|rate| self.of(*rate, receivers, size).check())?;
            }
        }
        Ok(rates)
    }

    /// A single run of it.
    fn of(&self, rate: f64, receivers: usize, size: usize) -> run::Options {
        run::Options {
            rate,
            receivers,
            size,
            duration: self.duration,
            warm_up: self.warm_up,
            mode: self.mode,
            raw: self.raw,
            cores: self.cores,
            ..run::Options::default()
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(part) => write!(f, "{:.1} % of the rate", 100.0 * part),
            Self::Loss(part) => write!(f, "{:.4} % lost", 100.0 * part),
            Self::Latency(times) => write!(f, "p99 {times:.1} times that at the lowest rate"),
        }
    }
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>9}  {:>8}  {:>11}  {:>12}  {:>9}  {:>9}  {:>9}  what gave",
            "receivers", "size", "messages/s", "delivered/s", "p50", "p99", "last p99"
        )?;
        for Point { outcome, gave } in &self.points {
            let settings = &outcome.settings;
            let at = |quantile| outcome.received.as_ref().map_or(0, |received| received.latency.at(quantile));
            let last_ns = outcome.received.as_ref().map_or(0, |received| received.last.at(0.99));
            let mut notes: Vec<String> = gave.iter().map(ToString::to_string).collect();
            if gave.is_empty() && !outcome.is_valid() {
                notes.push(format!("not valid: {}", outcome.complaints.join("; ")));
            }
            writeln!(
                f,
                "{:>9}  {:>8}  {:>11}  {:>12.0}  {:>9}  {:>9}  {:>9}  {}",
                settings.receivers,
                settings.size,
                settings.rate,
                outcome.delivered_per_s(),
                human(at(0.5)),
                human(at(0.99)),
                human(last_ns),
                if notes.is_empty() { "-".to_owned() } else { notes.join(", ") },
            )?;
        }
        for knee in &self.knees {
            write!(f, "\n{} receivers, {} B: kept ", knee.receivers, knee.size)?;
            match knee.kept {
                None => write!(f, "not even the lowest rate")?,
                Some(rate) => write!(f, "{rate} messages/s")?,
            }
            let counts = |point: &&Point| {
                let settings = &point.outcome.settings;
                (settings.receivers, settings.size) == (knee.receivers, knee.size)
                    && !point.outcome.is_valid()
            };
            match self.points.iter().filter(|point| point.gave.is_empty()).filter(counts).count() {
                _ if knee.kept.is_none() => {}
                0 => {}
                doubtful => write!(f, "; {doubtful} of the steps up to there do not count")?,
            }
            writeln!(f, "{}", if knee.gave_at.is_none() { "; no higher one was tried" } else { "" })?;
        }
        Ok(())
    }
}
