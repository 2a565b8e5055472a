//! The network between one publisher and one subscriber, in one direction.

pub(crate) mod loss;

use loss::{Losing, Loss};

use crate::checks::{Checked, ensure};
use crate::rng::Rng;

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    pub(crate) loss: Loss,
    pub(crate) delay_ns: u64,
    /// Each datagram takes up to so much longer, so that they overtake one another.
    pub(crate) jitter_ns: u64,
    /// How many of them take up to another twenty jitters.
    pub(crate) stragglers: f64,
    pub(crate) duplicated: f64,
    pub(crate) corrupted: f64,
}

impl Conditions {
    /// Everything gets through once, in its turn.
    pub(crate) fn perfect(delay_ns: u64) -> Self {
        Self { loss: Loss::None, delay_ns, jitter_ns: 0, stragglers: 0.0, duplicated: 0.0, corrupted: 0.0 }
    }
}

/// Where the datagrams of a link went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkCounts {
    pub(crate) sent: u64,
    /// Further ones that the network made.
    pub(crate) duplicated: u64,
    pub(crate) lost: u64,
    /// Lost to a partition.
    pub(crate) cut: u64,
    /// Lost because their checksum was wrong.
    pub(crate) corrupted: u64,
    pub(crate) in_flight: u64,
    /// At their destination, whoever was there.
    pub(crate) arrived: u64,
}

impl LinkCounts {
    /// Every datagram is somewhere.
    pub(crate) fn datagrams_add_up(&self) -> Checked {
        let there = self.lost + self.cut + self.corrupted + self.in_flight + self.arrived;
        ensure(self.sent + self.duplicated == there, "datagrams_add_up", || format!("{self:?}"))
    }
}

/// When one datagram, or what became of it, is at its destination.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    pub(crate) at_ns: u64,
    /// Bits were flipped on the way and the checksum did not tell.
    pub(crate) mangled: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Link {
    conditions: Conditions,
    losing: Losing,
    rng: Rng,
    cut_until_ns: u64,
    counts: LinkCounts,
}

/// How many of the corrupted datagrams the checksum does not tell: far more than really, to have some.
const CHECKSUM_FAILS: f64 = 0.3;

impl Link {
    pub(crate) fn new(conditions: Conditions, rng: Rng) -> Self {
        let losing = Losing::new(conditions.loss);
        Self { conditions, losing, rng, cut_until_ns: 0, counts: LinkCounts::default() }
    }

    pub(crate) fn counts(&self) -> LinkCounts {
        self.counts
    }

    pub(crate) fn delay_ns(&self) -> u64 {
        self.conditions.delay_ns
    }

    /// Nothing gets through until then.
    pub(crate) fn cut(&mut self, until_ns: u64) {
        self.cut_until_ns = self.cut_until_ns.max(until_ns);
    }

    /// From now on it is like this.
    pub(crate) fn change(&mut self, conditions: Conditions) {
        self.conditions = conditions;
        self.losing = Losing::new(conditions.loss);
        self.cut_until_ns = 0;
    }

    /// Sends one datagram: it arrives not at all, once, or twice.
    pub(crate) fn send(&mut self, now_ns: u64) -> [Option<Passage>; 2] {
        self.counts.sent += 1;
        // The chain of losses goes on during a partition.
        let lost = self.losing.loses(&mut self.rng, now_ns);
        if now_ns < self.cut_until_ns {
            self.counts.cut += 1;
            return [None; 2];
        }
        if lost {
            self.counts.lost += 1;
            return [None; 2];
        }
        let twice = self.conditions.duplicated > 0.0 && self.rng.chance(self.conditions.duplicated);
        let first = self.passage(now_ns);
        if !twice {
            return [first, None];
        }
        self.counts.duplicated += 1;
        [first, self.passage(now_ns)]
    }

    fn passage(&mut self, now_ns: u64) -> Option<Passage> {
        let Conditions { delay_ns, jitter_ns, stragglers, corrupted, .. } = self.conditions;
        let mut at_ns = now_ns + delay_ns;
        if jitter_ns > 0 {
            at_ns += self.rng.below(jitter_ns);
            if stragglers > 0.0 && self.rng.chance(stragglers) {
                at_ns += self.rng.below(20 * jitter_ns);
            }
        }
        let mangled = corrupted > 0.0 && self.rng.chance(corrupted);
        if mangled && !self.rng.chance(CHECKSUM_FAILS) {
            self.counts.corrupted += 1;
            return None;
        }
        self.counts.in_flight += 1;
        Some(Passage { at_ns, mangled })
    }

    /// Books that one has arrived.
    pub(crate) fn arrived(&mut self) {
        self.counts.in_flight -= 1;
        self.counts.arrived += 1;
    }
}
