//! One message to all peers: headers that are built once per peer set.
//!
//! ```text
//!  headers  [ 0 ][ 1 ] .. [A-1][ 0 ][ 1 ] .. [A-1]     2A entries, so that a run of A may start
//!              |    first ^              ^ first+A     at any peer without copying
//!              |
//!              +-- msg_name -> names[peer]             one for each peer
//!              +-- msg_iov  -> iov                     ONE for all: base and length of the message
//! ```
//!
//! Several datagrams of equal size go to each peer together, as one send that the kernel cuts up: see
//! [`flush_train`](Batch::flush_train).
//!
//! A is the number of active peers: all but the quarantined. When a peer enters or leaves the
//! quarantine the headers are laid out again, in place, at the start of the next pass.

mod memory;
mod train;

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use nix::errno::Errno;

use crate::SendError;
use crate::peers::Peers;
use memory::Memory;
use train::Refusing;
pub use train::{TRAIN_BYTES_MAX, TRAIN_MAX, TrainProgress};

/// The most datagrams that one `sendmmsg` takes (`UIO_MAXIOV`, `net/socket.c`).
pub const CALL_MAX: usize = 1024;

/// What one [`Batch::flush`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Datagrams that the kernel took.
    pub sent: usize,
    /// Datagrams that the kernel refused to send to their peer.
    pub rejected: usize,
    /// Datagrams lost to a shortage inside the kernel.
    pub transient: usize,
    /// System calls made.
    pub calls: usize,
    /// How it ended.
    pub outcome: Outcome,
}

impl Progress {
    /// Nobody was left to be sent to.
    pub(crate) const NOTHING: Self =
        Self { sent: 0, rejected: 0, transient: 0, calls: 0, outcome: Outcome::Done };

    /// Whether every peer that was tried was sent to.
    #[inline]
    #[must_use]
    pub fn is_smooth(&self) -> bool {
        self.rejected + self.transient == 0 && self.outcome == Outcome::Done
    }
}

/// How a [`Batch::flush`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every active peer was tried.
    Done,
    /// The socket's buffer is full: flush again when it is writable.
    Blocked,
    /// The socket is of no use.
    Fatal(Errno),
}

/// Prepared headers for the peers of one address family.
pub struct Batch {
    peers: Arc<Peers>,
    memory: Memory,
    /// Peers that are not in quarantine: the first `2 x active` headers are laid out for them.
    active: usize,
    /// Where in the first half the running pass started.
    first: usize,
    /// How many of the running pass have been tried.
    cursor: usize,
    /// Counts passes; what "in a row" means to a peer's failures.
    pass: u32,
    /// The headers have to be laid out again before the next pass.
    dirty: bool,
    /// The first end of a quarantine; `u64::MAX` for none.
    release_ns: u64,
    /// From when on a pass of a single datagram has to lay them out again: the same, or 0 if they are dirty, or shaped
    /// for a train.
    stale_ns: u64,
    call_max: usize,
    /// Vectors that each header counts.
    vectors: usize,
    refusing: Refusing,
}

impl Batch {
    /// Prepares for these peers, which are of one address family, sorted and without repetition.
    ///
    /// Memory: at most 256 bytes a peer. `call_max` bounds the datagrams of one system call (1 to
    /// [`CALL_MAX`]; 1 turns `sendmmsg` off).
    ///
    /// # Panics
    /// If the peers are not as described or `call_max` is out of its range.
    #[must_use]
    pub fn new(peers: &[SocketAddr], call_max: usize) -> Self {
        assert!(peers.is_sorted_by(|a, b| a < b), "peers are sorted and differ");
        assert!(peers.iter().all(|peer| peer.is_ipv4() == peers[0].is_ipv4()), "peers are of one family");
        assert!((1..=CALL_MAX).contains(&call_max), "1 to 1024 datagrams a call");
        let mut batch = Self {
            peers: Arc::new(Peers::new(peers.into())),
            memory: Memory::new(peers),
            active: 0,
            first: 0,
            cursor: 0,
            pass: 0,
            dirty: false,
            release_ns: u64::MAX,
            stale_ns: u64::MAX,
            call_max,
            vectors: 1,
            refusing: Refusing::new(peers.len()),
        };
        batch.lay_out(0);
        batch.cursor = batch.active;
        batch
    }

    /// The peers and their failures, to be read by any thread.
    #[must_use]
    pub fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// How many peers there are, quarantined ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.len
    }

    /// Whether there is no peer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many peers are in quarantine.
    #[inline]
    #[must_use]
    pub fn quarantined(&self) -> usize {
        self.len() - self.active
    }

    /// Whether it is worth asking of each peer if it [is in quarantine](Self::is_quarantined).
    #[inline]
    #[must_use]
    pub fn may_have_quarantines(&self) -> bool {
        self.dirty || self.quarantined() > 0
    }

    /// Whether a peer, known by its place in [`Peers::addresses`], is in quarantine now.
    ///
    /// # Panics
    /// If there are not so many peers.
    #[must_use]
    pub fn is_quarantined(&self, peer: usize, now_ns: u64) -> bool {
        self.peers.release_ns(peer).is_some_and(|release_ns| release_ns > now_ns)
    }

    /// Takes over the failures and quarantines of the peers that `old` had as well, and how far passes have rotated.
    pub fn inherit(&mut self, old: &Self) {
        self.first = old.first.checked_rem(self.active).unwrap_or(0);
        // What is laid out is right, unless somebody is in quarantine.
        self.mark_dirty_if(self.peers.inherit(&old.peers));
        self.call_max = self.call_max.min(old.call_max);
    }

    /// Takes over the quarantines of the peers that `beside` has as well, which keeps account of their failures.
    pub fn inherit_quarantines(&mut self, beside: &Self) {
        self.mark_dirty_if(self.peers.inherit_quarantines(&beside.peers));
    }

    /// Starts a pass over all peers, with `rotate` one peer further than the last.
    ///
    /// `now_ns` is monotonic: quarantines that have ended by then are over.
    #[inline]
    pub fn begin(&mut self, now_ns: u64, rotate: bool) {
        self.pass = self.pass.wrapping_add(1);
        if now_ns >= self.stale_ns {
            self.shape(1);
            self.lay_out(now_ns);
            self.stale_ns = self.release_ns;
        }
        self.start(rotate);
    }

    #[inline]
    fn start(&mut self, rotate: bool) {
        self.cursor = 0;
        self.first += usize::from(rotate);
        if self.first >= self.active {
            self.first = 0;
        }
    }

    /// Sends `datagram` to the peers that the running pass has not tried yet.
    ///
    /// Call again with the same datagram, after [`Outcome::Blocked`] and once the socket is writable:
    /// the pass goes on where it stopped. A peer that the kernel refuses is skipped.
    // Always: a call and the progress through memory are a quarter of what a message to one peer costs.
    #[expect(clippy::inline_always, reason = "measured")]
    #[inline(always)]
    pub fn flush(&mut self, socket: BorrowedFd<'_>, datagram: &[u8], now_ns: u64) -> Progress {
        if self.cursor >= self.active {
            return Progress::NOTHING;
        }
        match self.call(socket, datagram) {
            // Nearly always one call is all.
            Ok(sent) if self.cursor + sent == self.active => {
                self.cursor = self.active;
                Progress { sent, calls: 1, ..Progress::NOTHING }
            }
            result => self.flush_on(result, socket, datagram, now_ns),
        }
    }

    /// Sends `datagram` to as many peers from the cursor on as one call takes.
    #[inline]
    fn call(&mut self, socket: BorrowedFd<'_>, datagram: &[u8]) -> Result<usize, Errno> {
        let count = (self.active - self.cursor).min(self.call_max);
        self.memory.send(socket, datagram, self.first + self.cursor, count)
    }

    /// Goes on with a pass whose first call since it was begun, or blocked, has had this result.
    #[cold]
    fn flush_on(
        &mut self,
        mut result: Result<usize, Errno>,
        socket: BorrowedFd<'_>,
        datagram: &[u8],
        now_ns: u64,
    ) -> Progress {
        let mut progress = Progress::NOTHING;
        // Bounded: every turn moves the cursor, returns, or follows a signal.
        loop {
            progress.calls += 1;
            match result {
                Ok(sent) => {
                    self.cursor += sent;
                    progress.sent += sent;
                }
                Err(Errno::EINTR) => {}
                Err(Errno::ENOSYS) if self.call_max > 1 => self.call_max = 1,
                Err(errno) => match SendError::classify(errno) {
                    SendError::Blocked => progress.outcome = Outcome::Blocked,
                    SendError::Transient => {
                        self.cursor += 1;
                        progress.transient += 1;
                    }
                    SendError::PeerRejected(errno) => {
                        self.reject(errno, now_ns);
                        progress.rejected += 1;
                    }
                    SendError::Fatal(errno) => progress.outcome = Outcome::Fatal(errno),
                },
            }
            if self.cursor >= self.active || progress.outcome != Outcome::Done {
                return progress;
            }
            result = self.call(socket, datagram);
        }
    }

    /// Sends `datagram` to one peer, known by its place in [`Peers::addresses`], even if it is in
    /// quarantine.
    ///
    /// A running pass goes on afterwards as if nothing had been sent. A refusal is not booked with the
    /// peer: a quarantine is for failures in passes in a row, and one between them is of no pass.
    ///
    /// # Errors
    /// What the failure means. [`SendError::Blocked`]: send it again once the socket is writable.
    ///
    /// # Panics
    /// If there are not so many peers.
    pub fn send_one(
        &mut self,
        socket: BorrowedFd<'_>,
        datagram: &[u8],
        peer: usize,
    ) -> Result<(), SendError> {
        // Bounded: every further turn follows a signal.
        loop {
            match self.memory.send_to(socket, datagram, peer) {
                Err(Errno::EINTR) => {}
                result => return result.map_err(SendError::classify),
            }
        }
    }

    /// Ends the running pass; returns how many peers it had not tried.
    #[cold]
    pub fn give_up(&mut self) -> usize {
        self.active - std::mem::replace(&mut self.cursor, self.active)
    }

    #[cold]
    fn reject(&mut self, errno: Errno, now_ns: u64) {
        let peer = self.memory.peer_of(self.first + self.cursor);
        self.mark_dirty_if(self.peers.reject(peer, errno, self.pass, now_ns));
        self.cursor += 1;
    }

    /// Lays out the headers of all peers that are not in quarantine.
    #[cold]
    fn lay_out(&mut self, now_ns: u64) {
        self.dirty = false;
        self.refusing.clear();
        self.release_ns = u64::MAX;
        self.active = 0;
        for peer in 0..self.len() {
            match self.peers.release_ns(peer) {
                Some(release_ns) if release_ns > now_ns => {
                    self.release_ns = self.release_ns.min(release_ns);
                    continue;
                }
                Some(_) => self.peers.release(peer, self.pass),
                None => {}
            }
            self.memory.set_peer(self.active, peer);
            if self.peers.refuses(peer) {
                self.refusing.set(self.active);
            }
            self.active += 1;
        }
        self.memory.double(self.active);
    }

    fn mark_dirty_if(&mut self, dirty: bool) {
        if dirty {
            self.dirty = true;
            self.stale_ns = 0;
        }
    }

    /// Has every header count so many vectors.
    #[cold]
    fn shape(&mut self, vectors: usize) {
        if std::mem::replace(&mut self.vectors, vectors) != vectors {
            self.memory.shape(vectors);
        }
    }
}

#[cfg(all(test, not(miri)))]
mod tests;

#[cfg(all(test, miri))]
mod miri;
