//! The same window without any cleverness: a set of everything that ever arrived.

use std::collections::BTreeSet;

use super::{Arrival, BLOCK};

/// See [`Window`](super::Window); this one grows without bound.
#[derive(Clone, Debug)]
pub struct Oracle {
    blocks: u64,
    /// What arrived, or was counted as that.
    arrived: BTreeSet<u64>,
    /// 0 until the first sequence.
    first: u64,
    highest: u64,
    seen: u64,
}

impl Oracle {
    /// As [`Window::new`](super::Window::new).
    #[must_use]
    pub fn new(bits: usize) -> Self {
        Self { blocks: bits as u64 / BLOCK, arrived: BTreeSet::new(), first: 0, highest: 0, seen: 0 }
    }

    /// As [`Window::reset`](super::Window::reset).
    pub fn reset(&mut self, seen: u64) {
        (self.arrived, self.first, self.highest, self.seen) = (BTreeSet::new(), 0, 0, seen);
    }

    /// The lowest sequence that arrived or was awaited; 0 for none.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    fn low(&self) -> u64 {
        (self.highest / BLOCK + 1).saturating_sub(self.blocks) * BLOCK
    }

    /// Begins an empty window, as `Window::start_at`.
    pub fn start_at(&mut self, first: u64, highest: u64) {
        self.highest = highest;
        self.first = first.max(self.low()).max(self.seen + 1).min(highest);
        self.seen = self.seen.max(self.first - 1);
    }

    /// As [`Window::observe`](super::Window::observe).
    pub fn observe(&mut self, seq: u64) -> Arrival {
        if seq <= self.seen || seq < self.low() {
            return Arrival::Behind;
        }
        if self.first != 0
            && u128::from(seq) > u128::from(self.highest) + u128::from((self.blocks - 1) * BLOCK)
        {
            return Arrival::Ahead;
        }
        self.highest = self.highest.max(seq);
        self.first = if self.first == 0 { seq } else { self.first.min(seq) };
        if self.arrived.insert(seq) { Arrival::New } else { Arrival::Duplicate }
    }

    /// As [`Window::advance`](super::Window::advance).
    pub fn advance(&mut self, seq: u64) {
        if self.first != 0 {
            self.highest = self.highest.max(seq);
        }
    }

    /// Whether a sequence has arrived, or is as good as that, as `Window::has_seen`.
    #[must_use]
    pub fn has_seen(&self, seq: u64) -> bool {
        seq <= self.seen || seq < self.low() || self.arrived.contains(&seq)
    }

    /// The first that has not arrived but may still, as `Window::next_missing`.
    #[must_use]
    pub fn next_missing(&self, from: u64, to: u64) -> Option<u64> {
        // What is below the window need not be looked at one by one.
        let from = from.max(self.low()).max(1);
        (from..=to.min(self.highest)).find(|seq| !self.has_seen(*seq))
    }

    /// Counts what is missing as seen, and returns it, as `Window::fill`.
    pub fn fill(&mut self, from: u64, to: u64) -> Vec<u64> {
        let mut missed = Vec::new();
        while let Some(seq) = self.next_missing(from, to) {
            self.arrived.insert(seq);
            missed.push(seq);
        }
        missed
    }

    /// As [`Window::lost`](super::Window::lost).
    #[must_use]
    pub fn lost(&self) -> u64 {
        if self.first == 0 {
            return 0;
        }
        let gone = self.low().saturating_sub(self.first);
        gone - self.arrived.range(..self.low().max(self.first)).count() as u64
    }

    /// As [`Window::missing`](super::Window::missing).
    #[must_use]
    pub fn missing(&self) -> u64 {
        if self.first == 0 {
            return 0;
        }
        let from = self.low().max(self.first);
        self.highest - from + 1 - self.arrived.range(from..).count() as u64
    }
}
