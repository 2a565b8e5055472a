//! In: messages of this thread, of other threads and of local applications, into the ring.

use std::io;
use std::time::Duration;

use headcast_proto::{Now, Sequencer};
use headcast_udp::RECEIVE_MAX;

use super::cutting::Origin;
use super::packing::Packing;
use super::{Backlog, Pass, Publisher};
use crate::clock;
use crate::error::PublishError;
use crate::ingress::{Held, Ingress};
use crate::ring::Ring;

/// Messages that one turn takes from other threads.
const QUEUE_MAX: usize = 256;
/// Receive calls that one turn makes on the local socket.
const RECEIVES_MAX: usize = 4;

impl Publisher {
    /// Makes room for a message of so many datagrams, by the policy; to block, room for one is enough.
    /// Afterwards no other message is being cut.
    #[cold]
    pub(super) fn make_room(&mut self, datagrams: usize) -> Result<(), PublishError> {
        match self.backlog {
            Backlog::Block => {
                while self.cut.is_some() || !self.schedule.has_room() {
                    self.turn(None)?;
                }
            }
            Backlog::DropNewest => {
                if self.cut.is_some() || self.schedule.room() < datagrams {
                    self.turn(Some(Duration::ZERO))?;
                }
                if self.cut.is_some() || self.schedule.room() < datagrams {
                    self.counters.dropped_newest.add(1);
                    return Err(PublishError::Full);
                }
            }
            // What is being cut never waits for room.
            Backlog::DropOldest => {
                while self.schedule.room() < datagrams {
                    self.drop_oldest();
                }
            }
        }
        Ok(())
    }

    /// Makes room for one datagram in the ring: gives up the oldest, its later copies or all of it. What is going out
    /// goes on from beside the ring.
    #[cold]
    pub(super) fn drop_oldest(&mut self) {
        let oldest = self.schedule.oldest();
        let going_out = |pass: &Pass| (pass.seq..pass.seq + pass.count as u64).contains(&oldest);
        if let Some(pass) = self.pass.filter(going_out) {
            self.set_aside(pass, clock::mono_ns());
        }
        // What was set aside may have been the last copy.
        if self.schedule.oldest() == oldest {
            let dropped = self.schedule.drop_oldest();
            self.counters.dropped_oldest.add(dropped.unsent.into());
        }
        self.counters.copies_shed.set(self.schedule.shed());
    }

    /// Seals the message that lies in the next slot, and has it sent.
    // Always: a call costs a twentieth of what a message to one peer does.
    #[expect(clippy::inline_always, reason = "counted")]
    #[inline(always)]
    pub(super) fn take_in(&mut self, payload_len: usize, now: Now) -> u64 {
        let seq = self.sequencer.last_seq() + 1;
        seal(&mut self.sequencer, &mut self.ring, self.framed, now, seq, payload_len);
        self.schedule.push();
        let counters = &*self.counters;
        counters.messages.add(1);
        counters.message_bytes.add(payload_len as u64);
        seq
    }

    /// Takes in what other threads have published.
    #[inline]
    pub(super) fn take_queue(&mut self) {
        let mut now = None;
        for _ in 0..QUEUE_MAX {
            if self.cut.is_some() && !self.cut_on() {
                return;
            }
            if !self.schedule.has_room() && self.backlog != Backlog::DropOldest {
                // It waits in the queue; when that is full as well, the handles apply the policy.
                return;
            }
            let Some(mut entry) = self.queue.pop() else { return };
            let now = *now.get_or_insert_with(clock::now);
            let len = entry.slot.payload_len();
            if entry.rest.is_empty() && self.packs(len) {
                self.open_room_mut(len).copy_from_slice(entry.slot.payload(len));
                self.pack(len);
                self.queue.recycle(entry.slot);
                continue;
            }
            if !self.schedule.has_room() {
                self.drop_oldest();
            }
            self.ring.exchange(self.sequencer.last_seq() + 1, &mut entry.slot);
            self.queue.recycle(entry.slot);
            if entry.rest.is_empty() {
                self.take_in(len, now);
            } else {
                let len = entry.rest.len();
                self.begin_cut(entry.rest, 0..len, Origin::Queue, now);
            }
        }
    }

    #[inline]
    pub(super) fn ingress_can_go_on(&self) -> bool {
        self.ingress_ready
            && self.cut.is_none()
            && (self.backlog != Backlog::Block || self.schedule.has_room())
    }

    /// Takes in what local applications have sent.
    #[inline]
    pub(super) fn take_ingress(&mut self) -> io::Result<()> {
        for _ in 0..RECEIVES_MAX {
            if !self.ingress_can_go_on() {
                return Ok(());
            }
            let Some(ingress) = &mut self.ingress else { return Ok(()) };
            if ingress.holds() || !self.schedule.has_room() {
                self.take_ingress_aside()?;
                continue;
            }
            let packing = Packing::of(self.packing, self.pass);
            let (schedule, sequencer, counters) = (&mut self.schedule, &mut self.sequencer, &self.counters);
            let (framed, now, room) = (self.framed, clock::now(), schedule.room());
            let first = sequencer.last_seq() + 1;
            self.ingress_ready =
                ingress.receive(&mut self.ring, first, room, counters, |ring, at, len| {
                    counters.messages.add(1);
                    counters.message_bytes.add(len as u64);
                    let last = sequencer.last_seq();
                    if packing.takes(ring, schedule, last, len) {
                        ring.pack(last, at, len);
                        return counters.packed.add(1);
                    }
                    if at != last + 1 {
                        // Those between have been packed.
                        ring.swap(at, last + 1);
                    }
                    seal(sequencer, ring, framed, now, last + 1, len);
                    schedule.push();
                })?;
        }
        Ok(())
    }

    /// Takes in, one by one and by the policy, what local applications have sent and the ring had no room for,
    /// or that came in one piece: no more messages than a call receives when each comes alone.
    #[cold]
    fn take_ingress_aside(&mut self) -> io::Result<()> {
        let Some(ingress) = &mut self.ingress else { return Ok(()) };
        if !ingress.holds() {
            self.ingress_ready = ingress.receive_aside(&self.counters)?;
        }
        let now = clock::now();
        for _ in 0..RECEIVE_MAX {
            if self.cut.is_some() || self.backlog == Backlog::Block && !self.schedule.has_room() {
                break;
            }
            let Some(held) = self.ingress.as_mut().and_then(Ingress::next_held) else { break };
            self.take_held(&held, now);
        }
        self.ingress_ready |= self.ingress.as_ref().is_some_and(Ingress::holds);
        Ok(())
    }

    /// Takes in what lies beside the ring, or applies the policy to it.
    fn take_held(&mut self, held: &Held, now: Now) {
        let len = held.bytes.len();
        if held.truncated || self.sizes.check(len).is_err() {
            return self.counters.oversized.add(1);
        }
        match self.backlog {
            _ if self.packs(len) => {}
            Backlog::Block => {}
            Backlog::DropNewest if self.schedule.room() < self.sizes.datagrams(len) => {
                return self.counters.dropped_newest.add(1);
            }
            Backlog::DropOldest if !self.schedule.has_room() => self.drop_oldest(),
            Backlog::DropNewest | Backlog::DropOldest => {}
        }
        let packs = self.packs(len);
        let Some(ingress) = &mut self.ingress else { return };
        let last = self.sequencer.last_seq();
        if packs {
            ingress.copy(held, self.ring.slot_mut(last).room_mut(len));
            return self.pack(len);
        }
        let head = len.min(self.sizes.payload_max);
        if held.alone {
            self.ring.exchange(last + 1, ingress.slot_mut(held.at));
        } else {
            ingress.copy(held, self.ring.slot_mut(last + 1).payload_mut(head));
        }
        if head == len {
            self.take_in(len, now);
        } else {
            let (overflow, rest) = ingress.lend(held, head);
            self.begin_cut(overflow, rest, Origin::Local(held.at), now);
        }
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
