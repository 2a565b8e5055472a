//! Which responses of one responder are stored: what an acknowledgement tells, and what a recorder keeps.
//!
//! ```text
//!   stored            not    0 = not stored, 1 = stored                not sent yet
//!   ...---------------|next|-------- SPAN sequences --------|------...
//!                          ^ bit 0 is next + 1
//! ```
//!
//! An acknowledgement carries `next` and the 64 bits after it; the recorder keeps all of them, in the
//! same transaction as the responses themselves, so that it knows after a crash what it has.

/// How far beyond the first response that is not stored others are accepted. A responder sends nothing
/// that lies further ahead.
pub const SPAN: u64 = 4096;

const BLOCKS: usize = (SPAN / 64) as usize;

/// What a response is to what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Not stored before; now it is marked.
    New,
    /// Stored before.
    Stored,
    /// Too far ahead; it was not marked.
    Ahead,
}

/// Which responses of one responder are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    next: u64,
    /// A ring: the bit of a sequence is at `seq mod SPAN`. Only those beyond `next` can be set.
    bits: Box<[u64; BLOCKS]>,
    /// The highest sequence marked, or anything below `next`.
    highest: u64,
}

impl Stored {
    /// Everything below `next` counts as stored; 0 is taken for 1.
    #[must_use]
    pub fn new(next: u64) -> Self {
        Self { next: next.max(1), bits: Box::new([0; BLOCKS]), highest: 0 }
    }

    /// What was kept: `next`, and a bit for each sequence from `next + 1` on, in bytes, lowest bit first.
    ///
    /// `None` if nothing like that is ever kept: `next` is 0, or was stored, or a bit is beyond [`SPAN`].
    #[must_use]
    pub fn from_parts(next: u64, bitmap: &[u8]) -> Option<Self> {
        let mut stored = Self::new(next);
        if next == 0 {
            return None;
        }
        for (at, byte) in (0u64..).zip(bitmap) {
            for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                let seq = next.checked_add(1 + at * 8 + bit)?;
                if stored.observe(seq) != Place::New {
                    return None;
                }
            }
        }
        Some(stored)
    }

    /// Marks a response as stored.
    pub fn observe(&mut self, seq: u64) -> Place {
        if seq < self.next {
            return Place::Stored;
        }
        if seq - self.next >= SPAN {
            return Place::Ahead;
        }
        let (block, bit) = position(seq);
        if self.bits[block] & bit != 0 {
            return Place::Stored;
        }
        if seq > self.next {
            self.bits[block] |= bit;
            self.highest = self.highest.max(seq);
            return Place::New;
        }
        // The last sequence of all has none after it: it is never marked as followed.
        self.next = self.next.saturating_add(1);
        self.pass();
        Place::New
    }

    /// Nothing below `from` will come any more: it was acknowledged by another, or with another database. Returns how
    /// many of those are not stored.
    pub fn skip_to(&mut self, from: u64) -> u64 {
        if from <= self.next {
            return 0;
        }
        let mut skipped = from - self.next;
        if skipped >= SPAN {
            skipped -= self.bits.iter().map(|block| u64::from(block.count_ones())).sum::<u64>();
            *self = Self::new(from);
            return skipped;
        }
        for seq in self.next..from {
            let (block, bit) = position(seq);
            skipped -= u64::from(self.bits[block] & bit != 0);
            self.bits[block] &= !bit;
        }
        self.next = from;
        self.pass();
        skipped
    }

    /// Moves `next` over what is stored already.
    fn pass(&mut self) {
        while self.next <= self.highest {
            let (block, bit) = position(self.next);
            if self.bits[block] & bit == 0 {
                return;
            }
            self.bits[block] &= !bit;
            self.next = self.next.saturating_add(1);
        }
    }

    /// The first response that is not stored.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// For an acknowledgement: the first that is not stored, and `next + 1 + i` for each set bit i.
    #[must_use]
    pub fn ack(&self) -> (u64, u64) {
        let mut bitmap = 0;
        if self.highest > self.next {
            for i in 0..64 {
                bitmap |= u64::from(self.is_marked(i)) << i;
            }
        }
        (self.next, bitmap)
    }

    /// What lies beyond `next`, in bytes, lowest bit first, without the zeros at the end: nearly always empty.
    #[must_use]
    pub fn bitmap(&self) -> Vec<u8> {
        let bits = self.highest.saturating_sub(self.next);
        let byte = |at: u64| (0..8).fold(0, |byte, i| byte | u8::from(self.is_marked(at * 8 + i)) << i);
        (0..bits.div_ceil(8)).map(byte).collect()
    }

    /// Whether `next + 1 + i` is stored.
    fn is_marked(&self, i: u64) -> bool {
        // A sequence a whole span ahead shares the bit of `next` itself, which is never set.
        self.next.checked_add(1 + i).is_some_and(|seq| {
            let (block, bit) = position(seq);
            seq <= self.highest && self.bits[block] & bit != 0
        })
    }
}

/// The block of a sequence, and its bit there.
fn position(seq: u64) -> (usize, u64) {
    let at = seq % SPAN;
    // Below the number of blocks, which a usize holds.
    (usize::try_from(at / 64).unwrap_or(0), 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    /// The same, slow and plain.
    fn expected(start: u64, seqs: &[u64]) -> (BTreeSet<u64>, u64, Vec<Place>) {
        let (mut have, mut next, mut places) = (BTreeSet::new(), start, Vec::new());
        for &seq in seqs {
            let stored = seq < next || have.contains(&seq);
            let place = if stored {
                Place::Stored
            } else if seq - next >= SPAN {
                Place::Ahead
            } else {
                Place::New
            };
            places.push(place);
            if place == Place::New {
                have.insert(seq);
            }
            while have.contains(&next) {
                next += 1;
            }
        }
        (have, next, places)
    }

    proptest! {
        #[test]
        fn it_is_what_a_set_of_sequences_is(
            start in prop_oneof![Just(1u64), 1..1_000_000_000u64],
            offsets in proptest::collection::vec(prop_oneof![0..40u64, 0..2 * SPAN], 0..400),
        ) {
            let seqs: Vec<u64> = offsets.iter().map(|offset| start.saturating_sub(20).max(1) + offset).collect();
            let (have, next, places) = expected(start, &seqs);
            let mut stored = Stored::new(start);
            let observed: Vec<Place> = seqs.iter().map(|seq| stored.observe(*seq)).collect();
            prop_assert_eq!(observed, places);
            prop_assert_eq!(stored.next(), next);
            let (told, bitmap) = stored.ack();
            prop_assert_eq!(told, next);
            for i in 0..64 {
                prop_assert_eq!(bitmap >> i & 1 == 1, have.contains(&(next + 1 + i)));
            }
            prop_assert_eq!(stored.bitmap().last().copied().unwrap_or(1) == 0, false);
            let again = Stored::from_parts(next, &stored.bitmap()).expect("what was kept");
            prop_assert_eq!(again.ack(), stored.ack());
            prop_assert_eq!(again.bitmap(), stored.bitmap());
        }
    }

    #[test]
    fn what_will_not_come_is_passed_over() {
        let mut stored = Stored::new(1);
        for seq in [3, 6, 7] {
            stored.observe(seq);
        }
        assert_eq!(stored.skip_to(1), 0);
        assert_eq!(stored.skip_to(5), 3);
        assert_eq!(stored.ack(), (5, 0b11));
        assert_eq!(stored.skip_to(6), 1);
        assert_eq!(stored.ack(), (8, 0));
        stored.observe(10);
        assert_eq!(stored.skip_to(8 + 2 * SPAN), 2 * SPAN - 1);
        assert_eq!(stored, Stored::new(8 + 2 * SPAN));
        assert_eq!(stored.skip_to(u64::MAX), u64::MAX - 8 - 2 * SPAN);
    }

    #[test]
    fn nothing_is_marked_a_span_ahead_and_what_is_kept_of_it_is_refused() {
        let mut stored = Stored::new(10);
        assert_eq!(stored.observe(10 + SPAN), Place::Ahead);
        assert_eq!(stored.observe(10 + SPAN - 1), Place::New);
        assert_eq!(stored.observe(9), Place::Stored);
        let kept = stored.bitmap();
        assert_eq!(kept.len() as u64, (SPAN - 1).div_ceil(8));
        assert_eq!(Stored::from_parts(10, &kept), Some(stored));
        assert_eq!(Stored::from_parts(10, &vec![0xff; 513]), None);
        assert_eq!(Stored::from_parts(0, &[]), None);
    }

    #[test]
    fn the_last_sequences_there_are_do_not_overflow() {
        let mut stored = Stored::new(u64::MAX - 1);
        assert_eq!(stored.observe(u64::MAX), Place::New);
        assert_eq!(stored.ack(), (u64::MAX - 1, 1));
        assert_eq!(stored.observe(u64::MAX - 1), Place::New);
        assert_eq!(stored.next(), u64::MAX);
        assert_eq!(Stored::from_parts(u64::MAX, &[1]), None);
    }
}
