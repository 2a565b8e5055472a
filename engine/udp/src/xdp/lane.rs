//! The peers that frames go to, and how far a pass over them has come.

use super::checksum::sum;
use super::{Kick, Template, Xdp};
use crate::{Outcome, Progress};

/// Frames that are written before the kernel is called: the first peer should not wait for all the others'.
const BURST: u32 = 256;

/// The prepared frames of some peers.
pub struct Lane {
    templates: Box<[Template]>,
    payload_max: usize,
    /// Where the running pass started.
    first: usize,
    /// How many of the running pass are in the ring, or have been.
    cursor: usize,
}

impl Lane {
    /// Prepares a pass over these.
    #[must_use]
    pub fn new(templates: Box<[Template]>) -> Self {
        let payload_max = templates.iter().map(Template::payload_max).min().unwrap_or(0);
        let cursor = templates.len();
        Self { templates, payload_max, first: 0, cursor }
    }

    /// How many peers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.templates.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    /// The longest datagram that goes to all of them, in bytes.
    #[must_use]
    pub fn payload_max(&self) -> usize {
        self.payload_max
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
        // Bounded: every turn sends or drops something, returns, or follows a signal.
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
                Kick::Progress | Kick::Dropped => {}
                Kick::Stuck => {
                    progress.outcome = Outcome::Blocked;
                    return progress;
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
        let room = BURST.saturating_sub(xdp.tx.unconsumed()) as usize;
        let end = self.len().min(self.cursor + room);
        let start = self.cursor;
        while self.cursor < end {
            let at = self.first + self.cursor;
            let at = if at < self.templates.len() { at } else { at - self.templates.len() };
            let template = &self.templates[at];
            let filled = xdp.umem.fill(|frame| template.write(frame, datagram, payload_sum));
            let Some((address, len)) = filled else { break };
            #[expect(clippy::cast_possible_truncation, reason = "at most 2048")]
            xdp.tx.push(address, len as u32);
            self.cursor += 1;
        }
        if self.cursor > start {
            xdp.tx.publish();
        }
    }

    /// Ends the running pass; calls `left` with the place of each peer whose frame the kernel has not taken, in
    /// the order of the pass. Frames that are still in the ring of `xdp` would go out with the next call: it
    /// must not be used again unless there are none.
    #[cold]
    pub fn give_up(&mut self, xdp: &Xdp, mut left: impl FnMut(usize)) {
        // What was dropped has been taken, though the kernel has not said so yet.
        let unconsumed = (xdp.tx.unconsumed() as usize).saturating_sub(xdp.dropped);
        let start = self.cursor.saturating_sub(unconsumed);
        (start..self.len()).for_each(|at| left((self.first + at) % self.templates.len()));
        self.cursor = self.len();
    }
}
