//! The Headcast datagram and the state machines on both of its ends.
//!
//! Nothing here does I/O or reads a clock: bytes and the time come in as arguments, decisions come
//! out as values. Nothing allocates after construction, so the data threads may call all of it. That
//! also lets tests drive years of protocol time in a second.
//!
//! In the order in which a message meets them:
//!
//! | module | part |
//! |---|---|
//! | [`sequence`] | numbers a datagram and writes its header in place |
//! | [`schedule`] | which copy of which datagram goes out next |
//! | [`heartbeat`] | when a quiet publisher says that it is there |
//! | [`repair`] | what a receiver is sent again, and how much of it |
//! | [`header`] | the 40 bytes, field by field |
//! | [`datagram`] | a checked view of received bytes, every [`Refusal`] with a name |
//! | [`window`] | seen before, or new? |
//! | [`receiver`] | sessions and windows of all publishers that are heard |
//! | [`response`] | an answer to a message, and its acknowledgement, on the wire |
//! | [`responding`] | answers to messages: kept, sent and sent again until they are stored |
//! | [`stored`] | which answers are stored |
//!
//! The format itself is described in `docs/wire-format.md`.

pub mod body;
pub mod datagram;
mod extension;
pub mod header;
pub mod heartbeat;
pub mod packing;
pub mod receiver;
mod refusal;
pub mod repair;
pub mod responding;
pub mod response;
pub mod schedule;
pub mod sequence;
pub mod session;
pub mod stored;
pub mod window;

pub use datagram::Datagram;
pub use header::{HEADER_LEN, Kind};
pub use heartbeat::Heartbeat;
pub use receiver::{Event, Order, Receiver, StreamId, Verdict};
pub use refusal::Refusal;
pub use schedule::{Next, Schedule};
pub use sequence::Sequencer;
pub use session::Session;
pub use stored::Stored;
pub use window::Window;

/// The time as a caller of this crate knows it; nothing in here reads a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds on a clock that never steps, from any fixed origin.
    pub mono_ns: u64,
    /// Nanoseconds since the Unix epoch, as the wall clock tells them.
    pub unix_ns: u64,
}
