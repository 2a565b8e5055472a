//! Seen before, or new? A sliding bitmap after RFC 6479, with the count of what was lost.
//!
//! The bitmap is a ring of 64-bit blocks. A sequence's block is `seq / 64`, and the ring holds the
//! newest `blocks` of them, so moving forward never shifts a bit: a new block takes the place of the
//! oldest, and the zeros in what it overwrites are the sequences that were lost.
//!
//! ```text
//!        low                                highest
//!         v                                    v
//!  ...----|--------|--------| ... |--------|-----...---|
//!  Behind |<------------ Duplicate or New ---->|<- New (moves) ->|  Ahead
//! ```
//!
//! At any time `new + lost() + missing() == highest - first + 1`.

/// Sequences in a block.
const BLOCK: u64 = 64;

/// What a sequence is to the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Not seen before; now it is.
    New,
    /// Seen before.
    Duplicate,
    /// Older than the window remembers: it cannot be told from a duplicate.
    Behind,
    /// More than a window ahead; the window did not move.
    Ahead,
}

/// The sequences that one (publisher, session, stream) has brought.
#[derive(Clone, Debug)]
pub struct Window {
    blocks: Box<[u64]>,
    /// 0 until the first sequence.
    highest: u64,
    /// The lowest sequence that arrived; what came before it was never missed.
    first: u64,
    /// Everything up to here counts as seen; 0 for nothing.
    seen: u64,
    lost: u64,
}

impl Window {
    /// An empty window over a bitmap of `bits` sequences: a power of two, at least 128.
    ///
    /// The last `bits - 63` sequences are always remembered.
    ///
    /// # Panics
    /// If `bits` is anything else.
    #[must_use]
    pub fn new(bits: usize) -> Self {
        assert!(bits.is_power_of_two() && bits >= 128, "a window has a power of two of bits, at least 128");
        let blocks = vec![0; bits / 64].into_boxed_slice();
        Self { blocks, highest: 0, first: 0, seen: 0, lost: 0 }
    }

    /// Forgets everything; sequences up to `seen` count as seen.
    pub fn reset(&mut self, seen: u64) {
        self.blocks.fill(0);
        (self.highest, self.first, self.seen, self.lost) = (0, 0, seen, 0);
    }

    /// The highest sequence known, from an arrival or from [`advance`](Self::advance); 0 for none.
    #[inline]
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Begins an empty window at `first`, with everything before it counted as seen, and everything from
    /// there up to `highest` as known but not arrived.
    ///
    /// The distance must be within [`span`](Self::span); a `first` further back is moved up.
    pub(crate) fn start_at(&mut self, first: u64, highest: u64) {
        debug_assert!(self.first == 0 && 1 <= first && first <= highest);
        self.highest = highest;
        self.first = first.max(self.low()).max(self.seen + 1).min(highest);
        self.seen = self.seen.max(self.first - 1);
    }

    /// How many blocks the bitmap has.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The lowest sequence that will have a bit once `highest` is known.
    #[inline]
    pub(crate) fn low_at(&self, highest: u64) -> u64 {
        (highest / BLOCK).saturating_sub(self.blocks.len() as u64 - 1) * BLOCK
    }

    /// Whether a sequence has arrived, or is as good as that: too old, or given up.
    #[inline]
    pub(crate) fn has_seen(&self, seq: u64) -> bool {
        seq <= self.seen
            || seq < self.low()
            || seq <= self.highest && self.block(seq / BLOCK) >> (seq % BLOCK) & 1 == 1
    }

    /// The first sequence from `from` to `to` that has not arrived but may still; `to` is at most the highest.
    pub(crate) fn next_missing(&self, from: u64, to: u64) -> Option<u64> {
        let mut at = from.max(self.low()).max(self.seen.saturating_add(1));
        let to = to.min(self.highest);
        while at <= to {
            let unseen = !self.block(at / BLOCK) >> (at % BLOCK);
            if unseen != 0 {
                let found = at + u64::from(unseen.trailing_zeros());
                return (found <= to).then_some(found);
            }
            // The last block of all has none after it.
            at = (at / BLOCK + 1).checked_mul(BLOCK)?;
        }
        None
    }

    /// Counts what is missing from `from` to `to` as seen: `missed` is told the sequences as a block's first
    /// and a bit for each.
    pub(crate) fn fill(&mut self, from: u64, to: u64, mut missed: impl FnMut(u64, u64)) {
        let from = from.max(self.low()).max(self.seen.saturating_add(1));
        let to = to.min(self.highest);
        if from > to {
            return;
        }
        for block in from / BLOCK..=to / BLOCK {
            let base = block * BLOCK;
            let after = u64::MAX << from.saturating_sub(base);
            let before = u64::MAX >> (BLOCK - 1 - (to - base).min(BLOCK - 1));
            let bits = self.block_mut(block);
            let mask = !*bits & after & before;
            *bits |= mask;
            if mask != 0 {
                missed(base, mask);
            }
        }
    }

    /// Everything up to here has arrived or counts as seen, if it ever will.
    pub(crate) fn reached(&self) -> u64 {
        self.highest.max(self.seen)
    }

    /// How far ahead of [`highest`](Self::highest) a sequence may be.
    #[inline]
    #[must_use]
    pub fn span(&self) -> u64 {
        (self.blocks.len() as u64 - 1) * BLOCK
    }

    /// Sequences since the first arrival that have left the window without arriving.
    #[inline]
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Sequences in the window that have not arrived, but may still.
    #[must_use]
    pub fn missing(&self) -> u64 {
        if self.first == 0 {
            return 0;
        }
        let from = self.first.max(self.low());
        let arrived: u64 = self.blocks.iter().map(|block| u64::from(block.count_ones())).sum();
        // `arrived` never exceeds the range: every set bit lies in it.
        self.highest - from + 1 - arrived
    }

    /// Books one sequence, from 1.
    #[inline]
    pub fn observe(&mut self, seq: u64) -> Arrival {
        if seq > self.highest {
            if self.first == 0 {
                if seq <= self.seen {
                    return Arrival::Behind;
                }
                self.start(seq);
            } else if seq - self.highest > self.span() {
                return Arrival::Ahead;
            } else {
                self.advance(seq);
            }
        } else if seq < self.low() || seq <= self.seen {
            return Arrival::Behind;
        }
        let bit = 1 << (seq % BLOCK);
        let block = self.block_mut(seq / BLOCK);
        if *block & bit != 0 {
            return Arrival::Duplicate;
        }
        *block |= bit;
        self.first = self.first.min(seq);
        Arrival::New
    }

    /// Books a sequence if it is the one after the highest and in the same block: what nearly all are.
    #[inline]
    pub(crate) fn extend(&mut self, seq: u64) -> bool {
        // Before the start the highest is 0, and 1 is not the one after it.
        if self.highest == 0 || seq.wrapping_sub(1) != self.highest || seq.is_multiple_of(BLOCK) {
            return false;
        }
        self.highest = seq;
        *self.block_mut(seq / BLOCK) |= 1 << (seq % BLOCK);
        true
    }

    /// Makes `seq` the highest sequence known, however far ahead it is, without saying that it arrived.
    ///
    /// Does nothing before the first arrival, or when `seq` is not ahead.
    #[inline]
    pub fn advance(&mut self, seq: u64) {
        if self.first == 0 || seq <= self.highest {
            return;
        }
        let (from, to) = (self.highest / BLOCK, seq / BLOCK);
        if from != to {
            self.recycle(from, to);
        }
        self.highest = seq;
    }

    fn start(&mut self, seq: u64) {
        (self.highest, self.first) = (seq, seq);
    }

    /// Clears the blocks after `from` up to `to`, and counts the zeros of what they overwrite.
    fn recycle(&mut self, from: u64, to: u64) {
        let count = self.blocks.len() as u64;
        for block in from + 1..=to.min(from + count) {
            let arrived = std::mem::take(self.block_mut(block)).count_ones();
            if let Some(old) = block.checked_sub(count) {
                self.lost += self.expected(old) - u64::from(arrived);
            }
        }
        // A leap over more than the whole ring: the blocks in between never had a place.
        let skipped = (to - from).saturating_sub(count);
        self.lost += skipped * BLOCK;
    }

    /// How many sequences of a block have been due since the first arrival.
    fn expected(&self, block: u64) -> u64 {
        let start = (block * BLOCK).max(self.first);
        ((block + 1) * BLOCK).saturating_sub(start)
    }

    /// The lowest sequence that has a bit.
    #[inline]
    fn low(&self) -> u64 {
        self.low_at(self.highest)
    }

    #[inline]
    fn block(&self, block: u64) -> u64 {
        self.blocks[self.index(block)]
    }

    #[inline]
    fn block_mut(&mut self, block: u64) -> &mut u64 {
        let index = self.index(block);
        &mut self.blocks[index]
    }

    #[inline]
    fn index(&self, block: u64) -> usize {
        // The ring's length is a power of two, and a usize holds any index into it.
        usize::try_from(block & (self.blocks.len() as u64 - 1)).unwrap_or(0)
    }
}

#[cfg(any(test, feature = "oracle"))]
pub mod oracle;
#[cfg(test)]
mod tests;
