//! The same window without any cleverness: a set of everything that ever arrived.

use std::collections::BTreeSet;

use super::{Arrival, BLOCK};

/// See [`Window`](super::Window); this one grows without bound.
#[derive(Clone, Debug)]
pub struct Oracle {
    blocks: u64,
    arrived: BTreeSet<u64>,
    highest: u64,
    seen: u64,
}

impl Oracle {
    /// As [`Window::new`](super::Window::new).
    #[must_use]
    pub fn new(bits: usize) -> Self {
        Self { blocks: bits as u64 / BLOCK, arrived: BTreeSet::new(), highest: 0, seen: 0 }
    }

    /// As [`Window::reset`](super::Window::reset).
    pub fn reset(&mut self, seen: u64) {
        (self.arrived, self.highest, self.seen) = (BTreeSet::new(), 0, seen);
    }

    fn low(&self) -> u64 {
        (self.highest / BLOCK + 1).saturating_sub(self.blocks) * BLOCK
    }

    /// As [`Window::observe`](super::Window::observe).
    pub fn observe(&mut self, seq: u64) -> Arrival {
        if seq <= self.seen || seq < self.low() {
            return Arrival::Behind;
        }
        if !self.arrived.is_empty()
            && u128::from(seq) > u128::from(self.highest) + u128::from((self.blocks - 1) * BLOCK)
        {
            return Arrival::Ahead;
        }
        self.highest = self.highest.max(seq);
        if self.arrived.insert(seq) { Arrival::New } else { Arrival::Duplicate }
    }

    /// As [`Window::advance`](super::Window::advance).
    pub fn advance(&mut self, seq: u64) {
        if !self.arrived.is_empty() {
            self.highest = self.highest.max(seq);
        }
    }

    /// As [`Window::lost`](super::Window::lost).
    #[must_use]
    pub fn lost(&self) -> u64 {
        let Some(first) = self.arrived.first() else { return 0 };
        let gone = self.low().saturating_sub(*first);
        gone - self.arrived.range(..self.low().max(*first)).count() as u64
    }

    /// As [`Window::missing`](super::Window::missing).
    #[must_use]
    pub fn missing(&self) -> u64 {
        let Some(first) = self.arrived.first() else { return 0 };
        let from = self.low().max(*first);
        self.highest - from + 1 - self.arrived.range(from..).count() as u64
    }
}
