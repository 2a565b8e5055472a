//! A fixed number of entries, found by publisher and stream.
//!
//! Chained hashing over two arrays of indices; the last entry found is tried first, for datagrams
//! come in runs from one publisher.

use super::{Limits, SILENT_NS};
use crate::{Datagram, Now, Refusal, Session, Window};

/// An entry that has been heard more than once keeps its place for this long after the last time.
const KEEP_NS: u64 = 10 * SILENT_NS;
/// No entry.
const NONE: u32 = u32::MAX;

/// What is known of one (publisher, stream).
#[derive(Debug)]
pub(super) struct Entry {
    publisher: u32,
    stream: u16,
    /// The next entry of the same bucket.
    chain: u32,
    pub(super) session: Session,
    pub(super) window: Window,
    /// Monotonic time of the last datagram that fitted the session.
    pub(super) heard_ns: u64,
    /// Monotonic time of the last one that was new.
    pub(super) new_ns: u64,
    /// How many were new, up to the type's end.
    pub(super) arrivals: u32,
    /// The candidate of a leap ahead; 0 for none.
    pub(super) jump_to: u64,
    /// How many datagrams in a row have gone on from it.
    pub(super) jump_run: u32,
    /// How much of the window's loss is in the receiver's count.
    pub(super) lost_booked: u64,
    pub(super) ended: bool,
    /// The session before, how far it had come, and whether it had ended.
    pub(super) retired: Option<Session>,
    pub(super) retired_highest: u64,
    pub(super) retired_ended: bool,
}

impl Entry {
    /// Forgets what belongs to a session.
    pub(super) fn restart(&mut self) {
        (self.arrivals, self.jump_to, self.jump_run, self.lost_booked, self.ended) = (0, 0, 0, 0, false);
    }

    /// Whether a newcomer may have this place.
    fn is_idle(&self, now: Now) -> bool {
        let proven = self.arrivals > 1 && !self.ended;
        now.mono_ns.saturating_sub(self.heard_ns) >= if proven { KEEP_NS } else { SILENT_NS }
    }
}

#[derive(Debug)]
pub(super) struct Table {
    entries: Box<[Entry]>,
    used: usize,
    /// The first entry of each bucket.
    buckets: Box<[u32]>,
    /// The entry found last.
    last: usize,
}

impl Table {
    pub(super) fn new(limits: &Limits) -> Self {
        assert!((1..NONE as usize).contains(&limits.publishers), "a receiver tracks at least one publisher");
        let entry = || Entry {
            publisher: 0,
            stream: 0,
            chain: NONE,
            session: Session::from_bits(0),
            window: Window::new(limits.window),
            heard_ns: 0,
            new_ns: 0,
            arrivals: 0,
            jump_to: 0,
            jump_run: 0,
            lost_booked: 0,
            ended: false,
            retired: None,
            retired_highest: 0,
            retired_ended: false,
        };
        Self {
            entries: std::iter::repeat_with(entry).take(limits.publishers).collect(),
            used: 0,
            buckets: vec![NONE; (2 * limits.publishers).next_power_of_two()].into(),
            last: 0,
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries[..self.used].iter()
    }

    #[inline]
    pub(super) fn find(&mut self, publisher: u32, stream: u16) -> Option<&mut Entry> {
        let is_it = |entry: &Entry| entry.publisher == publisher && entry.stream == stream;
        if self.used == 0 || !is_it(&self.entries[self.last]) {
            let mut at = self.buckets[self.bucket(publisher, stream)];
            while at != NONE && !is_it(&self.entries[at as usize]) {
                at = self.entries[at as usize].chain;
            }
            if at == NONE {
                return None;
            }
            self.last = at as usize;
        }
        Some(&mut self.entries[self.last])
    }

    /// A place for a publisher that is not in the table, and what its last tenant leaves as lost.
    pub(super) fn insert(&mut self, now: Now, datagram: &Datagram<'_>) -> Result<(&mut Entry, u64), Refusal> {
        let (at, lost) = if self.used < self.entries.len() {
            self.used += 1;
            (self.used - 1, 0)
        } else {
            let idle = self.entries.iter().enumerate().filter(|(_, entry)| entry.is_idle(now));
            let (at, entry) = idle.min_by_key(|(_, entry)| entry.heard_ns).ok_or(Refusal::TableFull)?;
            let lost = entry.window.lost_and_missing_since(entry.lost_booked);
            self.unlink(at);
            (at, lost)
        };
        let bucket = self.bucket(datagram.publisher(), datagram.stream());
        let entry = &mut self.entries[at];
        (entry.publisher, entry.stream) = (datagram.publisher(), datagram.stream());
        entry.session = datagram.session();
        (entry.heard_ns, entry.new_ns) = (now.mono_ns, now.mono_ns);
        (entry.retired, entry.retired_highest, entry.retired_ended) = (None, 0, false);
        entry.window.reset(0);
        entry.restart();
        // The table has fewer than 2^32 places: `new` asserts it.
        entry.chain = std::mem::replace(&mut self.buckets[bucket], u32::try_from(at).unwrap_or(NONE));
        self.last = at;
        Ok((entry, lost))
    }

    fn unlink(&mut self, at: usize) {
        let entry = &self.entries[at];
        let (bucket, next) = (self.bucket(entry.publisher, entry.stream), entry.chain);
        let mut link = self.buckets[bucket];
        if link as usize == at {
            self.buckets[bucket] = next;
            return;
        }
        while link != NONE {
            let before = &mut self.entries[link as usize];
            if before.chain as usize == at {
                before.chain = next;
                return;
            }
            link = before.chain;
        }
    }

    #[inline]
    fn bucket(&self, publisher: u32, stream: u16) -> usize {
        let key = u64::from(publisher) << 16 | u64::from(stream);
        // Fibonacci hashing: the high bits of the product are the best mixed.
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        usize::try_from(hash).unwrap_or(0) & (self.buckets.len() - 1)
    }
}
