//! Out: whatever is due goes to all peers, pass by pass.

use std::io;

use headcast_proto::header::PATH_OFFSET;
use headcast_proto::{HEADER_LEN, Next};

use super::{Beside, Pass, Publisher};
use crate::clock;
use crate::egress::Fanout;

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
        if !self.is_sending() && self.intake.swap_with(&mut self.fanout, Fanout::inherit) {
            self.peers_known = true;
            if self.repairing.is_some() {
                self.passes_max = (DATAGRAMS_MAX / self.fanout.len().max(1)).clamp(1, PASSES_MAX);
            }
            self.counters.peer_sets.add(1);
            self.forget_repairs();
        }
    }

    /// Sends what is due, then what only goes out when nothing else does. `now_ns` is monotonic.
    pub(super) fn send(&mut self, now_ns: u64) -> io::Result<Due> {
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

    /// Sends the copies that are due, at most [`PASSES_MAX`] passes; with `BRIEFLY`, at most as many as a turn may.
    /// `now_ns` is monotonic.
    #[inline]
    pub(super) fn send_due<const BRIEFLY: bool>(&mut self, mut now_ns: u64) -> io::Result<Due> {
        let passes_max = if BRIEFLY { self.passes_of_a_turn() } else { PASSES_MAX };
        let mut due = Due { sent: 0, more: false, next_ns: u64::MAX };
        if !self.peers_known {
            return Ok(due);
        }
        if self.beside.is_some() && !self.finish_beside(now_ns)? {
            return Ok(due);
        }
        loop {
            if self.pass.is_none() {
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
                        self.begin(Pass { seq, copy }, now_ns);
                    }
                    Next::At(next_ns) => {
                        due.next_ns = next_ns;
                        return Ok(due);
                    }
                    Next::Idle => return Ok(due),
                }
            }
            if !self.go_on(now_ns)? {
                return Ok(due);
            }
            due.sent += 1;
        }
    }

    /// Starts the pass of one copy to all peers.
    #[inline]
    pub(super) fn begin(&mut self, pass: Pass, now_ns: u64) {
        self.adopt_peers();
        // Sealing has written 0, for the first copy.
        if self.framed && pass.copy > 0 {
            self.ring.slot_mut(pass.seq).datagram_mut()[PATH_OFFSET] = pass.copy;
        }
        let rotate = pass.copy < self.rotates_below;
        self.egress.begin(&mut self.fanout, rotate, now_ns, &self.counters);
        self.pass = Some(pass);
    }

    /// Goes on with the running pass; returns whether it is done.
    #[inline]
    pub(super) fn go_on(&mut self, now_ns: u64) -> io::Result<bool> {
        let Some(Pass { seq, copy }) = self.pass else { return Ok(true) };
        let datagram = self.ring.slot(seq).datagram();
        let datagram = if self.framed { datagram } else { &datagram[HEADER_LEN..] };
        let registry = self.poll.registry();
        let sent = if copy == 0 { &self.counters.sent_first } else { &self.counters.sent_later };
        if !self.egress.flush(registry, &mut self.fanout, datagram, sent, now_ns, &self.counters)? {
            return Ok(false);
        }
        self.pass = None;
        self.book_pass(copy);
        self.schedule.sent(seq, copy, now_ns);
        Ok(true)
    }

    /// Goes on with the pass of what does not lie in the ring; returns whether it is done.
    #[cold]
    pub(super) fn finish_beside(&mut self, now_ns: u64) -> io::Result<bool> {
        let Some(beside) = self.beside else { return Ok(true) };
        let datagram = match beside {
            Beside::Copy(_) => &self.aside.datagram()[if self.framed { 0 } else { HEADER_LEN }..],
            Beside::Heartbeat => &self.beat,
        };
        let sent = match beside {
            Beside::Copy(0) => &self.counters.sent_first,
            Beside::Copy(_) => &self.counters.sent_later,
            Beside::Heartbeat => &self.counters.sent_heartbeats,
        };
        let registry = self.poll.registry();
        if !self.egress.flush(registry, &mut self.fanout, datagram, sent, now_ns, &self.counters)? {
            return Ok(false);
        }
        self.beside = None;
        match beside {
            Beside::Copy(copy) => self.book_pass(copy),
            Beside::Heartbeat => self.counters.heartbeats.add(1),
        }
        Ok(true)
    }

    #[inline]
    fn book_pass(&self, copy: u8) {
        if copy > 0 {
            self.counters.passes_later.add(1);
            // What is shed is shed between the passes of later copies.
            self.counters.copies_shed.set(self.schedule.shed());
            return;
        }
        self.counters.passes_first.add(1);
        if self.fanout.len() == 0 {
            self.counters.unheard.add(1);
        }
    }

    /// Whether a pass has begun and is not done.
    #[inline]
    pub(super) fn is_sending(&self) -> bool {
        self.pass.is_some() || self.beside.is_some()
    }
}
