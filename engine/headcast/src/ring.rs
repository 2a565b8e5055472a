//! The ring of the last datagrams: send buffer now, repair store later.
//!
//! Slot = sequence mod length. A payload lies behind room for the header, so that sealing a datagram
//! copies nothing. Slots are boxes of one size, so a payload that another thread wrote, or that the
//! kernel received before there was room for it, changes place by exchanging two pointers.

use headcast_proto::HEADER_LEN;

/// One datagram's room: header, then payload.
#[derive(Debug)]
pub(crate) struct Slot {
    bytes: Box<[u8]>,
    /// Bytes of the datagram that lies here, header included.
    len: usize,
}

impl Slot {
    /// A slot that is in no ring yet.
    pub(crate) fn new(payload_max: usize) -> Self {
        // Not zeros: those the allocator gets from the kernel unwritten, and the first lap of the ring would
        // pay for a page fault every third message.
        const UNWRITTEN: u8 = 0xa5;
        Self { bytes: vec![UNWRITTEN; HEADER_LEN + payload_max].into(), len: 0 }
    }

    /// Room for a payload of `len` bytes, which is what the slot holds from now on.
    #[inline]
    pub(crate) fn payload_mut(&mut self, len: usize) -> &mut [u8] {
        self.len = HEADER_LEN + len;
        &mut self.bytes[HEADER_LEN..self.len]
    }

    /// The datagram that lies here.
    #[inline]
    pub(crate) fn datagram(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The datagram that lies here, for its path byte to be written.
    #[inline]
    pub(crate) fn datagram_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// Says that what lies here is no datagram any more: its payload was written to, its header not.
    pub(crate) fn forget(&mut self) {
        self.len = 0;
    }

    /// Bytes of the payload.
    #[inline]
    pub(crate) fn payload_len(&self) -> usize {
        self.len.saturating_sub(HEADER_LEN)
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

    /// The first `len` bytes of the payload of `seq`.
    pub(crate) fn payload(&self, seq: u64, len: usize) -> &[u8] {
        &self.slot(seq).bytes[HEADER_LEN..HEADER_LEN + len]
    }

    /// Fixes the length of the payload of `seq`, and gives the whole datagram to be sealed.
    #[inline]
    pub(crate) fn take_in(&mut self, seq: u64, payload_len: usize) -> &mut [u8] {
        let slot = self.slot_mut(seq);
        slot.len = HEADER_LEN + payload_len;
        &mut slot.bytes[..slot.len]
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
    slots * (HEADER_LEN + payload_max + size_of::<Slot>() + size_of::<u64>())
}
