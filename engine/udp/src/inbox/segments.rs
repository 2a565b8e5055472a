//! The datagrams of a batch, one after the other.
//!
//! Where a socket [receives trains](crate::receive_trains), a buffer may hold several: segments, all of the size that the
//! kernel tells beside them, but for the last, which may be shorter.
//!
//! ```text
//! buffer 0 |datagram|        buffer 1 |segment|segment|segment|seg|       buffer 2 |datagram ...
//!                                             ^from   ^to         ^end
//! ```

use std::net::SocketAddr;

use super::{Inbox, control};

/// Which datagram is looked at.
///
/// At any time `from <= to <= end`, and `end` is within the bytes of all buffers: only this file can write them.
#[derive(Clone, Copy)]
pub(super) struct Current {
    /// The buffer after the one that it is in.
    next: usize,
    /// Where it lies, and where its train ends, among the bytes of all buffers.
    from: usize,
    to: usize,
    end: usize,
    /// The size of the segments; of no meaning at the end of a train.
    size: usize,
    /// Of the buffer.
    flaw: Option<Flaw>,
}

impl Current {
    pub(super) const NONE: Self = Self { next: 0, from: 0, to: 0, end: 0, size: 0, flaw: None };
}

/// What a buffer held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Bytes in it.
    pub bytes: usize,
    /// Datagrams in it, at least 1.
    pub datagrams: usize,
}

/// Why a datagram is not to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It was longer than the room for it; the rest is gone, and so is what came in the same piece behind it.
    Truncated,
    /// It came with a segment size that cannot be, so that it cannot be told what of it is one datagram.
    SegmentSize,
}

impl Inbox {
    /// Goes on to the next buffer of the last call, and to the first datagram in it. `None` if that was the last.
    #[inline]
    pub fn next_buffer(&mut self) -> Option<Opened> {
        let at = self.current.next;
        if at >= self.used {
            return None;
        }
        let header = self.headers.get(at);
        // The kernel writes what it has put there, which is no more than there is room for.
        let bytes = (header.msg_len as usize).min(self.room);
        // `get` has asserted that there is such a buffer, and so that its room is within the bytes.
        let from = at * self.room;
        let end = from + bytes;
        self.current = Current { next: at + 1, from, to: end, end, size: 0, flaw: None };
        let cut = header.msg_hdr.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
        if cut || !control::is_empty(header) {
            return Some(self.open_train(at));
        }
        Some(Opened { bytes, datagrams: 1 })
    }

    /// Finds out about a buffer of which there is more to tell than how much is in it.
    #[cold]
    fn open_train(&mut self, at: usize) -> Opened {
        let header = self.headers.get(at);
        let size = self.controls.get(at).segment_size(header);
        let flags = header.msg_hdr.msg_flags;
        let current = &mut self.current;
        let bytes = current.end - current.from;
        let lost = size.is_none() && flags & libc::MSG_CTRUNC != 0;
        let mut datagrams = 1;
        if lost || size == Some(0) {
            current.flaw = Some(Flaw::SegmentSize);
        } else if let Some(size) = size {
            current.size = size;
            current.to = current.end.min(current.from.saturating_add(size));
            datagrams = bytes.div_ceil(size).max(1);
        }
        if flags & libc::MSG_TRUNC != 0 {
            current.flaw = current.flaw.or(Some(Flaw::Truncated));
        }
        Opened { bytes, datagrams }
    }

    /// Goes on to the next datagram of the same buffer; returns whether there is one.
    #[inline]
    pub fn next_segment(&mut self) -> bool {
        let current = &mut self.current;
        if current.to >= current.end {
            return false;
        }
        current.from = current.to;
        current.to = current.end.min(current.to.saturating_add(current.size));
        true
    }

    /// The datagram that is looked at.
    #[inline]
    #[must_use]
    pub fn segment(&self) -> &[u8] {
        let Current { from, to, .. } = self.current;
        debug_assert!(from <= to && to <= self.bytes.len);
        // SAFETY: within the allocation or at its end: so is `Current::end`, and `from` is not beyond it.
        let start = unsafe { self.bytes.start.add(from) }.as_ptr();
        // SAFETY: all bytes from `from` to `to` are within the allocation, for `Current::end` is and `to` is not beyond
        // it, and `from` is not beyond `to`. They are initialised, and ours; what writes to them, the kernel in a call,
        // needs the whole inbox exclusively.
        unsafe { std::slice::from_raw_parts(start, to - from) }
    }

    /// Why it is not to be read, if so.
    #[inline]
    #[must_use]
    pub fn flaw(&self) -> Option<Flaw> {
        if self.current.flaw.is_none() { None } else { self.flaw_here() }
    }

    #[cold]
    fn flaw_here(&self) -> Option<Flaw> {
        let Current { to, end, flaw, .. } = self.current;
        // Only the last of a train is cut.
        flaw.filter(|flaw| *flaw != Flaw::Truncated || to == end)
    }

    /// Where it came from; `None` on a Unix socket.
    #[inline]
    #[must_use]
    pub fn segment_source(&self) -> Option<SocketAddr> {
        self.source(self.current.next.saturating_sub(1))
    }
}

/// The datagrams of a train whose segments have this size, in bytes, not 0; an empty one is one empty datagram.
///
/// The same as an [`Inbox`] finds, in the plain way: for tests of whatever reads them.
pub fn segments(train: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    train.chunks(size.max(1)).chain(train.is_empty().then_some(train))
}
