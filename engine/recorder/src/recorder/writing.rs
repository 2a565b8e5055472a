//! The writer's thread: becomes the database's only writer, and stores one batch after another.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};

use super::state::{Shared, State};
use crate::{Batch, Database, Options, Receipt, Store, StoreError, Tally};

/// How often a recorder that stands by asks whether the writer is gone.
const STANDBY_LOOK: Duration = Duration::from_millis(250);
/// How long to wait after a failure; it doubles with every further one.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often an idle writer sees whether it still is one.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// The longest sleep without a look at whether to stop.
const NAP: Duration = Duration::from_millis(50);

/// What the writer tells the data thread.
pub(super) enum Report {
    /// How it stands now.
    State(State),
    /// A transaction failed, and is tried again.
    Failed,
    /// A batch was committed.
    Stored {
        /// For the next.
        batch: Batch,
        /// What became of it.
        tally: Tally,
        /// Who is to be told.
        receipts: Vec<Receipt>,
    },
    /// A batch was not stored, and will not be: its responders keep it.
    GivenBack(Batch),
    /// The database cannot be used, and that will not pass.
    Fatal(StoreError),
}

pub(super) struct Writer {
    database: Database,
    options: Options,
    batches: Receiver<Batch>,
    reports: Sender<Report>,
    shared: Arc<Shared>,
    /// What was logged last, so that a lasting failure is said once.
    said: Option<String>,
}

/// Why a store is left.
enum Left {
    /// Another recorder writes now.
    Taken,
    /// There is nothing more to do.
    Ended,
}

impl Writer {
    pub(super) fn new(
        database: Database,
        options: Options,
        batches: Receiver<Batch>,
        reports: Sender<Report>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { database, options, batches, reports, shared, said: None }
    }

    pub(super) fn run(mut self) {
        while let Some(mut store) = self.open() {
            self.report(Report::State(State::Ready));
            match self.write_all(&mut store) {
                // Nothing more is to be handed over, and nobody is to be told that this one is ready.
                Ok(Left::Taken) => self.report(Report::State(State::Standby)),
                Ok(Left::Ended) => break,
                Err(error) => return self.report(Report::Fatal(error)),
            }
        }
        self.give_back();
    }

    /// Becomes the writer, however long that takes; `None` when there is no point any more.
    fn open(&mut self) -> Option<Store> {
        let mut retry = RETRY_MIN;
        let mut standing_by = false;
        while !self.shared.stop.load(SeqCst) {
            self.give_back();
            match Store::open(&self.database, self.options) {
                Ok(Some(store)) => {
                    self.recovered();
                    return Some(store);
                }
                Ok(None) => {
                    self.recovered();
                    if !standing_by {
                        standing_by = true;
                        tracing::info!(database = %self.database, "another recorder writes; standing by");
                        self.report(Report::State(State::Standby));
                    }
                    retry = RETRY_MIN;
                    self.sleep(STANDBY_LOOK);
                }
                Err(error) if error.is_passing() => {
                    self.say(&error, retry);
                    self.sleep(retry);
                    retry = (2 * retry).min(RETRY_MAX);
                }
                Err(error) => {
                    self.report(Report::Fatal(error));
                    return None;
                }
            }
        }
        None
    }

    /// Gives back what was handed over while there is nobody to store it.
    fn give_back(&self) {
        while let Ok(batch) = self.batches.try_recv() {
            self.report(Report::GivenBack(batch));
        }
    }

    /// Stores what comes.
    fn write_all(&mut self, store: &mut Store) -> Result<Left, StoreError> {
        let mut receipts = Vec::new();
        loop {
            match self.batches.recv_timeout(CHECK_EVERY) {
                Ok(batch) => match self.write(store, &batch, &mut receipts)? {
                    Some(tally) => {
                        let receipts = std::mem::take(&mut receipts);
                        self.report(Report::Stored { batch, tally, receipts });
                    }
                    None => {
                        self.report(Report::GivenBack(batch));
                        return Ok(if self.shared.stop.load(SeqCst) { Left::Ended } else { Left::Taken });
                    }
                },
                Err(RecvTimeoutError::Timeout) => match store.check() {
                    Ok(()) => self.recovered_to_ready(),
                    Err(StoreError::Taken(_)) => return Ok(Left::Taken),
                    Err(error) if passes(&error) => self.fail(&error, CHECK_EVERY),
                    Err(error) => return Err(error),
                },
                Err(RecvTimeoutError::Disconnected) => return Ok(Left::Ended),
            }
        }
    }

    /// Stores one batch, however often that has to be tried; `None` when it is another's to store, or nobody waits for
    /// it any more.
    fn write(
        &mut self,
        store: &mut Store,
        batch: &Batch,
        receipts: &mut Vec<Receipt>,
    ) -> Result<Option<Tally>, StoreError> {
        let mut retry = RETRY_MIN;
        loop {
            match store.write(batch, receipts) {
                Ok(tally) => {
                    self.recovered();
                    return Ok(Some(tally));
                }
                Err(StoreError::Taken(_)) => return Ok(None),
                Err(error) if passes(&error) => {
                    self.fail(&error, retry);
                    if self.shared.stop.load(SeqCst) {
                        return Ok(None);
                    }
                    self.sleep(retry);
                    retry = (2 * retry).min(RETRY_MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn fail(&mut self, error: &StoreError, retry: Duration) {
        self.report(Report::Failed);
        if self.say(error, retry) {
            self.report(Report::State(State::Failing));
        }
    }

    /// Logs a failure, unless it was the last thing logged; returns whether it is the first since it worked.
    fn say(&mut self, error: &StoreError, retry: Duration) -> bool {
        let text = error.to_string();
        let is_first = self.said.is_none();
        if self.said.as_ref() != Some(&text) {
            tracing::warn!("{text}; nothing is acknowledged, trying again in {retry:?}, and so on");
            self.said = Some(text);
        }
        is_first
    }

    /// The database works; returns whether it had not.
    fn recovered(&mut self) -> bool {
        let had_failed = self.said.take().is_some();
        if had_failed {
            tracing::info!(database = %self.database, "the database works again");
        }
        had_failed
    }

    fn recovered_to_ready(&mut self) {
        if self.recovered() {
            self.report(Report::State(State::Ready));
        }
    }

    fn report(&self, report: Report) {
        // The data thread is there as long as this one: it waits for its end.
        let _ = self.reports.send(report);
        let _ = self.shared.waker.wake();
    }

    /// Sleeps, but not through a stop.
    fn sleep(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() && !self.shared.stop.load(SeqCst) {
            let nap = left.min(NAP);
            std::thread::sleep(nap);
            left -= nap;
        }
    }
}

/// Whether to try again on a database that has been written before. That it may only be read now is what a server
/// says whose place another one is about to take.
fn passes(error: &StoreError) -> bool {
    error.is_passing() || matches!(error, StoreError::ReadOnly(_))
}
