//! Headcast beside other systems, in one run on one machine.
//!
//! Every trial starts all processes of one system, sends at one rate, and ends them. Within a round the systems follow one
//! another, and in the next round the other way round, so that whatever else the machine does meets all of them.

mod calls;
mod cast;
mod child;
mod cost;
mod gathered;
mod options;
pub mod outcome;
mod parts;
mod ratios;
mod round;
mod search;
mod systems;
pub(crate) mod table;
mod targets;
mod trial;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use options::Options;
pub use outcome::Comparison;
pub use parts::{Part, play};

use gathered::Gathered;
use outcome::{SCHEMA, Settings, System, Unavailable};
use round::Round;
use trial::{Case, Length, Purpose, Trial};

use crate::load::Machine;

/// The part of all deliveries that may be lost: 0.01 %.
const LOSS_MAX: f64 = 1e-4;
/// In a search the last message must have come so soon after it was sent.
const LATE_MAX: Duration = Duration::from_millis(250);
/// What a trial takes beyond its messages: processes that start, and silence at its end.
const OVERHEAD: Duration = Duration::from_millis(700);
/// Trials of a search, about.
const SEARCH_TRIALS: u32 = 8;
/// Whether a system works at all is tried with so many receivers, and so fast.
const PROBE: (usize, f64) = (2, 200.0);

/// What all trials have in common.
#[derive(Clone, Debug)]
struct Stage {
    /// This program, which plays the parts.
    program: PathBuf,
    /// The program for what needs a native library.
    rivals: Option<PathBuf>,
    /// The program of the sidecars.
    headcast: PathBuf,
    /// The name that has all receivers' addresses.
    name: String,
    /// The cores of the sender and of the receivers.
    cores: Option<[usize; 2]>,
}

/// Compares.
///
/// # Errors
/// Options that do not go together ([`Usage`](crate::Usage)); when nothing can be compared, or the result cannot be
/// written. A system that fails is told in the result.
pub fn run(options: &Options) -> Result<Comparison, Box<dyn Error>> {
    let options = options.checked()?;
    options.prepare()?;
    // What is started here is ended by us, whoever ends us: a trial is brought to its end, and no other is begun.
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stopped))?;
        signal_hook::flag::register(signal, Arc::clone(&stopped))?;
    }
    let stage = options.stage()?;
    let (systems, unavailable) = probe(&options, &stage);
    if systems.is_empty() {
        let reasons: Vec<String> =
            unavailable.iter().map(|one| format!("{}: {}", one.name, one.reason)).collect();
        return Err(format!("there is nothing to compare: {}", reasons.join("; ")).into());
    }
    let start = crate::clock::now();
    let estimate = estimate(&options, systems.len());
    eprintln!(
        "headcast-bench: {} systems, {} rounds: about {}",
        systems.len(),
        options.rounds,
        humantime::format_duration(Duration::from_secs(estimate.as_secs() + 1))
    );
    let mut gathered = Gathered::new(&options, &systems);
    let mut comparison = Comparison {
        schema: SCHEMA,
        settings: settings(&options),
        machine: Machine::this(),
        systems,
        unavailable,
        rows: Vec::new(),
        ratios: Vec::new(),
        rounds: 0,
        took_s: 0.0,
        missing: Vec::new(),
        notes: notes(),
    };
    let mut round = Round::new(&options, &stage, start + options.deadline, &stopped);
    for number in 0..options.rounds {
        let complete = round.run(number, &mut gathered);
        comparison.rounds += usize::from(complete);
        comparison.rows = gathered.rows();
        comparison.ratios = gathered.ratios(&options);
        comparison.took_s = start.elapsed().as_secs_f64();
        comparison.missing = round.missing();
        for note in round.notes() {
            if !comparison.notes.contains(note) {
                comparison.notes.push(note.clone());
            }
        }
        options.write(&comparison)?;
        if !complete {
            break;
        }
    }
    round.finish();
    Ok(comparison)
}

/// Who works, by one small trial each, and who does not.
fn probe(options: &Options, stage: &Stage) -> (Vec<System>, Vec<Unavailable>) {
    let (mut systems, mut unavailable) = (Vec::new(), options.unavailable());
    for name in options.systems() {
        if unavailable.iter().any(|one| one.name == *name) {
            continue;
        }
        let works = || {
            let system = systems::describe(stage, name)?;
            let case = Case { system: name, receivers: PROBE.0, size: options.sizes[0] };
            let length = Length { warm_up: Duration::ZERO, duration: Duration::from_millis(200) };
            let trial = Trial::run(stage, case, PROBE.1, length, Purpose::Latency)?;
            match trial.received.total.received {
                0 => Err("nothing has arrived in a first small trial".to_owned()),
                _ => Ok(system),
            }
        };
        match works() {
            Ok(system) => systems.push(system),
            Err(reason) => unavailable.push(Unavailable { name: name.clone(), reason }),
        }
    }
    (systems, unavailable)
}

fn settings(options: &Options) -> Settings {
    Settings {
        receivers: options.receivers.clone(),
        sizes: options.sizes.clone(),
        rates: options.rates.clone(),
        duration_s: options.duration.as_secs_f64(),
        warm_up_s: options.warm_up.as_secs_f64(),
        search_s: options.search.as_secs_f64(),
        rounds: options.rounds,
        cores: options.cores.0,
        loss_max: LOSS_MAX,
        late_max_ns: u64::try_from(LATE_MAX.as_nanos()).unwrap_or(u64::MAX),
        command: std::env::args().collect::<Vec<_>>().join(" "),
    }
}

/// What is known before anything was measured.
fn notes() -> Vec<String> {
    let mut notes = Vec::new();
    if cost::Wire::now().is_none() {
        notes.push(
            "bytes on the wire are not told: loopback's MTU is not 1500, as scripts/compare sets it in a network \
             namespace of its own"
                .to_owned(),
        );
    }
    notes
}

/// How long it takes, about.
fn estimate(options: &Options, systems: usize) -> Duration {
    let mut each = Duration::ZERO;
    if !options.no_latency {
        let rates = u32::try_from(options.rates.len()).unwrap_or(u32::MAX);
        each += (options.warm_up + options.duration + OVERHEAD).saturating_mul(rates);
    }
    if !options.no_throughput {
        each += (options.search_warm_up() + options.search + OVERHEAD).saturating_mul(SEARCH_TRIALS);
    }
    if !options.no_costs {
        // Slowly and fast.
        each += 2 * (options.warm_up + options.cost() + OVERHEAD);
    }
    let cells = options.receivers.len() * options.sizes.len() * options.rounds * systems;
    each.saturating_mul(u32::try_from(cells).unwrap_or(u32::MAX))
}
