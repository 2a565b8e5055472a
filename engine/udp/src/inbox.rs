//! Many datagrams in one system call, into buffers of its own that stay where they are.
//!
//! Where everything lies is written into the headers once. A call only puts back what the kernel has
//! written into the headers that it used: three fields.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use libc::{iovec, mmsghdr};
use nix::errno::Errno;

use crate::control::{self, CONTROL_LEN, Control};
use crate::name::{NAME_LEN, Name};
use crate::receive::{BATCH_MAX, address};
use crate::sys;

mod segments;

use segments::Current;
pub use segments::{Flaw, Opened, segments};

/// Receives up to [`BATCH_MAX`] datagrams a call.
pub struct Inbox {
    headers: Fixed<mmsghdr>,
    names: Fixed<Name>,
    controls: Fixed<Control>,
    /// One for each header; nothing but the headers looks at them.
    _iovecs: Fixed<iovec>,
    bytes: Fixed<u8>,
    /// Bytes for each datagram.
    room: usize,
    /// How many headers the last call has written to.
    used: usize,
    current: Current,
}

// SAFETY: all pointers are to memory that this value alone owns, and no part of it is tied to a thread.
unsafe impl Send for Inbox {}

// SAFETY: whoever shares it can only read: what writes to the memory, the kernel in `receive`, needs it exclusively.
unsafe impl Sync for Inbox {}

impl Inbox {
    /// Room for [`BATCH_MAX`] datagrams of up to `room` bytes each. Pages that were never written to cost nothing.
    ///
    /// # Panics
    /// If `room` is 0.
    #[must_use]
    pub fn new(room: usize) -> Self {
        assert!(room > 0, "a datagram needs room");
        let bytes = Fixed::new(vec![0u8; BATCH_MAX * room].into());
        let names = Fixed::new(vec![Name::EMPTY; BATCH_MAX].into());
        let controls = Fixed::new(vec![Control::EMPTY; BATCH_MAX].into());
        let iovec = |at| iovec { iov_base: bytes.at(at * room).cast(), iov_len: room };
        let iovecs = Fixed::new((0..BATCH_MAX).map(iovec).collect());
        let header = |at| {
            // SAFETY: all zeros is a valid `mmsghdr`: integers and null pointers.
            let mut header: mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_name = names.at(at).cast();
            header.msg_hdr.msg_iov = iovecs.at(at);
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = controls.at(at).cast();
            reset(&mut header);
            header
        };
        let headers = Fixed::new((0..BATCH_MAX).map(header).collect());
        Self { headers, names, controls, _iovecs: iovecs, bytes, room, used: 0, current: Current::NONE }
    }

    /// Receives what is there. Never waits. Returns how many came.
    ///
    /// # Errors
    /// `EAGAIN` when nothing is there; what `recvmmsg(2)` fails with otherwise.
    #[inline]
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.current = Current::NONE;
        for at in 0..std::mem::take(&mut self.used) {
            // SAFETY: the header is ours and initialised, and we are borrowed exclusively.
            reset(unsafe { &mut *self.headers.at(at) });
        }
        loop {
            // SAFETY: all headers are initialised, and what they point at lives as long as `self`: a name, a
            // control, a vector and the room that it describes for each, and none for two. We are borrowed
            // exclusively: nobody else reads or writes them during the call.
            match unsafe { sys::recvmmsg(socket, self.headers.at(0), BATCH_MAX) } {
                Err(Errno::EINTR) => {}
                Ok(count) => {
                    self.used = count;
                    return Ok(count);
                }
                Err(errno) => return Err(errno),
            }
        }
    }

    /// The datagram at `at` of the last call, as far as it fitted, and whether it was longer.
    ///
    /// # Panics
    /// If `at` is not below [`BATCH_MAX`].
    #[inline]
    #[must_use]
    pub fn datagram(&self, at: usize) -> (&[u8], bool) {
        let header = self.headers.get(at);
        // The kernel writes what it has put there, which is no more than there is room for.
        let len = (header.msg_len as usize).min(self.room);
        let from = at * self.room;
        (self.bytes.slice(from, from + len), header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0)
    }

    /// Where the datagram at `at` of the last call came from; `None` on a Unix socket.
    ///
    /// # Panics
    /// If `at` is not below [`BATCH_MAX`].
    #[inline]
    #[must_use]
    pub fn source(&self, at: usize) -> Option<SocketAddr> {
        address(self.headers.get(at), self.names.get(at))
    }

    /// What the kernel says with the datagram at `at` of the last call of those that the socket has dropped: see
    /// [`Meta::dropped`](crate::Meta::dropped).
    ///
    /// # Panics
    /// If `at` is not below [`BATCH_MAX`].
    #[must_use]
    pub fn dropped(&self, at: usize) -> Option<u32> {
        self.controls.get(at).dropped(self.headers.get(at))
    }
}

/// Puts back what the kernel writes.
#[inline]
fn reset(header: &mut mmsghdr) {
    header.msg_hdr.msg_namelen = NAME_LEN;
    header.msg_hdr.msg_controllen = CONTROL_LEN as _;
    header.msg_hdr.msg_flags = 0;
}

/// Memory that others point into: it stays where it is, whoever moves.
///
/// A raw pointer, not a box: a box that moves claims to be the only way to its content.
struct Fixed<T: Copy> {
    start: NonNull<T>,
    len: usize,
}

impl<T: Copy> Fixed<T> {
    fn new(content: Box<[T]>) -> Self {
        let len = content.len();
        Self { start: NonNull::from(Box::leak(content)).cast(), len }
    }

    #[inline]
    fn at(&self, at: usize) -> *mut T {
        assert!(at < self.len, "within the allocation");
        // SAFETY: within the allocation, as asserted.
        unsafe { self.start.add(at) }.as_ptr()
    }

    #[inline]
    fn get(&self, at: usize) -> &T {
        // SAFETY: `at` gives an initialised element of the allocation, which is ours; what writes to it, the kernel
        // in a call, needs the whole inbox exclusively.
        unsafe { &*self.at(at) }
    }
}

impl Fixed<u8> {
    #[inline]
    fn slice(&self, from: usize, to: usize) -> &[u8] {
        assert!(from <= to && to <= self.len, "within the allocation");
        // SAFETY: within the allocation, as asserted.
        let start = unsafe { self.start.add(from) }.as_ptr();
        // SAFETY: all bytes from `from` to `to` are within the allocation and initialised, and ours; what writes to
        // them, the kernel in a call, needs the whole inbox exclusively.
        unsafe { std::slice::from_raw_parts(start, to - from) }
    }
}

impl<T: Copy> Drop for Fixed<T> {
    fn drop(&mut self) {
        // SAFETY: the leaked box of `new`, of the same length, and not used again.
        drop(unsafe { Box::from_raw(NonNull::slice_from_raw_parts(self.start, self.len).as_ptr()) });
    }
}

#[cfg(all(test, not(miri)))]
mod tests;

#[cfg(all(test, miri))]
mod miri;
