//! Out: whatever is due goes to all peers, pass by pass.

use std::io;

use headcast_proto::Next;
use headcast_proto::header::PATH_OFFSET;

use super::trains::datagrams;
use super::{Beside, Pass, Publisher};
use crate::clock;

/// Passes that are sent before events are looked at again.
pub(super) const PASSES_MAX: usize = 64;
/// Where receivers may ask for repairs, no more passes than make so many datagrams, a few milliseconds' worth:
/// with many peers, who asks would have given up by the time that it is heard.
const DATAGRAMS_MAX: usize = 1024;

/// What `send_due` did and left.
pub(super) struct Due {
    pub(super) sent: usize,
    /// It stopped because it had sent enough.
    pub(super) more: bool,
    /// When something is due next; `u64::MAX` for nothing, or what waits for a socket.
    pub(super) next_ns: u64,
}

impl Publisher {
    /// Takes a new peer set over, between two passes.
    #[inline]
    pub(super) fn adopt_peers(&mut self) {
        if self.intake.pending() {
            self.swap_peers();
        }
    }

    #[cold]
    fn swap_peers(&mut self) {
        if self.is_sending() {
            return;
        }
        // Other ways to the same peers are no news to anybody but the sockets.
        let mut are_others = false;
        self.intake.swap_with(&mut self.fanout, |new, old| are_others = new.inherit(old));
        if are_others {
            self.peers_known = true;
            if self.repairing.is_some() {
                self.passes_max = (DATAGRAMS_MAX / self.fanout.len().max(1)).clamp(1, PASSES_MAX);
            }
            self.trains.restart();
            self.counters.peer_sets.add(1);
            self.forget_repairs();
        }
    }

    /// Sends what is due, then what only goes out when nothing else does. `now_ns` is monotonic.
    pub(super) fn send(&mut self, now_ns: u64) -> io::Result<Due> {
        if let Some(error) = self.fanout.refused() {
            return Err(io::Error::other(error));
        }
        let mut due = self.send_due::<true>(now_ns)?;
        if self.is_sending() {
            return Ok(due);
        }
        self.send_repairs(&mut due)?;
        if !due.more {
            self.beat(now_ns, &mut due)?;
        }
        Ok(due)
    }

    /// A pass that had to wait for the socket is finished, and then it is the turn of the repairs: on a socket that
    /// is always full they would never have one.
    fn passes_of_a_turn(&self) -> usize {
        let repairs = self.repairing.as_ref().is_some_and(|repairing| !repairing.is_idle());
        if repairs && self.is_sending() { 1 } else { self.passes_max }
    }

    /// Sends the message that was taken in last, and whatever else is due.
    #[inline]
    pub(super) fn send_last(&mut self, seq: u64, now_ns: u64) -> io::Result<()> {
        // Nearly always it is alone, and nothing is under way.
        if self.schedule.is_alone(seq) && self.peers_known && !self.is_sending() {
            if self.pass_of_one(seq, 0, now_ns)? && self.schedule.has_later() {
                self.send_next(1, PASSES_MAX, now_ns)?;
            }
            return Ok(());
        }
        self.send_due::<false>(now_ns).map(drop)
    }

    /// Sends the copies that are due, at most [`PASSES_MAX`] passes; with `BRIEFLY`, at most as many as a turn may.
    /// `now_ns` is monotonic.
    pub(super) fn send_due<const BRIEFLY: bool>(&mut self, now_ns: u64) -> io::Result<Due> {
        let passes_max = if BRIEFLY { self.passes_of_a_turn() } else { PASSES_MAX };
        let nothing = Due { sent: 0, more: false, next_ns: u64::MAX };
        if !self.peers_known {
            return Ok(nothing);
        }
        let finished = if self.is_sending() { self.finish(now_ns)? } else { Some(0) };
        finished.map_or(Ok(nothing), |sent| self.send_next(sent, passes_max, now_ns))
    }

    /// Sends the copies that are due, after so many datagrams have been sent, until it is `passes_max`. No pass may be
    /// under way.
    fn send_next(&mut self, sent: usize, passes_max: usize, mut now_ns: u64) -> io::Result<Due> {
        let mut due = Due { sent, more: false, next_ns: u64::MAX };
        loop {
            match self.schedule.next(now_ns) {
                Next::Send { .. } if due.sent >= passes_max => {
                    due.more = true;
                    return Ok(due);
                }
                Next::Send { seq, copy } => {
                    if due.sent > 0 {
                        // The pass before has taken its time.
                        now_ns = clock::mono_ns();
                    }
                    let Some(sent) = self.pass(seq, copy, now_ns)? else { return Ok(due) };
                    due.sent += sent;
                }
                Next::At(next_ns) => {
                    due.next_ns = next_ns;
                    return Ok(due);
                }
                Next::Idle => return Ok(due),
            }
        }
    }

    /// Sends one pass of what has not gone out yet, or what is left of the running one; returns how many datagrams.
    pub(super) fn send_pass(&mut self, now_ns: u64) -> io::Result<usize> {
        if !self.peers_known {
            return Ok(0);
        }
        if self.is_sending() {
            match self.finish(now_ns)? {
                Some(0) => {}
                finished => return Ok(finished.unwrap_or(0)),
            }
        }
        let Next::Send { seq, copy } = self.schedule.next(now_ns) else { return Ok(0) };
        Ok(self.pass(seq, copy, now_ns)?.unwrap_or(0))
    }

    /// Sends one copy, of this datagram or of several from it on, to all peers; returns of how many, if it is done.
    #[inline]
    fn pass(&mut self, seq: u64, copy: u8, now_ns: u64) -> io::Result<Option<usize>> {
        if self.schedule.goes_on(seq, copy) {
            let count = self.train(seq, copy, now_ns);
            if count > 1 {
                return self.pass_of_train(Pass { seq, copy, count }, now_ns);
            }
        }
        Ok(self.pass_of_one(seq, copy, now_ns)?.then_some(1))
    }

    /// Sends one copy of one datagram to all peers; returns whether that is done.
    // Always: for a first copy there is less to it.
    #[expect(clippy::inline_always, reason = "counted")]
    #[inline(always)]
    fn pass_of_one(&mut self, seq: u64, copy: u8, now_ns: u64) -> io::Result<bool> {
        self.adopt_peers();
        self.mark(seq, copy);
        self.go_on::<true>(seq, copy, now_ns)
    }

    fn pass_of_train(&mut self, pass: Pass, now_ns: u64) -> io::Result<Option<usize>> {
        self.adopt_peers();
        for at in 0..pass.count as u64 {
            self.mark(pass.seq + at, pass.copy);
        }
        self.begin_train(pass, now_ns);
        Ok(self.go_on_train(pass, now_ns)?.then_some(pass.count))
    }

    /// Writes into a datagram which copy it is. Sealing has written 0, for the first.
    #[inline]
    fn mark(&mut self, seq: u64, copy: u8) {
        if copy > 0 && self.framed {
            self.ring.slot_mut(seq).datagram_mut()[PATH_OFFSET] = copy;
        }
    }

    /// Starts the pass of one datagram with `BEGINS`, or goes on with it; returns whether it is done. If not, it is the
    /// running one.
    // Always: as above.
    #[expect(clippy::inline_always, reason = "counted")]
    #[inline(always)]
    fn go_on<const BEGINS: bool>(&mut self, seq: u64, copy: u8, now_ns: u64) -> io::Result<bool> {
        let datagram = self.ring.slot(seq).on_wire(self.framed);
        if BEGINS {
            let rotate = copy < self.rotates_below;
            self.egress.begin(&mut self.fanout, rotate, datagram.len(), now_ns, &self.counters);
        }
        let registry = self.poll.registry();
        let sent = if copy == 0 { &self.counters.sent_first } else { &self.counters.sent_later };
        let done = self.egress.flush(registry, &mut self.fanout, datagram, sent, now_ns, &self.counters);
        if !matches!(done, Ok(true)) {
            self.pass = Some(Pass { seq, copy, count: 1 });
            return done;
        }
        self.schedule.sent(seq, copy, now_ns);
        self.book_pass(copy, 1);
        Ok(true)
    }

    /// Goes on with whatever pass is under way; returns how many datagrams of the ring it was of, if it is done.
    #[cold]
    fn finish(&mut self, now_ns: u64) -> io::Result<Option<usize>> {
        if !self.finish_beside(now_ns)? {
            return Ok(None);
        }
        let Some(pass) = self.pass.take() else { return Ok(Some(0)) };
        let Pass { seq, copy, count } = pass;
        let done =
            if count == 1 { self.go_on::<false>(seq, copy, now_ns) } else { self.go_on_train(pass, now_ns) };
        Ok(done?.then_some(count))
    }

    /// Goes on with the pass of what does not lie in the ring; returns whether it is done.
    #[cold]
    pub(super) fn finish_beside(&mut self, now_ns: u64) -> io::Result<bool> {
        let Some(beside) = self.beside else { return Ok(true) };
        let (registry, counters) = (self.poll.registry(), &self.counters);
        let sent = match beside {
            Beside::Copy { copy: 0, .. } => &counters.sent_first,
            Beside::Copy { .. } => &counters.sent_later,
            Beside::Heartbeat => &counters.sent_heartbeats,
        };
        let mut datagrams = self.aside.datagrams();
        let done = match beside {
            Beside::Copy { count: 2.., .. } => {
                self.egress.flush_train(registry, &mut self.fanout, datagrams, sent, now_ns, counters)?
            }
            Beside::Copy { .. } => {
                let datagram = datagrams.next().unwrap_or_default();
                self.egress.flush(registry, &mut self.fanout, datagram, sent, now_ns, counters)?
            }
            Beside::Heartbeat => {
                self.egress.flush(registry, &mut self.fanout, &self.beat, sent, now_ns, counters)?
            }
        };
        if !done {
            return Ok(false);
        }
        self.beside = None;
        match beside {
            Beside::Copy { copy, count } => self.book_pass(copy, count),
            Beside::Heartbeat => self.counters.heartbeats.add(1),
        }
        Ok(true)
    }

    /// Moves what is going out aside: its slots may be written to.
    #[cold]
    pub(super) fn set_aside(&mut self, pass: Pass, now_ns: u64) {
        self.aside.put(datagrams(&self.ring, self.framed, pass));
        self.beside = Some(Beside::Copy { copy: pass.copy, count: pass.count });
        self.pass = None;
        self.schedule.sent_run(pass.seq, pass.count as u64, pass.copy, now_ns);
    }

    #[inline]
    pub(super) fn book_pass(&self, copy: u8, count: usize) {
        if copy > 0 {
            self.counters.passes_later.add(count as u64);
            // What is shed is shed between the passes of later copies.
            self.counters.copies_shed.set(self.schedule.shed());
            return;
        }
        self.counters.passes_first.add(count as u64);
        if self.fanout.len() == 0 {
            self.counters.unheard.add(count as u64);
        }
    }

    /// Whether a pass has begun and is not done.
    #[inline]
    pub(super) fn is_sending(&self) -> bool {
        self.pass.is_some() || self.beside.is_some()
    }
}
