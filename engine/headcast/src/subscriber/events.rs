//! What a subscriber tells: messages, gaps, and what becomes of publishers.

use headcast_proto::{Session, StreamId, receiver};

use super::{Found, Message, Origin, Ready, Subscriber};

/// What happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A message.
    Message(Message<'a>),
    /// These sequences did not come, could not be repaired, and will not be handed on. A message of several
    /// datagrams that misses one of them is not handed on.
    Gap {
        /// Whose.
        id: StreamId,
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// A session is heard for the first time: a publisher was started, or this subscriber has joined it.
    Opened {
        /// Which.
        id: StreamId,
        /// The sequence that was heard first.
        seq: u64,
        /// The session of the same publisher that it replaces.
        before: Option<Session>,
    },
    /// The publisher said that it stops.
    Ended {
        /// Which.
        id: StreamId,
    },
    /// The publisher has not been heard for three heartbeats, and did not say that it stops.
    Silent {
        /// Which.
        id: StreamId,
    },
}

impl Subscriber {
    /// The receiver's next event, if there is one, counted.
    #[inline]
    pub(super) fn next_event(&mut self) -> Option<Ready> {
        let counters = &self.counters;
        Some(Ready::Other(match self.receiver.event()? {
            receiver::Event::Message { id, seq, timestamp, rescued, payload } => {
                let StreamId { publisher, session, stream } = id;
                let origin = Origin { publisher, session, stream, seq, timestamp_ns: timestamp, rescued };
                counters.delivered.add(1);
                counters.released.add(1);
                counters.rescued.add(rescued.into());
                let len = payload.len();
                return Some(Ready::Message(Found::Kept { len, place: self.receiver.place(), origin }));
            }
            receiver::Event::Gap { id, from, to } => {
                counters.gaps.add(1);
                counters.lost.set(self.receiver.lost());
                Event::Gap { id, from, to }
            }
            receiver::Event::Opened { id, seq, before } => {
                counters.sessions.add(1);
                Event::Opened { id, seq, before }
            }
            receiver::Event::Ended { id } => {
                counters.ended.add(1);
                Event::Ended { id }
            }
            receiver::Event::Silent { id } => {
                counters.silent.add(1);
                Event::Silent { id }
            }
        }))
    }

    /// What is ready.
    #[inline]
    pub(super) fn event(&self, ready: Ready) -> Event<'_> {
        match ready {
            Ready::Message(found) => Event::Message(self.message(found)),
            Ready::Other(event) => event,
        }
    }
}
