//! Who is lost: each datagram for itself, or many in a row.

use crate::rng::Rng;

/// How datagrams are lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    None,
    /// Each for itself.
    Independent {
        mean: f64,
    },
    /// Gilbert-Elliott: a chain of two states that takes one step in each slot of time, whether or not a
    /// datagram is sent in it. In the bad state everything is lost, in the good state nothing.
    Bursts {
        mean: f64,
        slots: f64,
        slot_ns: u64,
    },
}

/// A Gilbert-Elliott chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    /// How likely the bad state is at any time.
    bad: f64,
    /// What one slot leaves of the knowledge of the state: 1 - P(good to bad) - P(bad to good).
    memory: f64,
}

impl Chain {
    /// A chain that is bad with probability `mean`, for `slots` in a row on average.
    pub(crate) fn new(mean: f64, slots: f64) -> Self {
        let bad_to_good = 1.0 / slots;
        let good_to_bad = bad_to_good * mean / (1.0 - mean);
        Self { bad: mean, memory: 1.0 - good_to_bad - bad_to_good }
    }

    /// How likely the bad state is so many slots after it was seen to be bad or good.
    pub(crate) fn bad_after(self, was_bad: bool, slots: f64) -> f64 {
        self.bad + (f64::from(u8::from(was_bad)) - self.bad) * self.memory.powf(slots)
    }
}

/// One direction of one path, as far as loss goes.
#[derive(Clone, Debug)]
pub(crate) struct Losing {
    loss: Loss,
    /// When the chain was last looked at, and whether its state was bad.
    was: Option<(u64, bool)>,
}

impl Losing {
    pub(crate) fn new(loss: Loss) -> Self {
        Self { loss, was: None }
    }

    /// Whether a datagram that is sent now is lost.
    pub(crate) fn loses(&mut self, rng: &mut Rng, now_ns: u64) -> bool {
        match self.loss {
            Loss::None => false,
            Loss::Independent { mean } => rng.chance(mean),
            Loss::Bursts { mean, slots, slot_ns } => {
                let chain = Chain::new(mean, slots);
                let bad = match self.was {
                    None => mean,
                    Some((at_ns, was_bad)) => {
                        chain.bad_after(was_bad, (now_ns - at_ns) as f64 / slot_ns as f64)
                    }
                };
                let is_bad = rng.chance(bad);
                self.was = Some((now_ns, is_bad));
                is_bad
            }
        }
    }
}
