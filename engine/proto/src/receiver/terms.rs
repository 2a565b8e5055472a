//! What a receiver is told to do, and what it tells.

use super::MESSAGE_MAX;
use crate::{Refusal, Session};

/// Bounds of a [`Receiver`](super::Receiver).
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many (publisher, stream) pairs are tracked at a time.
    pub publishers: usize,
    /// Sequences each of them remembers: a power of two, at least 128.
    pub window: usize,
    /// Bytes for fragments and for what waits for its turn.
    pub memory: usize,
    /// Bytes of those for one (publisher, stream).
    pub memory_each: usize,
    /// Bytes of the longest message, at most [`MESSAGE_MAX`].
    pub message_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            publishers: 256,
            window: 8192,
            memory: 16 << 20,
            memory_each: 4 << 20,
            message_max: MESSAGE_MAX,
        }
    }
}

/// When messages are handed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they come.
    #[default]
    AtOnce,
    /// In the order of their sequences. What comes after a missing one is held back until that has come
    /// or is given up.
    Ordered {
        /// The longest that a message is held back.
        max_hold_ns: u64,
    },
}

/// Which stream of which run of which publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId {
    /// The publisher's number.
    pub publisher: u32,
    /// Which run of it.
    pub session: Session,
    /// Which of its streams.
    pub stream: u16,
}

/// What to do with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Hand its payload on; if it is [coalesced](crate::Datagram::is_coalesced), each of its messages.
    Deliver {
        /// The first copy did not get here before this one.
        rescued: bool,
        /// The first datagram of a session that was not heard before.
        opened: bool,
    },
    /// Kept: it comes in an [`Event::Message`], alone or with others, or in one for each of its messages.
    Kept,
    /// Seen before.
    Duplicate,
    /// The publisher stops.
    Ended,
    /// Nothing to hand on, nothing wrong.
    Noted,
    /// Not accepted.
    Refused(Refusal),
}

/// What happened, or became possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message that was kept.
    Message {
        /// Where it is from.
        id: StreamId,
        /// Its first sequence.
        seq: u64,
        /// Which message of its datagram it is, from 0: several may have shared one. Those of a datagram come in their
        /// order, and nothing between them.
        part: u16,
        /// When its first datagram was published, in nanoseconds since the Unix epoch.
        timestamp: u64,
        /// The first copy of one of its datagrams did not get here before a later one.
        rescued: bool,
        /// What was published.
        payload: &'a [u8],
    },
    /// Sequences that will not be handed on, for they did not come; or they came, but the rest of their message was
    /// not to be had. A message of several datagrams that misses one of them is not handed on.
    Gap {
        /// Whose.
        id: StreamId,
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// A session is heard for the first time.
    Opened {
        /// Which.
        id: StreamId,
        /// The sequence that was heard first.
        seq: u64,
        /// The first one that is awaited: more than 1 for who joins late.
        from: u64,
        /// The session that it replaces.
        before: Option<Session>,
    },
    /// The publisher stops. What is still being repaired may follow.
    Ended {
        /// Which.
        id: StreamId,
    },
    /// The publisher has not been heard for [`SILENT_NS`](super::SILENT_NS), and did not say that it stops.
    Silent {
        /// Which.
        id: StreamId,
    },
}

/// Counts of what a receiver did, besides its verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests for repairs made.
    pub requests: u64,
    /// Sequences asked for in them.
    pub requested: u64,
    /// Datagrams that came because they were asked for, and were new.
    pub repaired: u64,
    /// Messages put together from fragments.
    pub completed: u64,
    /// Datagrams kept in vain: fragments of messages that miss another.
    pub dropped_parts: u64,
}
