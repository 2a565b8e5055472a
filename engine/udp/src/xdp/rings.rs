//! The two rings: what is to be sent, and what has been (`net/xdp/xsk_queue.h`).
//!
//! ```text
//!            consumer            producer
//!               v                   v
//!   [ ... ][ desc ][ desc ][ desc ][ free ][ ... ]      indices wrap at 2^32, entries at the mask
//! ```
//!
//! Each index is written by one side. Whoever writes entries publishes them by storing `producer` with
//! release; whoever has read them gives them back by storing `consumer` with release.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{off_t, xdp_desc, xdp_ring_offset};
use nix::errno::Errno;

use super::memory::Mapping;

/// The frames to send: we produce, the kernel consumes.
pub(super) struct TxRing {
    ring: Ring<xdp_desc>,
    /// Where the next descriptor goes; published or not.
    next: u32,
}

/// The addresses of frames that were sent: the kernel produces, we consume.
pub(super) struct CompletionRing {
    ring: Ring<u64>,
    next: u32,
}

/// One mapped ring of `T`, a power of two of them.
struct Ring<T> {
    /// What the pointers below point into.
    _mapping: Mapping,
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    entries: NonNull<T>,
    mask: u32,
}

// SAFETY: the pointers are into the mapping that this value owns, and no part of it is tied to a thread.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T: Copy> Ring<T> {
    fn map(fd: BorrowedFd<'_>, offsets: &xdp_ring_offset, entries: u32, page: off_t) -> Result<Self, Errno> {
        assert!(entries.is_power_of_two(), "the kernel has taken so many");
        let offset = |offset: u64| usize::try_from(offset).map_err(|_| Errno::EOVERFLOW);
        let (first, bytes) = (offset(offsets.desc)?, entries as usize * size_of::<T>());
        let len = NonZeroUsize::new(first + bytes).ok_or(Errno::EINVAL)?;
        let mapping = Mapping::of(fd, len, page)?;
        Ok(Self {
            producer: mapping.at(offset(offsets.producer)?),
            consumer: mapping.at(offset(offsets.consumer)?),
            entries: mapping.at(first),
            mask: entries - 1,
            _mapping: mapping,
        })
    }

    #[inline]
    fn producer(&self) -> &AtomicU32 {
        // SAFETY: points into the mapping, which lives as long as `self`; aligned and within it, as `at` has
        // asserted; and shared with the kernel, which is what an atomic is for.
        unsafe { self.producer.as_ref() }
    }

    #[inline]
    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as for the producer.
        unsafe { self.consumer.as_ref() }
    }

    #[inline]
    fn entry(&self, index: u32) -> NonNull<T> {
        // SAFETY: the masked index is one of the mask + 1 entries that the mapping was made for.
        unsafe { self.entries.add((index & self.mask) as usize) }
    }
}

impl TxRing {
    pub(super) fn map(fd: BorrowedFd<'_>, offsets: &xdp_ring_offset, entries: u32) -> Result<Self, Errno> {
        Ok(Self { ring: Ring::map(fd, offsets, entries, libc::XDP_PGOFF_TX_RING)?, next: 0 })
    }

    /// Adds a frame, which is not published yet.
    ///
    /// # Panics
    /// If there is no room.
    #[inline]
    pub(super) fn push(&mut self, addr: u64, len: u32) {
        assert!(self.unconsumed() <= self.ring.mask, "there is room");
        // SAFETY: an entry of the ring, which the kernel does not read until it is published: it is free, as
        // asserted, and we are borrowed exclusively.
        unsafe { self.ring.entry(self.next).write(xdp_desc { addr, len, options: 0 }) };
        self.next = self.next.wrapping_add(1);
    }

    /// Lets the kernel see what was added.
    #[inline]
    pub(super) fn publish(&mut self) {
        self.ring.producer().store(self.next, Ordering::Release);
    }

    /// How many more fit. Free frames do not tell: the kernel may give a frame back before it says that it has
    /// taken its entry.
    #[inline]
    pub(super) fn room(&self) -> u32 {
        (self.ring.mask + 1).saturating_sub(self.unconsumed())
    }

    /// How many the kernel has not taken yet, as far as it says.
    #[inline]
    pub(super) fn unconsumed(&self) -> u32 {
        self.next.wrapping_sub(self.ring.consumer().load(Ordering::Acquire))
    }
}

impl CompletionRing {
    pub(super) fn map(fd: BorrowedFd<'_>, offsets: &xdp_ring_offset, entries: u32) -> Result<Self, Errno> {
        let page = off_t::try_from(libc::XDP_UMEM_PGOFF_COMPLETION_RING).map_err(|_| Errno::EOVERFLOW)?;
        Ok(Self { ring: Ring::map(fd, offsets, entries, page)?, next: 0 })
    }

    /// Hands over the address of every frame that was sent, without a system call.
    #[inline]
    pub(super) fn drain(&mut self, mut done: impl FnMut(u64)) {
        let end = self.ring.producer().load(Ordering::Acquire);
        if self.next == end {
            return;
        }
        while self.next != end {
            // SAFETY: an entry of the ring that the kernel has written and published, and does not touch again
            // before it is given back below. Any bits are a number.
            done(unsafe { self.ring.entry(self.next).read() });
            self.next = self.next.wrapping_add(1);
        }
        self.ring.consumer().store(end, Ordering::Release);
    }
}
