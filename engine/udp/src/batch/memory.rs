//! What a batch hands the kernel: headers, and what they point at.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use libc::{c_void, cmsghdr, iovec, mmsghdr, msghdr, socklen_t};
use nix::errno::Errno;

use super::train::TRAIN_MAX;
use crate::name::Name;
use crate::sys;

/// Bytes of the control message that says how long a segment is: `CMSG_SPACE(2)` on 64-bit machines.
const CONTROL_LEN: usize = 24;
const CONTROL_HEAD: usize = size_of::<cmsghdr>();
const _: () = assert!(CONTROL_HEAD + size_of::<u64>() == CONTROL_LEN);

/// What the headers point at, and the headers: allocated once, freed on drop.
///
/// Raw pointers, not boxes: a box that moves claims to be the only way to its content, and here the
/// headers are another.
pub(super) struct Memory {
    names: NonNull<Name>,
    /// [`TRAIN_MAX`] of them; a single datagram has the first.
    iov: NonNull<iovec>,
    /// Of trains, the length of a segment. One for all.
    control: NonNull<Control>,
    headers: NonNull<mmsghdr>,
    /// Bytes of each name.
    name_len: socklen_t,
    /// Names; there are twice as many headers.
    pub(super) len: usize,
}

/// A control message and its two bytes, as the kernel reads them.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

// SAFETY: the pointers are to memory that this value alone owns, and no part of it is tied to a
// thread; so it may move to another one as a box may.
unsafe impl Send for Memory {}

impl Memory {
    pub(super) fn new(peers: &[SocketAddr]) -> Self {
        let nothing = iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let iov = leak(vec![nothing; TRAIN_MAX].into());
        let control = leak(Box::new([Control([0; CONTROL_LEN])]));
        let names = leak(peers.iter().map(|peer| Name::new(*peer).0).collect());
        // All are of one family, so all names are of one length.
        let name_len = peers.first().map_or(0, |peer| Name::new(*peer).1);
        let header = header(iov, name_len);
        let headers = leak(vec![header; 2 * peers.len()].into());
        Self { names, iov, control, headers, name_len, len: peers.len() }
    }

    /// Makes `datagram` what all headers send.
    #[inline]
    pub(super) fn point_at(&mut self, datagram: &[u8]) {
        // The kernel only reads what it sends, so the base may come from a shared slice.
        let iov = iovec { iov_base: datagram.as_ptr().cast::<c_void>().cast_mut(), iov_len: datagram.len() };
        // SAFETY: `self.iov` is ours, allocated in `new` and freed in `drop`; we are borrowed
        // exclusively, and no system call is running that reads it.
        unsafe { self.iov.write(iov) };
    }

    /// Sends `count` datagrams by the headers from `at` on.
    #[inline]
    pub(super) fn send(
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
    pub(super) fn send_to(&self, socket: BorrowedFd<'_>, datagram: &[u8], peer: usize) -> Result<(), Errno> {
        assert!(peer < self.len, "one of the peers");
        // SAFETY: `peer` is within the allocation of `len` names, as asserted.
        let name = unsafe { self.names.add(peer) };
        // SAFETY: the name is initialised and ours; it lives as long as `self` and is written only in
        // `new`.
        unsafe { sys::sendto(socket, datagram, name.as_ptr().cast(), self.name_len) }
    }

    /// Sends the train that was [loaded](Self::load) by `count` headers from `at` on.
    ///
    /// # Safety
    /// What was loaded last is still borrowed.
    pub(super) unsafe fn send_train(
        &mut self,
        socket: BorrowedFd<'_>,
        at: usize,
        count: usize,
    ) -> Result<usize, Errno> {
        assert!(at + count <= 2 * self.len, "a run lies within the headers");
        // SAFETY: `at` is within the allocation of 2 x len headers, as asserted.
        let header = unsafe { self.headers.add(at) };
        // SAFETY: the `count` headers from `at` on are within the allocation, as asserted, and initialised; the name
        // of each is one of `names`, its vectors are the first of `iov`, its control message is `control`, and all
        // live as long as `self`. The vectors point at what was loaded, for which the caller vouches. We are borrowed
        // exclusively: nobody else touches the headers.
        unsafe { sys::sendmmsg(socket, header.as_ptr(), count) }
    }

    /// Makes these datagrams what all headers send, cut into segments as long as the first. Returns how many there
    /// are.
    ///
    /// # Panics
    /// If there are more than [`TRAIN_MAX`], or none.
    pub(super) fn load<'a>(&mut self, datagrams: impl Iterator<Item = &'a [u8]>) -> usize {
        let mut segment = 0;
        let mut count = 0;
        for datagram in datagrams {
            assert!(count < TRAIN_MAX, "a train has a bounded length");
            if count == 0 {
                segment = datagram.len();
            }
            // The kernel only reads what it sends, so the base may come from a shared slice.
            let base = datagram.as_ptr().cast::<c_void>().cast_mut();
            // SAFETY: `count` is within the allocation of TRAIN_MAX vectors, as asserted.
            let iov = unsafe { self.iov.add(count) };
            // SAFETY: the vector is ours; we are borrowed exclusively, and no system call is running that reads it.
            unsafe { iov.write(iovec { iov_base: base, iov_len: datagram.len() }) };
            count += 1;
        }
        assert!(count > 0, "a train has a first datagram");
        let control = Control::segment(u16::try_from(segment).expect("a datagram is under 64 KiB"));
        // SAFETY: the control message is ours; we are borrowed exclusively, and no system call is running.
        unsafe { self.control.write(control) };
        count
    }

    /// Makes all headers count so many vectors, and say that they are segments if there are several.
    pub(super) fn shape(&mut self, vectors: usize) {
        assert!((1..=TRAIN_MAX).contains(&vectors), "as many vectors as there are");
        let control = if vectors > 1 { self.control.as_ptr().cast() } else { std::ptr::null_mut() };
        let control_len = if vectors > 1 { CONTROL_LEN } else { 0 };
        for at in 0..2 * self.len {
            // SAFETY: `at` is within the allocation of 2 x len headers.
            let mut header = unsafe { self.headers.add(at) };
            // SAFETY: the header is initialised and ours, and we are borrowed exclusively.
            let header = unsafe { header.as_mut() };
            header.msg_hdr.msg_iovlen = vectors as _;
            header.msg_hdr.msg_control = control;
            header.msg_hdr.msg_controllen = control_len as _;
        }
    }

    /// Gives the header at `at` to a peer.
    pub(super) fn set_peer(&mut self, at: usize, peer: usize) {
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
    pub(super) fn double(&mut self, active: usize) {
        assert!(active <= self.len, "the doubled run lies within the headers");
        // SAFETY: `active` is within the allocation of 2 x len headers, as asserted.
        let second = unsafe { self.headers.add(active) };
        // SAFETY: both runs are `active` initialised headers within the allocation, as asserted, and
        // the second begins where the first ends. Headers are plain data.
        unsafe { second.copy_from_nonoverlapping(self.headers, active) };
    }

    /// Whose header lies at `at`.
    pub(super) fn peer_of(&self, at: usize) -> usize {
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
        unsafe { free(self.iov, TRAIN_MAX) };
        // SAFETY: as above.
        unsafe { free(self.control, 1) };
        // SAFETY: as above.
        unsafe { free(self.headers, 2 * self.len) };
    }
}

impl Control {
    /// Says that a segment has so many bytes.
    fn segment(bytes: u16) -> Self {
        let mut control = [0; CONTROL_LEN];
        let mut put = |at: usize, field: &[u8]| control[at..at + field.len()].copy_from_slice(field);
        // The layout of `cmsghdr`: length, then level and type (`include/linux/socket.h`).
        put(0, &(CONTROL_HEAD + size_of::<u16>()).to_ne_bytes());
        put(std::mem::offset_of!(cmsghdr, cmsg_level), &libc::SOL_UDP.to_ne_bytes());
        put(std::mem::offset_of!(cmsghdr, cmsg_type), &libc::UDP_SEGMENT.to_ne_bytes());
        put(CONTROL_HEAD, &bytes.to_ne_bytes());
        Self(control)
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
