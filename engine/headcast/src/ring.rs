//! The ring of the last datagrams: send buffer now, repair store later.
//!
//! Slot = sequence mod length. A payload lies behind room for the header, so that sealing a datagram
//! copies nothing. Slots are boxes of one size, so a payload that another thread wrote, or that the
//! kernel received before there was room for it, changes place by exchanging two pointers. Only a small message that
//! shares the datagram of one before it is copied, and one that came together with others in one piece.

use std::ops::Range;

use headcast_proto::packing::{self, LENGTH_LEN, MESSAGE_OFFSET};

/// One datagram's room: see [`packing`].
#[derive(Debug)]
pub(crate) struct Slot {
    bytes: Box<[u8]>,
    /// Where the datagram that lies here begins and ends, header included.
    start: usize,
    end: usize,
}

impl Slot {
    /// A slot that is in no ring yet.
    pub(crate) fn new(payload_max: usize) -> Self {
        // Not zeros: those the allocator gets from the kernel unwritten, and the first lap of the ring would
        // pay for a page fault every third message.
        const UNWRITTEN: u8 = 0xa5;
        Self { bytes: vec![UNWRITTEN; MESSAGE_OFFSET + payload_max].into(), start: 0, end: 0 }
    }

    /// Room for a payload of `len` bytes, which is what the slot holds from now on.
    #[inline]
    pub(crate) fn payload_mut(&mut self, len: usize) -> &mut [u8] {
        self.hold(len);
        &mut self.bytes[MESSAGE_OFFSET..self.end]
    }

    /// Says that it holds a payload of `len` bytes, alone.
    #[inline]
    fn hold(&mut self, len: usize) {
        (self.start, self.end) = (LENGTH_LEN, MESSAGE_OFFSET + len);
    }

    /// The datagram that lies here.
    #[inline]
    pub(crate) fn datagram(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// What goes out of it: without its header unless it is `framed`.
    #[inline]
    pub(crate) fn on_wire(&self, framed: bool) -> &[u8] {
        if framed { self.datagram() } else { &self.bytes[MESSAGE_OFFSET..self.end] }
    }

    /// The datagram that lies here, for its path byte to be written.
    #[inline]
    pub(crate) fn datagram_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Says that what lies here is no datagram any more: its payload was written to, its header not.
    pub(crate) fn forget(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Bytes of the payload.
    #[inline]
    pub(crate) fn payload_len(&self) -> usize {
        self.end.saturating_sub(MESSAGE_OFFSET)
    }

    /// The first `len` bytes of the payload, whether it is known to hold so many or not.
    pub(crate) fn payload(&self, len: usize) -> &[u8] {
        &self.bytes[MESSAGE_OFFSET..MESSAGE_OFFSET + len]
    }

    /// A part of what follows the room for the header.
    pub(crate) fn part(&self, part: Range<usize>) -> &[u8] {
        &self.bytes[MESSAGE_OFFSET..][part]
    }

    /// Whether another message of `len` bytes can share the datagram that lies here.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        // Alone, a datagram begins behind the room that is left for its length: coalesced it has to be no longer.
        self.end + LENGTH_LEN + len + LENGTH_LEN <= self.bytes.len() && packing::is_open(self.datagram())
    }

    /// Where such a message lies before it is added.
    pub(crate) fn room(&self, len: usize) -> &[u8] {
        let from = self.end + LENGTH_LEN;
        &self.bytes[from..from + len]
    }

    /// Where such a message is to be written.
    pub(crate) fn room_mut(&mut self, len: usize) -> &mut [u8] {
        let from = self.end + LENGTH_LEN;
        &mut self.bytes[from..from + len]
    }

    /// Adds the message that was written there.
    pub(crate) fn append(&mut self, len: usize) {
        let end = self.end + LENGTH_LEN + len;
        let added = packing::append(&mut self.bytes[..end], self.start, len);
        debug_assert!(added, "there is room");
        if added {
            (self.start, self.end) = (0, end);
        }
    }
}

/// The whole room, for the kernel to write into.
impl AsMut<[u8]> for Slot {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

#[derive(Debug)]
pub(crate) struct Ring {
    slots: Box<[Slot]>,
}

impl Ring {
    /// `slots` (a power of two) for payloads of up to `payload_max` bytes each.
    pub(crate) fn new(slots: usize, payload_max: usize) -> Self {
        Self { slots: (0..slots).map(|_| Slot::new(payload_max)).collect() }
    }

    /// How many datagrams it holds.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    fn index(&self, seq: u64) -> usize {
        // The length is a power of two, and a usize holds any index below it.
        usize::try_from(seq & (self.slots.len() as u64 - 1)).unwrap_or(0)
    }

    /// The slot of `seq`.
    #[inline]
    pub(crate) fn slot_mut(&mut self, seq: u64) -> &mut Slot {
        let index = self.index(seq);
        &mut self.slots[index]
    }

    /// Fixes the length of the payload of `seq`, and gives the whole datagram to be sealed.
    #[inline]
    pub(crate) fn take_in(&mut self, seq: u64, payload_len: usize) -> &mut [u8] {
        let slot = self.slot_mut(seq);
        slot.hold(payload_len);
        slot.datagram_mut()
    }

    /// The slot of `seq`, to be read.
    #[inline]
    pub(crate) fn slot(&self, seq: u64) -> &Slot {
        &self.slots[self.index(seq)]
    }

    /// Exchanges the slot of `seq` for one of the same size.
    #[inline]
    pub(crate) fn exchange(&mut self, seq: u64, slot: &mut Slot) {
        std::mem::swap(self.slot_mut(seq), slot);
    }

    /// Adds the `len` bytes of payload in the slot of `from`, which is forgotten, to the datagram of `to`.
    pub(crate) fn pack(&mut self, to: u64, from: u64, len: usize) {
        if let Ok([to, from]) = self.slots.get_disjoint_mut([self.index(to), self.index(from)]) {
            to.room_mut(len).copy_from_slice(from.payload(len));
            to.append(len);
            from.forget();
        }
    }

    /// Has the slots of two sequences change places.
    #[inline]
    pub(crate) fn swap(&mut self, one: u64, other: u64) {
        self.slots.swap(self.index(one), self.index(other));
    }

    /// The slots from `seq` on, at most `most`, as far as they lie side by side.
    #[inline]
    pub(crate) fn run_mut(&mut self, seq: u64, most: usize) -> &mut [Slot] {
        let from = self.index(seq);
        let to = self.slots.len().min(from + most);
        &mut self.slots[from..to]
    }
}

/// Bytes that a ring takes.
pub(crate) const fn memory(slots: usize, payload_max: usize) -> usize {
    slots * (MESSAGE_OFFSET + payload_max + size_of::<Slot>() + size_of::<u64>())
}
