//! The peers that frames go to, and how far a pass over them has come.

use super::checksum::sum;
use super::{Kick, Template, Xdp};
use crate::{Outcome, Progress};

/// The prepared frames of some peers.
pub struct Lane {
    peers: Box<[Peer]>,
    payload_max: usize,
    left_out: usize,
    /// Where the running pass started.
    first: usize,
    /// How many peers of the running pass have their frame in the ring, or have had, or are left out.
    cursor: usize,
}

struct Peer {
    template: Template,
    is_left_out: bool,
}

impl Lane {
    /// Prepares passes over these.
    #[must_use]
    pub fn new(templates: impl IntoIterator<Item = Template>) -> Self {
        let peers: Box<[Peer]> =
            templates.into_iter().map(|template| Peer { template, is_left_out: false }).collect();
        let payload_max = peers.iter().map(|peer| peer.template.payload_max()).min().unwrap_or(0);
        let cursor = peers.len();
        Self { peers, payload_max, left_out: 0, first: 0, cursor }
    }

    /// Goes on where the passes over `old` have come to, so that no peer is first more often than others.
    pub fn inherit(&mut self, old: &Self) {
        self.first = old.first.checked_rem(self.len()).unwrap_or(0);
    }

    /// How many peers there are, those that are left out included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The longest datagram that goes to all of them, in bytes.
    #[must_use]
    pub fn payload_max(&self) -> usize {
        self.payload_max
    }

    /// How many peers passes leave out.
    #[inline]
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Has passes leave out those peers for whose place this holds; to be called between two passes.
    #[cold]
    pub fn leave_out(&mut self, mut is_left_out: impl FnMut(usize) -> bool) {
        for (at, peer) in self.peers.iter_mut().enumerate() {
            peer.is_left_out = is_left_out(at);
        }
        self.left_out = self.peers.iter().filter(|peer| peer.is_left_out).count();
    }

    /// Starts a pass, with `rotate` one peer further than the last.
    #[inline]
    pub fn begin(&mut self, rotate: bool) {
        self.cursor = 0;
        self.first += usize::from(rotate);
        if self.first >= self.len() {
            self.first = 0;
        }
    }

    /// Sends `datagram` to the peers that the running pass has not come to yet.
    ///
    /// Call again with the same datagram after [`Outcome::Blocked`](crate::Outcome::Blocked), once the socket is
    /// writable or some time has passed: other traffic may have filled the driver, which tells nobody. After
    /// [`Outcome::Fatal`](crate::Outcome::Fatal) the socket is of no use; [`give_up`](Self::give_up) says who is
    /// left.
    ///
    /// # Panics
    /// If the datagram is longer than [`payload_max`](Self::payload_max).
    #[inline]
    pub fn flush(&mut self, xdp: &mut Xdp, datagram: &[u8]) -> Progress {
        let mut progress = Progress { sent: 0, rejected: 0, transient: 0, calls: 0, outcome: Outcome::Done };
        let payload_sum = sum(datagram);
        let mut patience = u32::MAX;
        // Bounded: every turn sends or drops something, costs patience, returns, or follows a signal.
        loop {
            xdp.reap();
            self.fill(xdp, datagram, payload_sum);
            let before = xdp.tx.unconsumed();
            if before == 0 {
                // Nothing to send: either everybody has been sent to, or all frames are with the driver.
                if self.cursor < self.len() {
                    progress.outcome = Outcome::Blocked;
                }
                return progress;
            }
            let kick = xdp.kick();
            progress.calls += 1;
            if matches!(kick, Kick::Dropped) {
                xdp.dropped += 1;
                progress.transient += 1;
            }
            let taken = (before - xdp.tx.unconsumed()) as usize;
            let dropped = taken.min(xdp.dropped);
            xdp.dropped -= dropped;
            progress.sent += taken - dropped;
            match kick {
                Kick::Progress | Kick::Dropped => patience = u32::MAX,
                Kick::Stuck => {
                    patience = patience.min(xdp.silent_calls_max(before)).saturating_sub(1);
                    if patience == 0 {
                        progress.outcome = Outcome::Blocked;
                        return progress;
                    }
                }
                Kick::Fatal(errno) => {
                    progress.outcome = Outcome::Fatal(errno);
                    return progress;
                }
            }
        }
    }

    /// Puts frames into the ring, as far as there are free ones and one call should send.
    #[inline]
    fn fill(&mut self, xdp: &mut Xdp, datagram: &[u8], payload_sum: u64) {
        let most = xdp.tx.room();
        let mut room = most;
        while self.cursor < self.len() && room > 0 {
            let peer = &self.peers[self.place(self.cursor)];
            if !peer.is_left_out {
                let template = &peer.template;
                let filled = xdp.umem.fill(|frame| template.write(frame, datagram, payload_sum));
                let Some((address, len)) = filled else { break };
                #[expect(clippy::cast_possible_truncation, reason = "at most 2048")]
                xdp.tx.push(address, len as u32);
                room -= 1;
            }
            self.cursor += 1;
        }
        if room < most {
            xdp.tx.publish();
        }
    }

    /// Whose turn it is at `cursor` of the running pass.
    #[inline]
    fn place(&self, cursor: usize) -> usize {
        let at = self.first + cursor;
        if at < self.len() { at } else { at - self.len() }
    }

    /// Ends a pass all of whose frames the driver has dropped; calls `left` with the place of each peer.
    #[cold]
    pub fn give_up_all(&mut self, mut left: impl FnMut(usize)) {
        for cursor in 0..self.len() {
            let at = self.place(cursor);
            if !self.peers[at].is_left_out {
                left(at);
            }
        }
        self.cursor = self.len();
    }

    /// Ends the running pass; calls `left` with the place of each peer whose frame the kernel has not taken, in
    /// the order of the pass. Frames that are still in the ring of `xdp` would go out with the next call: it
    /// must not be used again unless there are none.
    #[cold]
    pub fn give_up(&mut self, xdp: &Xdp, mut left: impl FnMut(usize)) {
        // What was dropped has been taken, though the kernel has not said so yet.
        let mut unconsumed = (xdp.tx.unconsumed() as usize).saturating_sub(xdp.dropped);
        let mut start = self.cursor;
        while unconsumed > 0 && start > 0 {
            start -= 1;
            unconsumed -= usize::from(!self.peers[self.place(start)].is_left_out);
        }
        for cursor in start..self.len() {
            let at = self.place(cursor);
            if !self.peers[at].is_left_out {
                left(at);
            }
        }
        self.cursor = self.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NextHop;

    fn lane(peers: u16) -> Lane {
        let hop = NextHop { from: [2; 6], to: [4; 6], mtu: 1500, hop_limit: 64 };
        let at = |port| std::net::SocketAddr::from(([10, 9, 0, 1], port));
        Lane::new((1..=peers).map(|port| Template::new(at(99), at(port), &hop).expect("one family")))
    }

    #[test]
    fn passes_go_on_where_those_over_the_lane_before_have_come_to() {
        let mut old = lane(5);
        (0..4).for_each(|_| old.begin(true));
        for (peers, first) in [(5, 4), (3, 1), (0, 0)] {
            let mut new = lane(peers);
            new.inherit(&old);
            assert_eq!(new.place(0), first, "of {peers}");
        }
    }
}
