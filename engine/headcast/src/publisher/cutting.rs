//! Long messages: cut into datagrams that follow one another, each into the ring as it has room.

use std::ops::Range;

use headcast_proto::Now;

use super::{Backlog, Publisher};
use crate::clock;
use crate::error::PublishError;

/// A message that is being cut. Until that is done nothing else is sealed: the parts of a message follow one
/// another.
///
/// It outlives a turn only while the ring is full, so whoever finds room in the ring finds no cut under way.
pub(super) enum Cut {
    /// By its owner, who is in `publish`.
    Own,
    /// By the loop, with what is left of it.
    Loop(Rest),
}

/// What follows the first datagram of a message.
pub(super) struct Rest {
    bytes: Box<[u8]>,
    /// Which of them are still to be cut.
    left: Range<usize>,
    next: Part,
    now: Now,
    origin: Origin,
}

/// Where the bytes go when they have been cut: they are not this thread's to free.
#[derive(Clone, Copy)]
pub(super) enum Origin {
    Queue,
    /// The overflow of this place of the local socket.
    Local(usize),
}

#[derive(Clone, Copy)]
struct Part {
    index: u16,
    count: u16,
}

impl Cut {
    fn is_done(&self) -> bool {
        matches!(self, Self::Loop(rest) if rest.left.is_empty())
    }
}

impl Publisher {
    /// Publishes what does not fit into one datagram.
    #[cold]
    pub(super) fn publish_long(&mut self, payload: &[u8]) -> Result<u64, PublishError> {
        self.sizes.check(payload.len())?;
        let count = self.sizes.datagrams(payload.len());
        self.make_room(count)?;
        self.cut = Some(Cut::Own);
        let result = self.cut_own(payload, count);
        self.cut = None;
        let seq = result?;
        self.attend()?;
        Ok(seq)
    }

    /// Cuts a message, and sends each datagram at once.
    fn cut_own(&mut self, payload: &[u8], count: usize) -> Result<u64, PublishError> {
        let (first, now) = (self.sequencer.last_seq() + 1, clock::now());
        let mut part = Part::first_of(count);
        for bytes in payload.chunks(self.sizes.payload_max) {
            // The policies that drop have made room for all of it.
            while !self.schedule.has_room() {
                self.turn(None)?;
            }
            let seq = self.sequencer.last_seq() + 1;
            self.ring.slot_mut(seq).payload_mut(bytes.len()).copy_from_slice(bytes);
            self.take_part(bytes.len(), part, now);
            part = part.next();
            self.send_due::<false>(clock::mono_ns())?;
        }
        Ok(first)
    }

    /// Starts to cut a message whose beginning, a datagram full, lies in the next slot, and which goes on
    /// with the `rest` of `bytes`.
    #[cold]
    pub(super) fn begin_cut(&mut self, bytes: Box<[u8]>, rest: Range<usize>, origin: Origin, now: Now) {
        let head = self.sizes.payload_max;
        let first = Part::first_of(self.sizes.datagrams(head + rest.len()));
        self.take_part(head, first, now);
        self.cut = Some(Cut::Loop(Rest { bytes, left: rest, next: first.next(), now, origin }));
        self.cut_on();
    }

    /// Goes on with the message that is being cut, as far as there is room; returns whether none is any more.
    #[cold]
    pub(super) fn cut_on(&mut self) -> bool {
        loop {
            if let Some(Cut::Loop(rest)) = self.cut.take_if(|cut| cut.is_done()) {
                self.give_back(rest);
            }
            if !self.schedule.has_room() && self.cut.is_some() {
                if self.backlog != Backlog::DropOldest {
                    return false;
                }
                self.drop_oldest();
            }
            let Some(Cut::Loop(rest)) = &mut self.cut else { return self.cut.is_none() };
            let (next, now) = (rest.next, rest.now);
            let left = &rest.bytes[rest.left.clone()];
            let bytes = &left[..left.len().min(self.sizes.payload_max)];
            let len = bytes.len();
            let seq = self.sequencer.last_seq() + 1;
            self.ring.slot_mut(seq).payload_mut(len).copy_from_slice(bytes);
            rest.left.start += len;
            rest.next = next.next();
            self.take_part(len, next, now);
        }
    }

    fn give_back(&mut self, rest: Rest) {
        match (rest.origin, &mut self.ingress) {
            (Origin::Queue, _) => self.queue.spend(rest.bytes),
            (Origin::Local(at), Some(ingress)) => ingress.give_back(at, rest.bytes),
            // The publisher has closed.
            (Origin::Local(_), None) => {}
        }
    }

    /// Seals the part of a message that lies in the next slot.
    fn take_part(&mut self, payload_len: usize, part: Part, now: Now) {
        let seq = self.sequencer.last_seq() + 1;
        let datagram = self.ring.take_in(seq, payload_len);
        self.sequencer.seal_fragment(datagram, now, part.index, part.count);
        self.schedule.push();
        let datagrams = if part.index == 0 { &self.counters.messages } else { &self.counters.fragments };
        datagrams.add(1);
        self.counters.message_bytes.add(payload_len as u64);
    }
}

impl Part {
    fn first_of(count: usize) -> Self {
        // At most 1,024: `Sizes` has seen to it.
        Self { index: 0, count: u16::try_from(count).unwrap_or(u16::MAX) }
    }

    fn next(self) -> Self {
        Self { index: self.index.saturating_add(1), ..self }
    }
}
