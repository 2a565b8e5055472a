//! What is going to happen, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use crate::mail::Address;
use crate::plan::{Fault, Node};

#[derive(Clone, Debug)]
pub(super) enum Happening {
    Arrive(Flight),
    /// An application publishes, in this run of its publisher.
    Publish {
        publisher: usize,
        run: u64,
    },
    /// A node has something to do.
    Wake(Node),
    Start(Node),
    /// A publisher learns who its peers are.
    Lookup {
        publisher: usize,
    },
    Fault(Fault),
    Phase(Phase),
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) to: Address,
    pub(super) from: Address,
    pub(super) bytes: Rc<[u8]>,
    /// The path and the way on it; `None` for what a stranger sends.
    pub(super) link: Option<(usize, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Active,
    /// From now on the network is as bad as planned.
    Warm,
    /// Nothing new is published.
    Draining,
    /// The network is perfect and nobody does anything.
    Healed,
    /// Some messages, so that everybody hears of everybody again.
    Greeting,
    /// Messages that must all arrive.
    LastWords,
    /// Publishers say that they stop.
    Farewell,
    Over,
}

impl Phase {
    pub(super) fn is_healed(self) -> bool {
        self >= Self::Healed
    }
}

#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<Entry>>,
    count: u64,
}

#[derive(Debug)]
struct Entry {
    at_ns: u64,
    /// What was planned first happens first.
    order: u64,
    happening: Happening,
}

impl Agenda {
    pub(super) fn at(&mut self, at_ns: u64, happening: Happening) {
        self.count += 1;
        self.heap.push(Reverse(Entry { at_ns, order: self.count, happening }));
    }

    pub(super) fn next(&mut self) -> Option<(u64, Happening)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at_ns, entry.happening))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.order).cmp(&(other.at_ns, other.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Entry {}
