//! Answering messages: what `headcast subscribe --respond-to` does with each beside printing it or handing it on.
//!
//! ```text
//!   subscriber's thread   threads of exec, thread of forward   responder's thread
//!   Responding::take  ->  the answer, or why there is none  -> sends until the recorder has stored it
//! ```
//!
//! The subscriber never waits for an answer. What is not answered is counted by its reason.

mod answer;
mod backlog;
mod desk;
mod exec;
mod forward;
#[cfg(test)]
mod recording;
mod settings;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use headcast::peers::Stop;
use headcast::{Listen, Message, Origin};
use serde_json::{Map, Value, json};

use crate::args::{self, RespondWith};
use crate::failure::Failure;
use crate::report;
use answer::{Outbox, Outlet as _};
use desk::Desk;
use exec::Exec;
use forward::Forward;
use tally::Count;

/// How often the log tells what is left at the end.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Answers messages, and sends the answers to the recorder.
pub(crate) struct Responding {
    desk: Arc<Desk>,
    way: Way,
    drain: Duration,
    /// The recorder, as the command line names it.
    recorder: String,
}

/// Who answers.
enum Way {
    Echo,
    Exec(Exec<Origin>),
    Forward(Forward<Origin>),
}

impl Responding {
    /// Gets ready to answer, if the command line says so.
    ///
    /// # Errors
    /// Options that do not go together, a command that does not exist, or a socket or a thread that cannot be had.
    pub(crate) fn open(args: &args::Responding, forward: Option<&Listen>) -> Result<Option<Self>, Failure> {
        let Some(with) = settings::check(args, forward)? else { return Ok(None) };
        let responder = settings::responder(args)?.build()?;
        let desk = Arc::new(Desk::new(responder));
        let outbox: Outbox<Origin> = Arc::<Desk>::clone(&desk);
        let (timeout, backlog) = (args.respond_timeout, args.respond_backlog);
        let concurrency = settings::concurrency(args, with);
        let way = match (with, forward) {
            (RespondWith::Exec, _) => {
                let recipe = settings::recipe(args)?;
                let exec = Exec::start(recipe, concurrency, backlog, outbox);
                Way::Exec(exec.map_err(Failure::about("cannot run commands"))?)
            }
            (RespondWith::Forward, Some(to)) => {
                let forward = Forward::start(to, concurrency, timeout, backlog, outbox);
                Way::Forward(forward.map_err(Failure::about("cannot take replies"))?)
            }
            (RespondWith::Forward, None) | (RespondWith::Echo, _) => Way::Echo,
        };
        let recorder = args.respond_to.join(",");
        tracing::info!(recorder, responder = desk.responder().id(), "messages are answered");
        Ok(Some(Self { desk, way, drain: args.respond_drain, recorder }))
    }

    /// Whether messages reach the application this way, and no other is needed.
    pub(crate) fn hands_on(&self) -> bool {
        matches!(self.way, Way::Forward(_))
    }

    /// Has a message answered, now or later.
    pub(crate) fn take(&self, message: &Message<'_>) {
        // Only a raw message has none, and those are not answered.
        let Some(origin) = message.origin else { return };
        self.desk.tally().add(Count::Asked);
        match &self.way {
            Way::Echo => self.desk.settle(&origin, Ok(message.payload)),
            Way::Exec(exec) => exec.ask(origin, message.payload),
            Way::Forward(forward) => forward.ask(origin, message.payload),
        }
    }

    /// Lets answers be finished, and waits until the recorder has stored all of them: both together take no longer
    /// than `--respond-drain`.
    ///
    /// # Errors
    /// Something is left.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let begun = report::now();
        let end = begun.checked_add(self.drain).unwrap_or(begun + Duration::from_secs(u32::MAX.into()));
        let done = Stop::new();
        let unstored = std::thread::scope(|scope| {
            let tells = || self.tell_progress(&done);
            // Without this thread everything is done all the same.
            let _ = std::thread::Builder::new().name("headcast-drain".into()).spawn_scoped(scope, tells);
            self.finish_answers(end);
            let left = end.saturating_duration_since(report::now());
            let unstored = self.desk.responder().close(left);
            done.stop();
            unstored
        });
        self.verdict(unstored)
    }

    fn finish_answers(&self, end: Instant) {
        match &self.way {
            Way::Echo => {}
            Way::Exec(exec) => exec.finish(end),
            Way::Forward(forward) => forward.finish(end),
        }
    }

    fn tell_progress(&self, done: &Stop) {
        while !done.wait(PROGRESS_EVERY) {
            let unanswered = match &self.way {
                Way::Echo => 0,
                Way::Exec(exec) => exec.left(),
                Way::Forward(forward) => forward.left(),
            };
            let unacknowledged = self.desk.responder().unacknowledged();
            tracing::info!(
                unanswered,
                unacknowledged,
                "waiting for answers, and for the recorder to store them"
            );
        }
    }

    fn verdict(&self, unstored: usize) -> Result<(), Failure> {
        let drain = humantime::format_duration(self.drain);
        let of = |count| self.desk.tally().get(count);
        let (stopped, asked, answered) = (of(Count::Stopped), of(Count::Asked), of(Count::Answered));
        let mut left = Vec::new();
        if stopped > 0 {
            left.push(format!(
                "{stopped} of {asked} messages were not answered within {drain}: allow more with --respond-drain, or each less with --respond-timeout"
            ));
        }
        if unstored > 0 {
            left.push(format!(
                "{unstored} of {answered} responses were not acknowledged within {drain} and may not be stored: see whether a recorder runs at {}, or wait for longer with --respond-drain",
                self.recorder
            ));
        }
        if left.is_empty() { Ok(()) } else { Err(Failure::new(left.join("; "))) }
    }

    /// Messages that could not be handed on.
    pub(crate) fn not_handed_on(&self) -> u64 {
        self.desk.tally().get(Count::NotHandedOn) + self.desk.tally().get(Count::Dropped)
    }

    /// What became of messages that were to be answered, and what the responder did.
    pub(crate) fn totals(&self) -> Map<String, Value> {
        let responder = self.desk.responder();
        let mut sent = report::counters(responder.counters().each());
        sent.insert("id".into(), json!(responder.id()));
        sent.insert("unacknowledged".into(), json!(responder.unacknowledged()));
        let answers = report::counters(self.desk.tally().each());
        [("answers", answers), ("responses", sent)]
            .into_iter()
            .map(|(name, counts)| (name.to_owned(), Value::Object(counts)))
            .collect()
    }
}
