//! In: messages of this thread, of other threads and of local applications, into the ring.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use headcast_proto::{Now, Sequencer};

use super::{Backlog, Publisher};
use crate::clock;
use crate::error::PublishError;
use crate::ring::{Ring, Slot};

/// Messages that one turn takes from other threads.
const QUEUE_MAX: usize = 256;
/// Receive calls that one turn makes on the local socket.
const RECEIVES_MAX: usize = 4;

impl Publisher {
    #[cold]
    pub(super) fn make_room(&mut self) -> Result<(), PublishError> {
        match self.backlog {
            Backlog::Block => {
                while !self.schedule.has_room() {
                    self.turn(None)?;
                }
            }
            Backlog::DropNewest => {
                self.turn(Some(Duration::ZERO))?;
                if !self.schedule.has_room() {
                    self.counters.dropped_newest.add(1);
                    return Err(PublishError::Full);
                }
            }
            Backlog::DropOldest => self.drop_oldest(),
        }
        Ok(())
    }

    /// Gives up the oldest datagram in the ring: its later copies, or all of it.
    #[cold]
    pub(super) fn drop_oldest(&mut self) {
        let dropped = self.schedule.drop_oldest(self.pass.map(|pass| (pass.seq, pass.copy)));
        match self.pass {
            // Some of the peers have it: it goes out to all of them, from the slot beside the ring.
            Some(pass) if pass.seq == dropped.seq => {
                self.ring.exchange(dropped.seq, &mut self.aside);
                self.aside_copy = Some(pass.copy);
                self.pass = None;
            }
            _ => self.counters.dropped_oldest.add(dropped.unsent.into()),
        }
        self.counters.copies_shed.set(self.schedule.shed());
    }

    /// Seals the message that lies in the next slot, and has it sent.
    #[inline]
    pub(super) fn take_in(&mut self, payload_len: usize, now: Now) -> u64 {
        let seq = self.sequencer.last_seq() + 1;
        seal(&mut self.sequencer, &mut self.ring, self.framed, now, seq, payload_len);
        self.schedule.push();
        self.counters.messages.add(1);
        self.counters.message_bytes.add(payload_len as u64);
        seq
    }

    /// Takes in what other threads have published.
    #[inline]
    pub(super) fn take_queue(&mut self) {
        let mut now = None;
        for _ in 0..QUEUE_MAX {
            if !self.schedule.has_room() && self.backlog != Backlog::DropOldest {
                // It waits in the queue; when that is full as well, the handles apply the policy.
                return;
            }
            let Some(mut slot) = self.queue.pop() else { return };
            let len = slot.payload_len();
            self.take_slot(&mut slot, len, *now.get_or_insert_with(clock::now));
            self.queue.recycle(slot);
        }
    }

    /// Takes in a message that lies in a slot of its own, by exchanging that for the ring's.
    #[inline]
    pub(super) fn take_slot(&mut self, slot: &mut Slot, len: usize, now: Now) {
        if !self.schedule.has_room() {
            self.drop_oldest();
        }
        self.ring.exchange(self.sequencer.last_seq() + 1, slot);
        self.take_in(len, now);
    }

    #[inline]
    pub(super) fn ingress_can_go_on(&self) -> bool {
        self.ingress_ready && (self.backlog != Backlog::Block || self.schedule.has_room())
    }

    /// Takes in what local applications have sent.
    #[inline]
    pub(super) fn take_ingress(&mut self) -> io::Result<()> {
        for _ in 0..RECEIVES_MAX {
            if !self.ingress_can_go_on() {
                return Ok(());
            }
            if !self.schedule.has_room() {
                self.take_ingress_full()?;
                continue;
            }
            let Some(ingress) = &mut self.ingress else { return Ok(()) };
            let (schedule, sequencer, counters) = (&mut self.schedule, &mut self.sequencer, &self.counters);
            let (framed, now, room) = (self.framed, clock::now(), schedule.room());
            let first = sequencer.last_seq() + 1;
            self.ingress_ready =
                ingress.receive(&mut self.ring, first, room, counters, |ring, seq, len| {
                    seal(sequencer, ring, framed, now, seq, len);
                    schedule.push();
                    counters.messages.add(1);
                    counters.message_bytes.add(len as u64);
                })?;
        }
        Ok(())
    }

    /// Applies the policy to what local applications have sent while the ring is full.
    #[cold]
    pub(super) fn take_ingress_full(&mut self) -> io::Result<()> {
        let Some(mut ingress) = self.ingress.take() else { return Ok(()) };
        let (counters, now) = (Arc::clone(&self.counters), clock::now());
        let received = ingress.receive_aside(&counters, |slot, len| {
            if self.backlog == Backlog::DropOldest {
                self.take_slot(slot, len, now);
            } else {
                self.counters.dropped_newest.add(1);
            }
        });
        self.ingress = Some(ingress);
        self.ingress_ready = received?;
        Ok(())
    }
}

/// Numbers the message in the slot of `seq`, and writes its header in place.
#[inline]
fn seal(sequencer: &mut Sequencer, ring: &mut Ring, framed: bool, now: Now, seq: u64, payload_len: usize) {
    let datagram = ring.take_in(seq, payload_len);
    if framed {
        sequencer.seal(datagram, now);
    } else {
        sequencer.count();
    }
}
