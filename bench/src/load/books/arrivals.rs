//! What one receiver reads at a time: where every message of a run passes, and what has to be cheap.

use headcast::clock::mono_ns;

use super::{Book, Common, SECOND_NS};
use crate::load::Stamp;
use crate::load::ledger::Entry;
use crate::load::tally::Class;

/// Messages that share one look at the clock, after the first one of a read.
const GROUP_MAX: usize = 32;

/// Takes what a receiver reads into the books.
///
/// The first message has come when it is handed over. Those read along with it came with it or soon after: the clock is
/// read once for 32 of them, after the last of these, so none of them counts as faster than it was. When this is dropped,
/// the rest is written down.
pub struct Arrivals<'a> {
    book: &'a mut Book,
    common: &'a mut Common,
    group: [Arrival; GROUP_MAX],
    len: usize,
    /// Messages that the group takes: one at first.
    end: usize,
    /// Something of this run has come, since the clock was read, that is in no group.
    heard: bool,
}

/// A message that came for the first time.
#[derive(Clone, Copy)]
struct Arrival {
    seq: u64,
    due_ns: u64,
}

impl<'a> Arrivals<'a> {
    #[inline]
    pub(super) fn new(book: &'a mut Book, common: &'a mut Common) -> Self {
        let group = [Arrival { seq: 0, due_ns: 0 }; GROUP_MAX];
        Self { book, common, group, len: 0, end: 1, heard: false }
    }

    /// Writes down that `payload` has just come.
    #[inline]
    pub fn take(&mut self, payload: &[u8]) {
        let Some((seq, due_ns)) = Stamp::read_of(self.common.front, payload) else {
            self.book.ledger.enter_foreign();
            return;
        };
        let Some(seq) = seq.checked_sub(self.common.unmeasured) else {
            self.common.warm_up += 1;
            self.heard = true;
            return;
        };
        if self.book.ledger.enter(seq) != Entry::First {
            self.heard = true;
            return;
        }
        self.group[self.len] = Arrival { seq, due_ns };
        self.len += 1;
        if self.len == self.end {
            self.enter_group();
        }
    }

    /// Writes the latencies of the group down, as of now.
    #[inline(never)]
    fn enter_group(&mut self) {
        let now_ns = mono_ns();
        let Self { book, common, .. } = self;
        common.heard_ns = now_ns;
        if self.len > 0 {
            common.last_ns = now_ns;
            if now_ns - common.interval_ns >= SECOND_NS {
                common.end_interval(now_ns);
            }
        }
        for &Arrival { seq, due_ns } in &self.group[..self.len] {
            // Another machine's clock may be anything; a time below zero is none.
            let ns = now_ns.saturating_sub(due_ns);
            let class = Class::of(ns);
            book.latencies.count(class);
            common.interval.count(class);
            common.spread.reach(seq, ns);
        }
        (self.len, self.end, self.heard) = (0, GROUP_MAX, false);
    }
}

impl Drop for Arrivals<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.len > 0 || self.heard {
            self.enter_group();
        }
    }
}
