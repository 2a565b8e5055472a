//! A round: every system once with every number of receivers and every size.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::gathered::{Cell, Found, Gathered, Sample};
use super::options::Options;
use super::search::Search;
use super::trial::{Case, Length, Purpose, Trial};
use super::{SEARCH_TRIALS, Stage};

/// The rounds, and what came up in them.
pub(super) struct Round<'a> {
    options: &'a Options,
    stage: &'a Stage,
    deadline: Instant,
    /// Somebody wants it to end.
    stopped: &'a AtomicBool,
    progress: ProgressBar,
    missing: Vec<String>,
    notes: Vec<String>,
    /// Why system calls are not counted: not tried again.
    no_calls: bool,
}

/// Why a cell is left.
enum Stop {
    /// The time is up.
    Late,
    /// The trial has failed.
    Failed(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl<'a> Round<'a> {
    /// Before the first one.
    pub(super) fn new(
        options: &'a Options,
        stage: &'a Stage,
        deadline: Instant,
        stopped: &'a AtomicBool,
    ) -> Self {
        let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} {msg}");
        let progress = ProgressBar::new(0).with_style(style.expect("a valid template"));
        Self {
            options,
            stage,
            deadline,
            stopped,
            progress,
            missing: Vec::new(),
            notes: Vec::new(),
            no_calls: false,
        }
    }

    /// Plays it; returns whether there was time for all of it.
    pub(super) fn run(&mut self, number: usize, gathered: &mut Gathered) -> bool {
        let mut late = false;
        let all: usize = gathered.cases().map(|cells| cells.len()).sum();
        self.progress.set_length((all * self.options.rounds) as u64);
        for cells in gathered.cases() {
            // A B C, then C B A.
            let mut order: Vec<&mut Cell> = cells.iter_mut().collect();
            if number % 2 == 1 {
                order.reverse();
            }
            for cell in order {
                let what = format!("{}, {} receivers, {} B", cell.system, cell.receivers, cell.size);
                let what = format!("round {} of {}: {what}", number + 1, self.options.rounds);
                late = late || crate::clock::now() >= self.deadline || self.stopped.load(SeqCst);
                if late || matches!(self.measure(number, &what, cell), Err(Late)) {
                    late = true;
                    self.missing.push(what);
                }
                self.progress.inc(1);
            }
        }
        !late
    }

    /// What was left out because it was late.
    pub(super) fn missing(&self) -> Vec<String> {
        self.missing.clone()
    }

    /// What came up.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// No more rounds.
    pub(super) fn finish(self) {
        self.progress.finish_and_clear();
    }

    /// Measures everything of a cell, and writes down what fails; it ends early only if it is late.
    fn measure(&mut self, number: usize, what: &str, cell: &mut Cell) -> Result<(), Late> {
        let options = self.options;
        if !options.no_latency {
            for at in 0..cell.rates.len() {
                let rate = cell.rates[at].rate;
                self.progress.set_message(format!("{what}: latency at {rate} messages/s"));
                let length = Length { warm_up: options.warm_up, duration: options.duration };
                let trial = self.attempt(cell, rate, length, Purpose::Latency);
                if let Some(trial) = note(cell, number, &format!("latency at {rate}/s"), trial)? {
                    cell.rates[at].add(number, trial);
                }
            }
        }
        if !options.no_throughput {
            let found = self.search(what, cell);
            if let Some(Some(knee)) = note(cell, number, "search for the highest rate", found)? {
                cell.knees.push(Found { round: number, knee });
            }
        }
        if options.no_costs {
            return Ok(());
        }
        let low = options.rates.first().copied();
        for (high, rate) in [(false, low), (true, cell.busy_rate())] {
            let Some(rate) = rate else { continue };
            self.progress.set_message(format!("{what}: cost at {rate:.0} messages/s"));
            let trials = self.costs(number, cell, rate)?;
            if high { &mut cell.high } else { &mut cell.low }.extend(trials.into_iter().map(Sample::from));
        }
        Ok(())
    }

    fn search(&self, what: &str, cell: &Cell) -> Result<Option<super::search::Knee>, Stop> {
        let options = self.options;
        let search = match cell.knees.last() {
            Some(found) => Search::around(found.knee.rate, options.max_rate),
            None => Search::blind(options.max_rate),
        };
        let length = Length { warm_up: options.search_warm_up(), duration: options.search };
        let mut tries = 0;
        let mut failure = None;
        let knee = search.run(|rate| {
            tries += 1;
            self.progress
                .set_message(format!("{what}: {rate:.0} messages/s (try {tries}, about {SEARCH_TRIALS})"));
            match self.attempt(cell, rate, length, Purpose::Search) {
                Ok(trial) if trial.is_sustained() => Ok(Some(trial.delivered_per_s())),
                Ok(_) => Ok(None),
                Err(Stop::Late) => Err(Stop::Late),
                // A system that fails under load does not sustain it.
                Err(Stop::Failed(why)) => {
                    failure = Some(why);
                    Ok(None)
                }
            }
        })?;
        match (knee, failure) {
            (None, Some(why)) => Err(Stop::Failed(why)),
            // What was still on its way at the end was not sustained.
            (knee, _) => Ok(knee.map(|knee| {
                let delivered = knee.delivered_per_s / cell.receivers as f64;
                super::search::Knee { rate: knee.rate.min(delivered), ..knee }
            })),
        }
    }

    /// What a message costs; in the first round system calls as well, which are the same in all.
    fn costs(&mut self, number: usize, cell: &mut Cell, rate: f64) -> Result<Vec<Trial>, Late> {
        let length = Length { warm_up: self.options.warm_up, duration: self.options.cost() };
        let trial = self.attempt(cell, rate, length, Purpose::Cost);
        let mut trials: Vec<Trial> =
            note(cell, number, &format!("cost at {rate:.0}/s"), trial)?.into_iter().collect();
        if number > 0 || self.no_calls {
            return Ok(trials);
        }
        if let Err(why) = super::calls::Calls::attach() {
            self.no_calls = true;
            self.notes.push(why);
            return Ok(trials);
        }
        let trial = self.attempt(cell, rate, length, Purpose::Calls);
        trials.extend(note(cell, number, &format!("system calls at {rate:.0}/s"), trial)?);
        Ok(trials)
    }

    fn attempt(&self, cell: &Cell, rate: f64, length: Length, purpose: Purpose) -> Result<Trial, Stop> {
        let late = crate::clock::now() + length.warm_up + length.duration > self.deadline;
        if late || self.stopped.load(SeqCst) {
            return Err(Stop::Late);
        }
        let case = Case { system: &cell.system, receivers: cell.receivers, size: cell.size };
        Ok(Trial::run(self.stage, case, rate, length, purpose)?)
    }
}

/// The time is up.
struct Late;

/// Writes down what has failed.
fn note<T>(cell: &mut Cell, number: usize, what: &str, result: Result<T, Stop>) -> Result<Option<T>, Late> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Stop::Late) => Err(Late),
        Err(Stop::Failed(why)) => {
            cell.errors.push(format!("round {}, {what}: {why}", number + 1));
            Ok(None)
        }
    }
}
