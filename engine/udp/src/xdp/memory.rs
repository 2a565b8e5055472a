//! Memory that is shared with the kernel: mapped here, and unmapped when it is dropped.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use libc::off_t;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// A mapping of so many bytes, aligned to a page.
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: NonZeroUsize,
}

// SAFETY: the mapping is owned by this value alone, and no part of it is tied to a thread; so it may move
// to another one as a box may.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Memory of our own, all zeros.
    pub(super) fn anonymous(len: NonZeroUsize) -> Result<Self, Errno> {
        let (prot, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE);
        // SAFETY: no address is asked for, so nothing that is mapped is replaced.
        let base = unsafe { mmap_anonymous(None, len, prot, flags) }?;
        Ok(Self { base: base.cast(), len })
    }

    /// What a descriptor has at `offset`.
    pub(super) fn of(fd: impl AsFd, len: NonZeroUsize, offset: off_t) -> Result<Self, Errno> {
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
        // SAFETY: as above.
        let base = unsafe { mmap(None, len, prot, flags, fd, offset) }?;
        Ok(Self { base: base.cast(), len })
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    /// A pointer to a `T` at `offset`.
    ///
    /// # Panics
    /// If it does not lie within the mapping, or not where a `T` may lie.
    pub(super) fn at<T>(&self, offset: usize) -> NonNull<T> {
        assert!(
            offset.checked_add(size_of::<T>()).is_some_and(|end| end <= self.len()),
            "within the mapping"
        );
        assert!(offset.is_multiple_of(align_of::<T>()), "aligned as the mapping is, to a page");
        // SAFETY: within the mapping, as asserted.
        unsafe { self.base.add(offset) }.cast()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `anonymous` or `of` with this length, owned by us, and not used again. It cannot
        // fail for a whole mapping, and what to do if it did?
        let _ = unsafe { munmap(self.base.cast(), self.len()) };
    }
}
