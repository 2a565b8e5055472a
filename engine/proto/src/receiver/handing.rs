//! What was kept is handed on: a message, or one after the other those that shared a datagram.

use std::ops::Range;

use super::Event;
use super::common::Ready;
use super::store::Item;
use crate::body;

/// The message that was handed on last, of what lies in the receiver's `assembled`.
#[derive(Debug)]
pub(super) struct Handing {
    /// Its first datagram.
    item: Item,
    rescued: bool,
    /// The place of its entry.
    pub(super) place: u32,
    /// Where it lies.
    at: Range<usize>,
    /// Which message of its datagram it is, from 0.
    part: u16,
    /// Where the last message of its datagram ends.
    end: usize,
}

impl Handing {
    pub(super) fn nothing() -> Self {
        let item = Item::NONE;
        Self { item, rescued: false, place: 0, at: 0..0, part: 0, end: 0 }
    }

    /// Begins with what has been put together there, of the entry at `place`.
    pub(super) fn begin<'a>(&mut self, ready: Ready, place: u32, assembled: &'a [u8]) -> Event<'a> {
        let Ready { first, rescued, len } = ready;
        *self = Self { item: first, rescued, place, at: 0..len, part: 0, end: len };
        if first.coalesced {
            self.at = self.message_from(0, assembled);
        }
        self.event(assembled)
    }

    /// Whether the same datagram has another message.
    pub(super) fn has_more(&self) -> bool {
        self.at.end < self.end
    }

    /// The next message of the same datagram.
    pub(super) fn next<'a>(&mut self, assembled: &'a [u8]) -> Event<'a> {
        self.at = self.message_from(self.at.end, assembled);
        // A datagram has at most 65,535 messages.
        self.part = self.part.wrapping_add(1);
        self.event(assembled)
    }

    /// Where the message lies whose length stands at `from`. It does: what the lengths say was checked before it was
    /// kept.
    fn message_from(&self, from: usize, assembled: &[u8]) -> Range<usize> {
        let datagram = assembled.get(..self.end).unwrap_or_default();
        body::coalesced_at(datagram, from).unwrap_or(self.end..self.end)
    }

    fn event<'a>(&self, assembled: &'a [u8]) -> Event<'a> {
        Event::Message {
            id: self.item.id,
            seq: self.item.seq,
            part: self.part,
            timestamp: self.item.timestamp,
            rescued: self.rescued,
            payload: self.payload(assembled),
        }
    }

    /// Its bytes.
    pub(super) fn payload<'a>(&self, assembled: &'a [u8]) -> &'a [u8] {
        assembled.get(self.at.clone()).unwrap_or_default()
    }
}
