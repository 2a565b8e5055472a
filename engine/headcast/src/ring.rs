//! The ring of the last datagrams: send buffer now, repair store later.
//!
//! Slot = sequence mod length. A payload lies behind room for the header, so that sealing a datagram
//! copies nothing. Slots are boxes of one size, so a payload that another thread wrote, or that the
//! kernel received out of order, changes place by exchanging two pointers.

use headcast_proto::HEADER_LEN;

/// One datagram's room: header, then payload.
pub(crate) type Slot = Box<[u8]>;

#[derive(Debug)]
pub(crate) struct Ring {
    slots: Box<[Slot]>,
    lens: Box<[u32]>,
}

impl Ring {
    /// `slots` (a power of two) of [`slot_len`] bytes each.
    pub(crate) fn new(slots: usize, payload_max: usize) -> Self {
        Self { slots: (0..slots).map(|_| new_slot(payload_max)).collect(), lens: vec![0; slots].into() }
    }

    #[inline]
    fn index(&self, seq: u64) -> usize {
        // The length is a power of two, and a usize holds any index below it.
        usize::try_from(seq & (self.slots.len() as u64 - 1)).unwrap_or(0)
    }

    /// Room for the payload of `seq`.
    #[inline]
    pub(crate) fn payload_mut(&mut self, seq: u64) -> &mut [u8] {
        let index = self.index(seq);
        &mut self.slots[index][HEADER_LEN..]
    }

    /// The first `len` bytes of the payload of `seq`.
    pub(crate) fn payload(&self, seq: u64, len: usize) -> &[u8] {
        &self.slots[self.index(seq)][HEADER_LEN..HEADER_LEN + len]
    }

    /// Fixes the length of the payload of `seq`, and gives the whole datagram to be sealed.
    #[inline]
    pub(crate) fn take_in(&mut self, seq: u64, payload_len: usize) -> &mut [u8] {
        let (index, len) = (self.index(seq), HEADER_LEN + payload_len);
        // A slot is shorter than 64 KiB.
        self.lens[index] = u32::try_from(len).unwrap_or(u32::MAX);
        &mut self.slots[index][..len]
    }

    /// The datagram of `seq`.
    #[inline]
    pub(crate) fn datagram_mut(&mut self, seq: u64) -> &mut [u8] {
        let index = self.index(seq);
        &mut self.slots[index][..self.lens[index] as usize]
    }

    /// Exchanges the slot of `seq` for one of the same size.
    #[inline]
    pub(crate) fn exchange(&mut self, seq: u64, slot: &mut Slot) {
        let index = self.index(seq);
        std::mem::swap(&mut self.slots[index], slot);
    }

    /// Exchanges the slots of two sequences.
    #[inline]
    pub(crate) fn exchange_both(&mut self, a: u64, b: u64) {
        let (a, b) = (self.index(a), self.index(b));
        self.slots.swap(a, b);
    }

    /// The slots from `seq` on, at most `most`, as far as they lie side by side.
    #[inline]
    pub(crate) fn run_mut(&mut self, seq: u64, most: usize) -> &mut [Slot] {
        let from = self.index(seq);
        let to = self.slots.len().min(from + most);
        &mut self.slots[from..to]
    }
}

/// A slot that is in no ring yet.
pub(crate) fn new_slot(payload_max: usize) -> Slot {
    vec![0; HEADER_LEN + payload_max].into()
}

/// Bytes that a ring takes.
pub(crate) const fn memory(slots: usize, payload_max: usize) -> usize {
    slots * (HEADER_LEN + payload_max + size_of::<Slot>() + size_of::<u32>() + size_of::<u64>())
}
