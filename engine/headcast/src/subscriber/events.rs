//! What a subscriber tells: messages, gaps, and what becomes of publishers.

use headcast_proto::{Session, StreamId, receiver};

use super::{Before, Message, Origin, Ready, Subscriber};

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
        /// The first one that is awaited: more than 1 for who joins late.
        from: u64,
        /// The session of the same publisher that it replaces.
        before: Option<Session>,
    },
    /// The publisher said that it stops. What is still being repaired may follow.
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

/// What the receiver told, until it has been handed on.
pub(super) struct Pending {
    /// The event told last, if it is no message.
    event: Event<'static>,
    /// The message told last: the place of its publisher, and where it stands.
    kept: (usize, Origin),
    /// What of the datagram at hand comes after it, and what comes before the next one then.
    pub(super) after: (Ready, Before),
}

const NOTHING: (Ready, Before) = (Ready::Nothing, Before::Nothing);

impl Pending {
    pub(super) fn nothing() -> Self {
        let id = StreamId { publisher: 0, session: Session::from_bits(0), stream: 0 };
        Self { event: Event::Ended { id }, kept: (0, Origin::NONE), after: NOTHING }
    }
}

impl Subscriber {
    /// The receiver's next event, counted; or else what comes after.
    #[cold]
    pub(super) fn next_pending(&mut self) -> Ready {
        let counters = &self.counters;
        let Some(event) = self.receiver.event() else {
            let after;
            (after, self.before) = std::mem::replace(&mut self.pending.after, NOTHING);
            return after;
        };
        self.pending.event = match event {
            receiver::Event::Message { id, seq, part, timestamp, rescued, .. } => {
                counters.delivered.add(1);
                let first = if part == 0 { &counters.released } else { &counters.unpacked };
                first.add(1);
                counters.rescued.add(rescued.into());
                let StreamId { publisher, session, stream } = id;
                let origin =
                    Origin { publisher, session, stream, seq, part, timestamp_ns: timestamp, rescued };
                self.pending.kept = (self.receiver.place(), origin);
                return Ready::Kept;
            }
            receiver::Event::Gap { id, from, to } => {
                counters.gaps.add(1);
                counters.lost.add((to - from).saturating_add(1));
                Event::Gap { id, from, to }
            }
            receiver::Event::Opened { id, seq, from, before } => {
                counters.sessions.add(1);
                Event::Opened { id, seq, from, before }
            }
            receiver::Event::Ended { id } => {
                counters.ended.add(1);
                Event::Ended { id }
            }
            receiver::Event::Silent { id } => {
                counters.silent.add(1);
                Event::Silent { id }
            }
        };
        Ready::Event
    }

    /// What is ready.
    #[inline]
    pub(super) fn event(&self, ready: Ready) -> Event<'_> {
        if ready == Ready::Event { self.pending.event } else { Event::Message(self.message(ready)) }
    }

    /// The message that lies in the receiver.
    pub(super) fn kept_message(&self) -> Message<'_> {
        let (place, origin) = self.pending.kept;
        let source = self.sources.get(place).copied().flatten();
        Message::kept(&self.mailbox, self.receiver.payload(), origin, source)
    }
}
