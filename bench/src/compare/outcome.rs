//! What a comparison came to, as it is told, stored and drawn.

mod ratio;

use serde::{Deserialize, Serialize};

pub use ratio::{Bound, Figure, Ratio, Target};

use crate::load::{Latencies, Machine};

/// The version of the JSON that comparisons are stored in; another one means another thing.
pub const SCHEMA: u32 = 1;

/// A comparison: what was asked for, who took part, and what each came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was asked for.
    pub settings: Settings,
    /// Where it ran.
    pub machine: Machine,
    /// Who took part, in the order of the first round.
    pub systems: Vec<System>,
    /// Who did not, and why.
    pub unavailable: Vec<Unavailable>,
    /// One for each system, number of receivers and size, in the order of size, receivers, system.
    pub rows: Vec<Row>,
    /// Pairs of systems beside each other, in the order of size, receivers, pair, figure.
    #[serde(default)]
    pub ratios: Vec<Ratio>,
    /// Rounds that were made in full.
    pub rounds: usize,
    /// Seconds that it took.
    pub took_s: f64,
    /// What was left out because the time was up; empty if nothing was.
    pub missing: Vec<String>,
    /// What else one has to know to read the figures.
    pub notes: Vec<String>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Numbers of receivers.
    pub receivers: Vec<usize>,
    /// Bytes of a payload.
    pub sizes: Vec<usize>,
    /// The fixed rates, in messages per second.
    pub rates: Vec<f64>,
    /// Seconds of a trial at a fixed rate.
    pub duration_s: f64,
    /// Seconds before that which do not count.
    pub warm_up_s: f64,
    /// Seconds of a trial in the search for the highest rate.
    pub search_s: f64,
    /// How often everything is measured.
    pub rounds: usize,
    /// The cores of the sender and of the receivers, where they are pinned. Servers are left to the scheduler.
    pub cores: Option<[usize; 2]>,
    /// The part of all deliveries that may not be there in time at the highest rate and at a rate that is sustained, 0 to 1.
    pub loss_max: f64,
    /// Nanoseconds after the last message was sent within which the last one must have come, in the search.
    pub late_max_ns: u64,
    /// The command line.
    pub command: String,
}

/// Who took part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct System {
    /// Its name: `redis`, `headcast`...
    pub name: String,
    /// Its version, as it says by itself.
    pub version: String,
    /// How it was set up, in words.
    pub setup: String,
}

/// Who did not take part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unavailable {
    /// Its name.
    pub name: String,
    /// Why, exactly.
    pub reason: String,
}

/// One system with one number of receivers and one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The system's name.
    pub system: String,
    /// How many receivers.
    pub receivers: usize,
    /// Bytes of a payload.
    pub size: usize,
    /// One for each fixed rate, in their order.
    pub latency: Vec<AtRate>,
    /// The highest rate; none if there is no such rate, or it was not asked for.
    pub throughput: Option<Throughput>,
    /// What a message costs at the lowest of the fixed rates.
    pub low: Option<Cost>,
    /// What a message costs under load: at 0.8 of the highest rate that was found in the first round.
    pub knee: Option<Cost>,
    /// Trials that failed, and why.
    pub errors: Vec<String>,
}

/// All trials at a fixed rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AtRate {
    /// Messages per second that were asked for.
    pub rate: f64,
    /// Trials that were made.
    pub trials: usize,
    /// Those among them in which the rate was sustained: everything was sent when it should be, and no more than
    /// [`loss_max`](Settings::loss_max) was lost.
    pub sustained_trials: usize,
    /// Whether the rate was sustained in most trials. If so, latencies are of those trials; otherwise they are of all, and
    /// are what one sees of a system that is overloaded.
    pub sustained: bool,
    /// Messages that were sent, in all trials.
    pub sent: u64,
    /// Messages that came, at all receivers together, each once.
    pub received: u64,
    /// Messages that were not there in time: half a second after the last that came, and 5 s after the last was sent.
    /// `received + lost` is `sent` times the receivers.
    pub lost: u64,
    /// Messages that came more than once.
    pub duplicates: u64,
    /// Of each message at the first receiver that it reached.
    #[serde(default)]
    pub first: Quantiles,
    /// Of each message at each receiver: one receiver.
    pub one: Quantiles,
    /// Of each message that reached all, at the last of them.
    pub last: Quantiles,
    /// All trials together, one receiver.
    pub one_all: Latencies,
    /// All trials together, the last receiver.
    pub last_all: Latencies,
    /// What speaks against the figures, each with how many trials it was said of.
    pub complaints: Vec<String>,
}

/// The figures of each trial by themselves, in nanoseconds, and how they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of the messages.
    pub p50_ns: Range,
    /// 99 % of them.
    pub p99_ns: Range,
    /// 99.9 %.
    pub p999_ns: Range,
}

/// A figure over several trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The one in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Range {
    /// Of these figures; `None` if there are none.
    #[must_use]
    pub fn of(figures: &[f64]) -> Option<Self> {
        let median = crate::statistics::median(figures)?;
        let min = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let max = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { median, min, max })
    }
}

/// The highest rate at which no more than [`loss_max`](Settings::loss_max) was not there in time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Messages delivered per second, all receivers together.
    pub delivered_per_s: Range,
    /// Messages sent per second.
    pub sent_per_s: Range,
    /// Searches that found one.
    pub searches: usize,
    /// Whether one of them ended because no higher rate is tried, rather than because the system failed.
    pub at_limit: bool,
}

/// What a message costs at a rate, by trials of their own whose sender sleeps between messages, where in others it spins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Messages per second.
    pub rate: f64,
    /// Seconds of a core for a million deliveries, of all processes of the system.
    pub cpu_s_per_million: Range,
    /// System calls for each delivery, of all processes; counted in one more trial.
    pub calls_per_delivery: Option<f64>,
    /// Bytes on the wire for each byte of payload delivered.
    pub wire_per_payload: Option<Range>,
}
