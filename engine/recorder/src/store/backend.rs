//! What a kind of database has to offer: steps of a transaction, each for many rows at once.

use std::net::SocketAddr;

use crate::{Responder, StoreError, Subject};

/// A database that this process alone writes. Each step but `begin` belongs to the transaction begun last.
pub(super) trait Backend: Send {
    /// Begins a transaction; connects first where that is needed.
    fn begin(&mut self) -> Result<Begun, StoreError>;
    /// What is stored of these responders, in their order. `None` for those that are not known.
    fn responders(&mut self, responders: &[Responder]) -> Result<Vec<Option<Enrolled>>, StoreError>;
    /// Stores responders that are not known yet, and gives their ids in the same order.
    fn enrol(&mut self, newcomers: &[Progress]) -> Result<Vec<i64>, StoreError>;
    /// Stores how far responders are that are known.
    fn progress(&mut self, responders: &[Progress]) -> Result<(), StoreError>;
    /// The ids of streams, in their order; those that are not known are stored.
    fn streams(&mut self, streams: &[Stream]) -> Result<Vec<i64>, StoreError>;
    /// Stores messages that have no row yet. To those that have one `responses` is added, and `divergent`
    /// where the first result is the same; the others are told.
    fn upsert(&mut self, rows: &[Row<'_>]) -> Result<Upserted, StoreError>;
    /// Adds to the divergent responses of messages.
    fn amend(&mut self, amendments: &[Amendment]) -> Result<(), StoreError>;
    /// Stores results that differ from the first.
    fn divergences(&mut self, divergences: &[Said<'_>]) -> Result<(), StoreError>;
    /// Stores responses as they are.
    fn responses(&mut self, responses: &[Said<'_>]) -> Result<(), StoreError>;
    /// Commits. After an error it is not known whether it did.
    fn commit(&mut self) -> Result<(), StoreError>;
    /// Whether the database is still there, and ours to write.
    fn check(&mut self) -> Result<(), StoreError>;
    /// Undoes the transaction, if there is one.
    fn rollback(&mut self);
}

/// What a transaction finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begun {
    /// Nobody has changed anything since the transaction before.
    Same,
    /// Somebody may have: what is remembered has to be read again.
    Changed,
}

/// A responder as it is stored.
#[derive(Debug)]
pub(super) struct Enrolled {
    pub(super) id: i64,
    pub(super) next: u64,
    pub(super) bitmap: Vec<u8>,
}

/// A responder as it is to be stored.
#[derive(Debug)]
pub(super) struct Progress {
    /// `None` for one that is not known yet.
    pub(super) id: Option<i64>,
    pub(super) responder: Responder,
    pub(super) next: u64,
    pub(super) bitmap: Vec<u8>,
    pub(super) source: SocketAddr,
    pub(super) heard_ns: u64,
}

/// One stream of one run of a publisher.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Stream {
    pub(super) publisher: u32,
    pub(super) session: u64,
    pub(super) stream: u16,
}

impl From<Subject> for Stream {
    fn from(subject: Subject) -> Self {
        Self { publisher: subject.publisher, session: subject.session, stream: subject.stream }
    }
}

/// Which message a row is of, in the order of their keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Key {
    pub(super) stream_id: i64,
    pub(super) seq: u64,
    pub(super) part: u16,
}

/// What a batch says about one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) key: Key,
    /// The first result in the batch, who said it, and when it was received.
    pub(super) result: &'a [u8],
    pub(super) responder_id: i64,
    pub(super) recorded_ns: u64,
    /// Responses in the batch, and how many of them differ from `result`.
    pub(super) responses: i64,
    pub(super) divergent: i64,
}

/// What became of rows.
#[derive(Default, Debug)]
pub(super) struct Upserted {
    /// Messages that had no row.
    pub(super) inserted: u64,
    /// Those that had one with another result.
    pub(super) mismatches: Vec<Mismatch>,
}

/// A message whose first result is not the one of the row.
#[derive(Debug)]
pub(super) struct Mismatch {
    /// Which row.
    pub(super) row: usize,
    /// The first result, as it is stored.
    pub(super) first: Vec<u8>,
}

/// Divergent responses that a message has more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amendment {
    pub(super) key: Key,
    pub(super) divergent: i64,
}

/// Who said what about a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub(super) key: Key,
    pub(super) responder_id: i64,
    pub(super) response_seq: u64,
    pub(super) result: &'a [u8],
    pub(super) recorded_ns: u64,
}
