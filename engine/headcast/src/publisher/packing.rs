//! Small messages that queue share a datagram.
//!
//! The last datagram of the ring is open as long as it has not begun to go out: what comes meanwhile joins it, if it has
//! room. So a message that finds nothing queued is never packed, and one that is packed has never been waited for.

use headcast_proto::Schedule;

use super::{Pass, Publisher};
use crate::ring::Ring;

/// What decides whether a datagram is open.
#[derive(Clone, Copy)]
pub(super) struct Packing {
    on: bool,
    /// One past the last sequence whose first copy is going out.
    closed: u64,
}

impl Packing {
    pub(super) fn of(on: bool, pass: Option<Pass>) -> Self {
        let closed = match pass {
            Some(Pass { seq, copy: 0, count }) => seq + count as u64,
            _ => 0,
        };
        Self { on, closed }
    }

    /// Whether a message of `len` bytes may join the datagram of `last`, the last one that was sealed.
    #[inline]
    pub(super) fn takes(self, ring: &Ring, schedule: &Schedule, last: u64, len: usize) -> bool {
        self.on && schedule.unsent() > 0 && last >= self.closed && ring.slot(last).has_room(len)
    }
}

impl Publisher {
    /// Whether a message of `len` bytes may join the last datagram.
    #[inline]
    pub(super) fn packs(&self, len: usize) -> bool {
        self.schedule.unsent() > 0 && self.can_pack(len)
    }

    #[cold]
    fn can_pack(&self, len: usize) -> bool {
        let packing = Packing::of(self.packing, self.pass);
        packing.takes(&self.ring, &self.schedule, self.sequencer.last_seq(), len)
    }

    /// Where a message that joins it is to be written.
    pub(super) fn open_room_mut(&mut self, len: usize) -> &mut [u8] {
        self.ring.slot_mut(self.sequencer.last_seq()).room_mut(len)
    }

    /// Takes in the message that was written there.
    pub(super) fn pack(&mut self, len: usize) {
        self.ring.slot_mut(self.sequencer.last_seq()).append(len);
        self.counters.messages.add(1);
        self.counters.packed.add(1);
        self.counters.message_bytes.add(len as u64);
    }
}
