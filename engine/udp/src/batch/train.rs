//! Several datagrams of equal size to each peer in one send: the kernel carries them as one packet, and cuts it up as
//! late as it can (UDP generic segmentation offload, `udp(7)`).
//!
//! ```text
//!  headers  [ 0 ][ 1 ] .. [A-1] ..
//!              |
//!              +-- msg_iov     -> iov [ datagram 0 ][ datagram 1 ] .. [ K-1 ]    ONE list for all
//!              +-- msg_control -> UDP_SEGMENT: as long as datagram 0              ONE for all
//! ```
//!
//! Not every path can: where there is no checksum offload, or a segment does not fit, the kernel refuses. That peer is
//! sent the same datagrams one by one, now and from then on.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::{Batch, Outcome, Progress};
use crate::SendError;

/// The most datagrams in one send (`UDP_MAX_SEGMENTS`, `include/linux/udp.h`): 64 before Linux 6.9.
pub const TRAIN_MAX: usize = 128;
/// The most bytes in one send, the headers of IP and UDP left out.
pub const TRAIN_BYTES_MAX: usize = 65_507;

/// What one [`Batch::flush_train`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainProgress {
    /// Of the datagrams, each counted by itself.
    pub progress: Progress,
    /// Sends of all datagrams to a peer that the kernel took.
    pub trains: usize,
    /// Peers to whom it refused to send them together.
    pub refused: usize,
}

/// Which peers are sent the datagrams of a train one by one.
pub(super) struct Refusing {
    /// A bit for each header of the first half.
    bits: Box<[u64]>,
    /// How many are set.
    count: usize,
    /// How many datagrams of the train the peer at the cursor has got.
    part: usize,
}

impl Refusing {
    pub(super) fn new(peers: usize) -> Self {
        Self { bits: vec![0; peers.div_ceil(64)].into(), count: 0, part: 0 }
    }

    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.count) > 0 {
            self.bits.fill(0);
        }
    }

    pub(super) fn set(&mut self, at: usize) {
        self.count += usize::from(!self.has(at));
        self.bits[at / 64] |= 1 << (at % 64);
    }

    fn has(&self, at: usize) -> bool {
        self.bits[at / 64] >> (at % 64) & 1 == 1
    }
}

impl Batch {
    /// How many peers have refused a train.
    #[must_use]
    pub fn refusing(&self) -> usize {
        self.refusing.count
    }

    /// As [`begin`](Self::begin), for a train of so many datagrams.
    ///
    /// # Panics
    /// If they are not 2 to [`TRAIN_MAX`].
    pub fn begin_train(&mut self, now_ns: u64, rotate: bool, datagrams: usize) {
        assert!((2..=TRAIN_MAX).contains(&datagrams), "2 to 128 datagrams");
        self.pass = self.pass.wrapping_add(1);
        if self.dirty || now_ns >= self.release_ns {
            self.lay_out(now_ns);
        }
        self.shape(datagrams);
        self.stale_ns = 0;
        self.refusing.part = 0;
        self.start(rotate);
    }

    /// Sends `datagrams` to the peers that the running pass has not tried yet: as many as
    /// [`begin_train`](Self::begin_train) was told, none of them empty, all as long as the first but for the last, which
    /// may be shorter; together at most [`TRAIN_BYTES_MAX`]. A peer receives them in their order.
    ///
    /// Call again with the same datagrams, after [`Outcome::Blocked`] and once the socket is writable.
    ///
    /// # Panics
    /// If there are more or fewer.
    pub fn flush_train<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: impl Iterator<Item = &'a [u8]> + Clone,
        now_ns: u64,
    ) -> TrainProgress {
        let mut done = TrainProgress { progress: Progress::NOTHING, trains: 0, refused: 0 };
        let count = self.memory.load(datagrams.clone());
        assert_eq!(count, self.vectors, "as many datagrams as the pass was begun with");
        // Bounded: every turn moves the cursor, marks a peer, returns, or follows a signal.
        while self.cursor < self.active && done.progress.outcome == Outcome::Done {
            if self.is_refusing(self.cursor) {
                self.send_singly(socket, datagrams.clone(), now_ns, &mut done.progress);
                continue;
            }
            let (run, progress) = (self.run(), &mut done.progress);
            progress.calls += 1;
            // SAFETY: `datagrams` were loaded just now, and are borrowed for longer than this call.
            match unsafe { self.memory.send_train(socket, self.first + self.cursor, run) } {
                Ok(sent) => {
                    self.cursor += sent;
                    progress.sent += sent * count;
                    done.trains += sent;
                }
                Err(Errno::EINTR) => {}
                // A segment that is longer than the path takes, more of them than the kernel knows, no offload.
                Err(Errno::EINVAL | Errno::EMSGSIZE | Errno::EIO | Errno::ENOSYS) => {
                    done.refused += 1;
                    self.peers.refuse(self.memory.peer_of(self.first + self.cursor));
                    self.refusing.set((self.first + self.cursor) % self.active);
                }
                Err(errno) => match SendError::classify(errno) {
                    SendError::Blocked => progress.outcome = Outcome::Blocked,
                    SendError::Transient => {
                        self.cursor += 1;
                        progress.transient += count;
                    }
                    SendError::PeerRejected(errno) => {
                        self.reject(errno, now_ns);
                        progress.rejected += count;
                    }
                    SendError::Fatal(errno) => progress.outcome = Outcome::Fatal(errno),
                },
            }
        }
        done
    }

    /// Sends the datagrams of a train one by one to the peer at the cursor, as far as it has not got them.
    #[cold]
    fn send_singly<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: impl Iterator<Item = &'a [u8]>,
        now_ns: u64,
        progress: &mut Progress,
    ) {
        let peer = self.memory.peer_of(self.first + self.cursor);
        for datagram in datagrams.skip(self.refusing.part) {
            progress.calls += 1;
            match self.send_one(socket, datagram, peer) {
                Ok(()) => progress.sent += 1,
                Err(SendError::Transient) => progress.transient += 1,
                Err(SendError::PeerRejected(errno)) => {
                    progress.rejected += self.vectors - self.refusing.part;
                    self.refusing.part = 0;
                    return self.reject(errno, now_ns);
                }
                Err(SendError::Blocked) => return progress.outcome = Outcome::Blocked,
                Err(SendError::Fatal(errno)) => return progress.outcome = Outcome::Fatal(errno),
            }
            self.refusing.part += 1;
        }
        self.refusing.part = 0;
        self.cursor += 1;
    }

    /// How many peers from the cursor on can be sent to in one call.
    fn run(&self) -> usize {
        let most = (self.active - self.cursor).min(self.call_max);
        if self.refusing.count == 0 {
            return most;
        }
        (0..most).find(|after| self.is_refusing(self.cursor + after)).unwrap_or(most)
    }

    fn is_refusing(&self, cursor: usize) -> bool {
        self.refusing.count > 0 && self.refusing.has((self.first + cursor) % self.active)
    }
}

#[cfg(all(test, not(miri)))]
mod tests;
