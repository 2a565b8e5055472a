//! The recorder: pods answer some messages, and one process writes the answers to a database.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use headcast::Responder;
use headcast::peers::Source;
use headcast_recorder::records::{Filter, Records, Stats};
use headcast_recorder::{Database, RecordError, Recorder, RecorderCounters, Stopper};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::loss::Loss;
use super::message::mix;
use crate::failure::Failure;

/// Every so many messages are answered, by every pod that gets them.
pub(super) const ANSWERED: u64 = 10;
/// How many answers a pod may have to send again.
const QUEUE: usize = 4096;
/// How long it may take until the last answers are acknowledged.
const DRAIN: Duration = Duration::from_secs(20);
/// Drops of responses have a seed of their own, and a bound: what is dropped goes again until it gets through.
const LOSS_MAX: f64 = 20.0;

/// A recorder on threads of its own, with a database that is gone at the end.
pub(super) struct Recording {
    address: SocketAddr,
    database: Database,
    counters: Arc<RecorderCounters>,
    stopper: Stopper,
    thread: JoinHandle<Result<(), RecordError>>,
    _directory: TempDir,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    /// Answers that pods gave, and those that were not acknowledged in the end.
    pub(super) answers: u64,
    pub(super) unacknowledged: u64,
    /// Different messages that were answered.
    pub(super) answered: u64,
    /// Of answers given by the liar.
    pub(super) lies: u64,
    /// Datagrams that were sent again, that were dropped on purpose on their way to the recorder, and that it had
    /// stored before.
    pub(super) sent_again: u64,
    pub(super) dropped: u64,
    pub(super) duplicates: u64,
    pub(super) commits: u64,
    /// What is in the database.
    pub(super) stats: Stats,
    /// The first message about which not all said the same: its number, and who said what first, and what else.
    pub(super) example: Option<(u64, [(u32, String); 2])>,
}

impl Recording {
    pub(super) fn start(loss: Loss) -> Result<Self, Failure> {
        let directory = tempfile::tempdir().map_err(Failure::about("cannot make a temporary directory"))?;
        let database = Database::Sqlite(directory.path().join("responses.db"));
        let loss = Loss::new(loss.percent().min(LOSS_MAX), loss.seed());
        let mut count = 0;
        let impairment = move |bytes: &[u8]| {
            count += 1;
            loss.takes(u64::MAX, mix(count) ^ bytes.len() as u64, 0)
        };
        let mut recorder = Recorder::builder(database.clone())
            .listen((Ipv4Addr::LOCALHOST, 0).into())
            .impair(impairment)
            .build()?;
        let address = recorder.local_addr().ok_or_else(|| Failure::new("the recorder does not listen"))?;
        let (counters, stopper) = (Arc::clone(recorder.counters()), recorder.stopper());
        let thread = std::thread::Builder::new().name("headcast-recorder".into());
        let thread =
            thread.spawn(move || recorder.run()).map_err(Failure::about("cannot start the recorder"))?;
        Ok(Self { address, database, counters, stopper, thread, _directory: directory })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until all answers are stored, and reads them back.
    pub(super) fn finish(
        self,
        responders: &[Responder],
        answered: u64,
        liar: Option<u32>,
    ) -> Result<Recorded, Failure> {
        let deadline = crate::report::now() + DRAIN;
        let mut recorded = Recorded { answered, ..Recorded::default() };
        for responder in responders {
            let left = deadline.saturating_duration_since(crate::report::now());
            recorded.unacknowledged += responder.close(left) as u64;
            let counters = responder.counters();
            recorded.answers += counters.accepted.get();
            recorded.sent_again += counters.sent_again.get();
            if Some(responder.id()) == liar {
                recorded.lies += counters.accepted.get();
            }
        }
        self.stopper.stop();
        self.thread.join().map_err(|_| Failure::new("a thread panicked"))?.map_err(Failure::new)?;
        recorded.dropped = self.counters.impaired.get();
        recorded.duplicates = self.counters.duplicates.get();
        recorded.commits = self.counters.commits.get();
        let mut records = Records::open(&self.database).map_err(Failure::new)?;
        recorded.stats = records.stats().map_err(Failure::new)?;
        let filter = Filter { divergent: true, limit: Some(1), ..Filter::default() };
        let text = |result: &[u8]| String::from_utf8_lossy(result).into_owned();
        let example = records.query(&filter, |record| {
            let first = (record.responder.publisher, text(&record.result));
            let other = record.divergences.first().map(|said| (said.responder.publisher, text(&said.result)));
            recorded.example = other.map(|other| (record.subject.seq, [first, other]));
            std::ops::ControlFlow::Continue(())
        });
        example.map_err(Failure::new)?;
        Ok(recorded)
    }
}

/// Who answers for a pod.
pub(super) fn responder(recorder: SocketAddr, pod: usize) -> Result<Responder, Failure> {
    let source = Source::Static([recorder].into_iter().collect());
    Ok(Responder::builder()
        .source(source)
        .responder_id(number(pod))
        .queue(QUEUE)
        .queue_bytes(1 << 20)
        .build()?)
}

/// The number of a pod as a responder.
pub(super) fn number(pod: usize) -> u32 {
    u32::try_from(pod + 1).unwrap_or(u32::MAX)
}

/// What a pod answers to the message of this number: all the same, but for one that lies.
pub(super) fn answer(seq: u64, lies: bool) -> String {
    format!("{:016x}", mix(seq) ^ u64::from(lies))
}

impl Recorded {
    /// One object with these members:
    ///
    /// - `answers`: what the pods answered; `unacknowledged`: of those the ones that no recorder acknowledged, must be 0;
    ///   `sent_again`, `dropped_on_purpose`: datagrams on their way to the recorder.
    /// - `answered`: messages that at least one pod answered; `rows`: those in the database; must be equal.
    /// - `responses`: answers that the rows count, must be `answers`; `duplicates`: datagrams that brought one once
    ///   more; `commits`: transactions.
    /// - `divergent_rows`: messages about which not all pods said the same; `divergent_responses`: answers that are not
    ///   the first of their message. Both 0 without `--liar`.
    pub(super) fn json(&self) -> Value {
        let Stats { messages, responses, divergent_messages, divergent_responses, .. } = self.stats;
        json!({
            "answers": self.answers,
            "unacknowledged": self.unacknowledged,
            "sent_again": self.sent_again,
            "dropped_on_purpose": self.dropped,
            "answered": self.answered,
            "rows": messages,
            "responses": responses,
            "duplicates": self.duplicates,
            "commits": self.commits,
            "divergent_rows": divergent_messages,
            "divergent_responses": divergent_responses,
        })
    }

    /// In which way a promise was broken, if one was.
    pub(super) fn broken(&self) -> Option<String> {
        let Stats { messages, responses, divergent_responses, .. } = self.stats;
        // When the liar was first, all others are the ones who say something else.
        let divergent_wrong = self.lies == 0 && divergent_responses > 0;
        if self.unacknowledged > 0 {
            return Some(format!("{} answers were not acknowledged", self.unacknowledged));
        }
        if responses != self.answers || messages != self.answered {
            return Some(format!(
                "{} answers to {} messages were acknowledged, and {responses} to {messages} are in the database",
                self.answers, self.answered
            ));
        }
        divergent_wrong.then(|| format!("{divergent_responses} answers differ, and nobody lied"))
    }
}
