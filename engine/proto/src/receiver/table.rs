//! A fixed number of entries, found by publisher and stream.
//!
//! Chained hashing over two arrays of indices; the last entry found is tried first, for datagrams
//! come in runs from one publisher.

use super::entry::Entry;
use super::{KEEP_NS, SILENT_NS};
use crate::{Now, Refusal};

/// No entry.
const NONE: u32 = u32::MAX;

impl Entry {
    fn key(&self) -> u64 {
        key(self.id.publisher, self.id.stream)
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
    /// Publisher and stream of the entry found last.
    last_key: u64,
    /// The next entry of the same bucket, for each.
    chains: Box<[u32]>,
    used: usize,
    /// The first entry of each bucket.
    buckets: Box<[u32]>,
    /// The entry found last.
    last: usize,
}

impl Table {
    pub(super) fn new(publishers: usize, window: usize) -> Self {
        assert!((1..NONE as usize).contains(&publishers), "a receiver tracks at least one publisher");
        Self {
            // Fewer than 2^32 places, as asserted.
            entries: (0..publishers as u64).map(|at| Entry::new(place(at), window)).collect(),
            last_key: u64::MAX,
            chains: vec![NONE; publishers].into(),
            used: 0,
            buckets: vec![NONE; (2 * publishers).next_power_of_two()].into(),
            last: 0,
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries[..self.used].iter()
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries[..self.used].iter_mut()
    }

    pub(super) fn entry_mut(&mut self, place: u32) -> &mut Entry {
        &mut self.entries[place as usize]
    }

    /// The place of the entry found last.
    #[inline]
    pub(super) fn last(&self) -> u32 {
        place(self.last as u64)
    }

    // Always: it nearly always is the one found last, and then there is little to it.
    #[expect(clippy::inline_always, reason = "measured")]
    #[inline(always)]
    pub(super) fn find(&mut self, publisher: u32, stream: u16) -> Option<&mut Entry> {
        let key = key(publisher, stream);
        if key != self.last_key && !self.look_up(key) {
            return None;
        }
        Some(&mut self.entries[self.last])
    }

    /// Makes the entry of a key the one found last; returns whether there is one.
    fn look_up(&mut self, key: u64) -> bool {
        let mut at = self.buckets[self.bucket(key)];
        while at != NONE && self.entries[at as usize].key() != key {
            at = self.chains[at as usize];
        }
        if at != NONE {
            (self.last, self.last_key) = (at as usize, key);
        }
        at != NONE
    }

    /// A place for a publisher that is not in the table: a free one, or that of one that is not heard any
    /// more, which `leave` is told.
    pub(super) fn insert(
        &mut self,
        now: Now,
        publisher: u32,
        stream: u16,
        leave: impl FnOnce(&mut Entry),
    ) -> Result<&mut Entry, Refusal> {
        let at = if self.used < self.entries.len() {
            self.used += 1;
            self.used - 1
        } else {
            let idle = self.entries.iter().enumerate().filter(|(_, entry)| entry.is_idle(now));
            let (at, _) = idle.min_by_key(|(_, entry)| entry.heard_ns).ok_or(Refusal::TableFull)?;
            leave(&mut self.entries[at]);
            self.unlink(at);
            at
        };
        let key = key(publisher, stream);
        let bucket = self.bucket(key);
        self.chains[at] = std::mem::replace(&mut self.buckets[bucket], place(at as u64));
        (self.last, self.last_key) = (at, key);
        let entry = &mut self.entries[at];
        entry.begin(publisher, stream);
        Ok(entry)
    }

    fn unlink(&mut self, at: usize) {
        let (bucket, next) = (self.bucket(self.entries[at].key()), self.chains[at]);
        let mut link = self.buckets[bucket];
        if link as usize == at {
            self.buckets[bucket] = next;
            return;
        }
        while link != NONE {
            let before = &mut self.chains[link as usize];
            if *before as usize == at {
                *before = next;
                return;
            }
            link = *before;
        }
    }

    #[inline]
    fn bucket(&self, key: u64) -> usize {
        // Fibonacci hashing: the high bits of the product are the best mixed.
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        usize::try_from(hash).unwrap_or(0) & (self.buckets.len() - 1)
    }
}

/// Publisher and stream in 48 bits.
#[inline]
fn key(publisher: u32, stream: u16) -> u64 {
    u64::from(publisher) << 16 | u64::from(stream)
}

/// The table has fewer than 2^32 places: `new` asserts it.
#[inline]
fn place(at: u64) -> u32 {
    u32::try_from(at).unwrap_or(NONE)
}
