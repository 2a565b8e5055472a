//! Many datagrams in one system call, into buffers that the caller keeps.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;

use libc::{iovec, mmsghdr};
use nix::errno::Errno;

use crate::control::{CONTROL_LEN, Control};
use crate::name::{NAME_LEN, Name};
use crate::sys;

/// The most datagrams that one [`ReceiveBatch::receive`] brings.
pub const BATCH_MAX: usize = 64;

/// The most parts that the room for one datagram has: a buffer and its overflow.
const PARTS_MAX: usize = 2;

/// Prepared headers for `recvmmsg`.
pub struct ReceiveBatch {
    headers: Box<[mmsghdr]>,
    names: Box<[Name]>,
    /// [`PARTS_MAX`] for each header.
    iovecs: Box<[iovec]>,
    controls: Box<[Control]>,
}

// SAFETY: the pointers in the headers are set anew by every `receive` and are used only within it, so
// nothing ties the value to a thread.
unsafe impl Send for ReceiveBatch {}

/// What the kernel says of one received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Bytes in the buffer, and beyond what it holds in its overflow.
    pub len: usize,
    /// From where; `None` on a Unix socket.
    pub from: Option<SocketAddr>,
    /// The datagram was longer than its room; the rest is gone.
    pub truncated: bool,
    /// Datagrams that the socket has dropped since it was opened because its buffer was full; wraps.
    pub dropped: Option<u32>,
    /// Of a train ([`receive_trains`](crate::receive_trains)), how many bytes each of its datagrams has but the last, which
    /// may be shorter. 0 if the kernel says nonsense.
    pub segment: Option<usize>,
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceiveBatch {
    /// Headers for [`BATCH_MAX`] datagrams.
    #[must_use]
    pub fn new() -> Self {
        // SAFETY: all zeros is a valid `mmsghdr`: integers and null pointers.
        let header: mmsghdr = unsafe { std::mem::zeroed() };
        Self {
            headers: vec![header; BATCH_MAX].into(),
            names: vec![Name::EMPTY; BATCH_MAX].into(),
            iovecs: vec![iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; PARTS_MAX * BATCH_MAX].into(),
            controls: vec![Control::EMPTY; BATCH_MAX].into(),
        }
    }

    /// Receives what is there, one datagram to a buffer, each from byte `offset` of it on.
    ///
    /// Never waits. Returns how many came; [`meta`](Self::meta) tells of each.
    ///
    /// # Errors
    /// `EAGAIN` when nothing is there; what `recvmmsg(2)` fails with otherwise.
    ///
    /// # Panics
    /// If a buffer is shorter than `offset`.
    #[inline]
    pub fn receive<B: AsMut<[u8]>>(
        &mut self,
        socket: BorrowedFd<'_>,
        buffers: &mut [B],
        offset: usize,
    ) -> Result<usize, Errno> {
        self.receive_into(socket, buffers.iter_mut().map(|buffer| [&mut buffer.as_mut()[offset..]]))
    }

    /// As [`receive`](Self::receive); what of a datagram does not fit into its buffer goes on in the
    /// overflow of the same place, from its first byte on.
    ///
    /// As many as there are of both are used.
    ///
    /// # Errors
    /// As `receive`.
    ///
    /// # Panics
    /// As `receive`.
    #[inline]
    pub fn receive_with_overflow<B: AsMut<[u8]>, O: AsMut<[u8]>>(
        &mut self,
        socket: BorrowedFd<'_>,
        buffers: &mut [B],
        offset: usize,
        overflows: &mut [O],
    ) -> Result<usize, Errno> {
        let rooms = buffers.iter_mut().zip(overflows);
        self.receive_into(
            socket,
            rooms.map(|(buffer, overflow)| [&mut buffer.as_mut()[offset..], overflow.as_mut()]),
        )
    }

    /// Receives into up to [`BATCH_MAX`] rooms of `N` parts each.
    #[inline]
    fn receive_into<'b, const N: usize>(
        &mut self,
        socket: BorrowedFd<'_>,
        rooms: impl Iterator<Item = [&'b mut [u8]; N]>,
    ) -> Result<usize, Errno> {
        const { assert!(N <= PARTS_MAX) };
        // Each slice is borrowed once for all headers: to index it anew would end the right of the
        // pointers that were taken from it before.
        let own = self.names.iter_mut().zip(&mut self.controls).zip(self.iovecs.as_chunks_mut::<N>().0);
        let mut count = 0;
        for ((header, ((name, control), iovecs)), room) in self.headers.iter_mut().zip(own).zip(rooms) {
            *iovecs = room.map(|part| iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() });
            let header = &mut header.msg_hdr;
            header.msg_name = (&raw mut *name).cast();
            header.msg_namelen = NAME_LEN;
            header.msg_iov = iovecs.as_mut_ptr();
            header.msg_iovlen = N as _;
            header.msg_control = (&raw mut *control).cast();
            header.msg_controllen = CONTROL_LEN as _;
            header.msg_flags = 0;
            count += 1;
        }
        loop {
            // SAFETY: the first `count` headers are initialised. Their names, vectors and controls are
            // elements of our own slices, which are not touched otherwise during the call; the vectors
            // point at the rooms, which are borrowed exclusively for 'b: until after we return.
            match unsafe { sys::recvmmsg(socket, self.headers.as_mut_ptr(), count) } {
                Err(Errno::EINTR) => {}
                result => return result,
            }
        }
    }

    /// What came with the datagram in buffer `at` of the last call that received.
    ///
    /// # Panics
    /// If `at` is not below [`BATCH_MAX`].
    #[inline]
    #[must_use]
    pub fn meta(&self, at: usize) -> Meta {
        let header = &self.headers[at];
        Meta {
            len: header.msg_len as usize,
            from: address(header, &self.names[at]),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            dropped: self.controls[at].dropped(header),
            segment: self.controls[at].segment_size(header),
        }
    }
}

/// Where a datagram came from; `None` on a Unix socket.
#[inline]
pub(crate) fn address(header: &mmsghdr, name: &Name) -> Option<SocketAddr> {
    name.address(header.msg_hdr.msg_namelen).map(canonical)
}

/// An IPv4 address that an IPv6 socket received from is told as what it is.
#[inline]
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_canonical() {
            ip @ IpAddr::V4(_) => SocketAddr::new(ip, v6.port()),
            IpAddr::V6(_) => address,
        },
        SocketAddr::V4(_) => address,
    }
}

#[cfg(all(test, not(miri)))]
mod tests;

#[cfg(all(test, miri))]
mod miri;
