//! Counting times where every instruction shows: what a histogram is made of afterwards.

use super::Latencies;
use super::latencies::LONGEST_NS;

/// Values below this have a count of their own; from here on as many share one as keeps three significant digits.
const EXACT: u64 = 2048;
/// Counts for each power of two from [`EXACT`] on.
const STEPS: usize = 1024;
/// Classes of times up to [`LONGEST_NS`]; what took longer has one more.
const CLASSES: usize = index(LONGEST_NS) + 1;

/// Times in nanoseconds, counted in the same classes as [`Latencies`] has, so that nothing is lost on the way there.
///
/// Where a receiver's thread brings tens of millions of messages a second, an HdrHistogram's own recording is what most
/// of the time would go into: it keeps least, greatest and sum as well. Here one count goes up.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Up to 4,294,967,295 of each class, and no further: no run gets there.
    counts: Box<[u32; CLASSES + 1]>,
}

/// The class of a time.
#[derive(Clone, Copy, Debug)]
pub struct Class(usize);

impl Class {
    /// Of a time in nanoseconds.
    #[inline]
    #[must_use]
    pub fn of(ns: u64) -> Self {
        Self(if ns > LONGEST_NS { CLASSES } else { index(ns) })
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// An empty one: 112 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self { counts: Box::new([0; CLASSES + 1]) }
    }

    /// Adds a time in nanoseconds.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.count(Class::of(ns));
    }

    /// Adds a time of this class.
    #[inline]
    pub fn count(&mut self, Class(index): Class) {
        let count = &mut self.counts[index.min(CLASSES)];
        *count = count.saturating_add(1);
    }

    /// All of it, for what reads, adds and tells it.
    #[must_use]
    pub fn latencies(&self) -> Latencies {
        let mut latencies = Latencies::new();
        for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let ns = if index == CLASSES { LONGEST_NS + 1 } else { value(index) };
            latencies.record_many(ns, u64::from(*count));
        }
        latencies
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.fill(0);
    }
}

/// The class of a time, as HdrHistogram has it with three digits: its 11 highest bits, and how many are below those.
#[inline]
const fn index(ns: u64) -> usize {
    let bits = u64::BITS - (ns | (EXACT - 1)).leading_zeros();
    let below = bits - EXACT.ilog2();
    #[expect(clippy::cast_possible_truncation, reason = "11 bits")]
    let highest = (ns >> below) as usize;
    below as usize * STEPS + highest
}

/// The least time of a class.
fn value(index: usize) -> u64 {
    let below = (index / STEPS).saturating_sub(1);
    ((index - below * STEPS) as u64) << below
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::latencies::Summary;
    use crate::statistics::SplitMix64;

    #[test]
    fn a_tally_comes_to_what_a_histogram_would_have() {
        let mut random = SplitMix64(1);
        let (mut tally, mut direct, mut beyond) = (Tally::new(), Latencies::new(), 0);
        let edges =
            [0, 1, 1023, 1024, 2047, 2048, 4095, 4096, LONGEST_NS - 1, LONGEST_NS, LONGEST_NS + 1, u64::MAX];
        let by_chance = (0..100_000).map(|_| {
            let ns = random.next();
            ns >> (ns % 64)
        });
        for ns in edges.into_iter().chain(by_chance) {
            tally.record(ns);
            direct.record(ns.min(LONGEST_NS));
            beyond += u64::from(ns > LONGEST_NS);
        }
        let latencies = tally.latencies();
        assert_eq!(latencies.summary(), Summary { beyond, ..direct.summary() });
        assert!(latencies.encoded() == direct.encoded(), "every class has the same count");
        assert!(beyond > 2);
        tally.clear();
        assert_eq!(tally.latencies().count(), 0);
    }
}
