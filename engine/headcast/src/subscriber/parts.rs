//! The messages that share a datagram, one after the other.

use headcast_proto::{Datagram, body};

use super::message::Origin;
use super::{Before, Subscriber};

/// Which message of the datagram at hand is handed on.
pub(super) struct Parts {
    /// Where it lies within the datagram.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Which the next one is, from 0.
    next: u16,
    /// Where it stands.
    pub(super) origin: Origin,
}

impl Parts {
    pub(super) fn nothing() -> Self {
        Self { from: 0, to: 0, next: 0, origin: Origin::NONE }
    }

    /// Begins before the first message of a datagram of so many bytes that was found to hold several.
    pub(super) fn begin(&mut self, len: usize, datagram: &Datagram<'_>) {
        // Nothing follows the payload: what is sealed is refused.
        self.to = len - datagram.payload().len();
        self.next = 0;
        self.origin = Origin::of(datagram.header());
    }
}

impl Subscriber {
    /// Goes on to the next message of the datagram at hand, which there is.
    #[inline]
    pub(super) fn next_part(&mut self) {
        let Self { parts, mailbox, before, .. } = self;
        let datagram = mailbox.inbox.segment();
        // It was checked as a whole: nothing ends early.
        let at = body::coalesced_at(datagram, parts.to).unwrap_or(datagram.len()..datagram.len());
        (parts.from, parts.to) = (at.start, at.end);
        parts.origin.part = parts.next;
        parts.next = parts.next.wrapping_add(1);
        *before = if parts.to < datagram.len() { Before::Part } else { Before::Nothing };
    }
}
