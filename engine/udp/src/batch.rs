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
//! A is the number of active peers: all but the quarantined. When a peer enters or leaves the
//! quarantine the headers are laid out again, in place, at the start of the next pass.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use libc::{c_void, iovec, mmsghdr, msghdr, socklen_t};
use nix::errno::Errno;

use crate::name::Name;
use crate::peers::Peers;
use crate::{SendError, sys};

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
    stale: bool,
    /// The first end of a quarantine; `u64::MAX` for none.
    release_ns: u64,
    call_max: usize,
}

/// What the headers point at, and the headers: allocated once, freed on drop.
///
/// Raw pointers, not boxes: a box that moves claims to be the only way to its content, and here the
/// headers are another.
struct Memory {
    names: NonNull<Name>,
    iov: NonNull<iovec>,
    headers: NonNull<mmsghdr>,
    /// Bytes of each name.
    name_len: socklen_t,
    /// Names; there are twice as many headers.
    len: usize,
}

// SAFETY: the pointers are to memory that this value alone owns, and no part of it is tied to a
// thread; so it may move to another one as a box may.
unsafe impl Send for Memory {}

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
            stale: false,
            release_ns: u64::MAX,
            call_max,
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

    /// Takes over the failures and quarantines of the peers that `old` had as well.
    pub fn inherit(&mut self, old: &Self) {
        // What is laid out is right, unless somebody is in quarantine.
        self.stale |= self.peers.inherit(&old.peers);
        self.call_max = self.call_max.min(old.call_max);
    }

    /// Starts a pass over all peers, with `rotate` one peer further than the last.
    ///
    /// `now_ns` is monotonic: quarantines that have ended by then are over.
    #[inline]
    pub fn begin(&mut self, now_ns: u64, rotate: bool) {
        self.pass = self.pass.wrapping_add(1);
        if self.stale || now_ns >= self.release_ns {
            self.lay_out(now_ns);
        }
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
        let mut progress = Progress { sent: 0, rejected: 0, transient: 0, calls: 0, outcome: Outcome::Done };
        // Bounded: every turn moves the cursor, returns, or follows a signal.
        while self.cursor < self.active {
            let count = (self.active - self.cursor).min(self.call_max);
            progress.calls += 1;
            match self.memory.send(socket, datagram, self.first + self.cursor, count) {
                Ok(sent) => {
                    self.cursor += sent;
                    progress.sent += sent;
                }
                Err(Errno::EINTR) => {}
                Err(Errno::ENOSYS) if self.call_max > 1 => self.call_max = 1,
                Err(errno) => match SendError::classify(errno) {
                    SendError::Blocked => {
                        progress.outcome = Outcome::Blocked;
                        break;
                    }
                    SendError::Transient => {
                        self.cursor += 1;
                        progress.transient += 1;
                    }
                    SendError::PeerRejected(errno) => {
                        self.reject(errno, now_ns);
                        progress.rejected += 1;
                    }
                    SendError::Fatal(errno) => {
                        progress.outcome = Outcome::Fatal(errno);
                        break;
                    }
                },
            }
        }
        progress
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
        self.stale |= self.peers.reject(peer, errno, self.pass, now_ns);
        self.cursor += 1;
    }

    /// Lays out the headers of all peers that are not in quarantine.
    #[cold]
    fn lay_out(&mut self, now_ns: u64) {
        self.stale = false;
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
            self.active += 1;
        }
        self.memory.double(self.active);
    }
}

impl Memory {
    fn new(peers: &[SocketAddr]) -> Self {
        let iov = leak(Box::new([iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }]));
        let names = leak(peers.iter().map(|peer| Name::new(*peer).0).collect());
        // All are of one family, so all names are of one length.
        let name_len = peers.first().map_or(0, |peer| Name::new(*peer).1);
        let header = header(iov, name_len);
        let headers = leak(vec![header; 2 * peers.len()].into());
        Self { names, iov, headers, name_len, len: peers.len() }
    }

    /// Makes `datagram` what all headers send.
    #[inline]
    fn point_at(&mut self, datagram: &[u8]) {
        // The kernel only reads what it sends, so the base may come from a shared slice.
        let iov = iovec { iov_base: datagram.as_ptr().cast::<c_void>().cast_mut(), iov_len: datagram.len() };
        // SAFETY: `self.iov` is ours, allocated in `new` and freed in `drop`; we are borrowed
        // exclusively, and no system call is running that reads it.
        unsafe { self.iov.write(iov) };
    }

    /// Sends `count` datagrams by the headers from `at` on.
    #[inline]
    fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        datagram: &[u8],
        at: usize,
        count: usize,
    ) -> Result<usize, Errno> {
        assert!(at + count <= 2 * self.len, "a run lies within the headers");
        // SAFETY: `at` is within the allocation of 2 x len headers, as asserted.
        let header = unsafe { self.headers.add(at) };
        if count == 1 {
            // SAFETY: the header is initialised and ours, and we are borrowed exclusively.
            let name = unsafe { header.as_ref() }.msg_hdr.msg_name;
            // SAFETY: the name is one of `names`, which live as long as `self` and are written only in
            // `new`.
            unsafe { sys::sendto(socket, datagram, name, self.name_len) }.map(|()| 1)
        } else {
            self.point_at(datagram);
            // SAFETY: the `count` headers from `at` on are within the allocation, as asserted, and
            // initialised; the name of each is one of `names`, its vector is `iov`, and all live as long
            // as `self`. `iov` points at this datagram, which is borrowed until after the call. We are
            // borrowed exclusively: nobody else touches the headers.
            unsafe { sys::sendmmsg(socket, header.as_ptr(), count) }
        }
    }

    /// Sends one datagram to a peer by its name alone: no header is read or written.
    fn send_to(&self, socket: BorrowedFd<'_>, datagram: &[u8], peer: usize) -> Result<(), Errno> {
        assert!(peer < self.len, "one of the peers");
        // SAFETY: `peer` is within the allocation of `len` names, as asserted.
        let name = unsafe { self.names.add(peer) };
        // SAFETY: the name is initialised and ours; it lives as long as `self` and is written only in
        // `new`.
        unsafe { sys::sendto(socket, datagram, name.as_ptr().cast(), self.name_len) }
    }

    /// Gives the header at `at` to a peer.
    fn set_peer(&mut self, at: usize, peer: usize) {
        assert!(at < self.len && peer < self.len, "a header of the first half, for one of the peers");
        // SAFETY: `peer` is within the allocation of `len` names, as asserted.
        let name = unsafe { self.names.add(peer) };
        // SAFETY: `at` is within the allocation of 2 x len headers, as asserted.
        let mut header = unsafe { self.headers.add(at) };
        // SAFETY: the header is initialised and ours, and we are borrowed exclusively.
        let header = unsafe { header.as_mut() };
        header.msg_hdr.msg_name = name.as_ptr().cast();
    }

    /// Repeats the first `active` headers behind themselves.
    fn double(&mut self, active: usize) {
        assert!(active <= self.len, "the doubled run lies within the headers");
        // SAFETY: `active` is within the allocation of 2 x len headers, as asserted.
        let second = unsafe { self.headers.add(active) };
        // SAFETY: both runs are `active` initialised headers within the allocation, as asserted, and
        // the second begins where the first ends. Headers are plain data.
        unsafe { second.copy_from_nonoverlapping(self.headers, active) };
    }

    /// Whose header lies at `at`.
    fn peer_of(&self, at: usize) -> usize {
        assert!(at < 2 * self.len, "a header");
        // SAFETY: `at` is within the allocation, as asserted.
        let header = unsafe { self.headers.add(at) };
        // SAFETY: the header is initialised and ours; nobody writes while we are borrowed.
        let name = unsafe { header.as_ref() }.msg_hdr.msg_name;
        (name.addr() - self.names.addr().get()) / size_of::<Name>()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: from `leak` in `new`, with the same length, and not freed before.
        unsafe { free(self.names, self.len) };
        // SAFETY: as above.
        unsafe { free(self.iov, 1) };
        // SAFETY: as above.
        unsafe { free(self.headers, 2 * self.len) };
    }
}

/// A header without a name; all padding is zero, as the kernel's 64-bit layout wants it.
fn header(iov: NonNull<iovec>, name_len: socklen_t) -> mmsghdr {
    // SAFETY: all zeros is a valid `mmsghdr`: integers and null pointers. (musl's has private padding
    // fields, so it cannot be written as a literal.)
    let mut header: mmsghdr = unsafe { std::mem::zeroed() };
    let msg: &mut msghdr = &mut header.msg_hdr;
    msg.msg_namelen = name_len;
    msg.msg_iov = iov.as_ptr();
    msg.msg_iovlen = 1;
    header
}

/// The content of a box, to be given back to [`free`].
fn leak<T>(content: Box<[T]>) -> NonNull<T> {
    NonNull::from(Box::leak(content)).cast()
}

/// # Safety
/// `content` came from [`leak`] of `len` elements, and is not used again.
unsafe fn free<T>(content: NonNull<T>, len: usize) {
    // SAFETY: the caller vouches that this is the pointer and the length of a leaked box, and the
    // last use of it.
    drop(unsafe { Box::from_raw(NonNull::slice_from_raw_parts(content, len).as_ptr()) });
}

#[cfg(all(test, not(miri)))]
mod tests;

#[cfg(all(test, miri))]
mod miri;
