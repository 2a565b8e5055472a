//! What is measured: each mode, at each loss.

use std::fmt;

use headcast_proto::Order;
use headcast_proto::receiver::Limits;
use headcast_proto::repair::Policy;

use crate::network::Conditions;
use crate::network::loss::Loss;
use crate::plan::{MS, Pace, Plan, PublisherPlan, SECOND, SubscriberPlan, US};
use crate::records::Shape;

/// A message is published this often, and this is a slot of the chain of losses.
pub(crate) const SLOT_NS: u64 = 100 * US;
/// The default spacing of copies.
pub(crate) const SPACING_NS: u64 = 2 * MS;
/// Slots that a burst of losses lasts on average.
pub(crate) const BURST_SLOTS: f64 = 8.0;
/// Bytes of a message.
pub(crate) const PAYLOAD: usize = 128;
/// From publisher to subscriber.
pub(crate) const DELAY_NS: u64 = 250 * US;
/// Worlds for each cell, and messages in each.
pub(crate) const WORLDS: u64 = 500;
pub(crate) const MESSAGES: u64 = 20_000;

/// Before that the network is perfect, so that everybody has heard of everybody.
const WARM_NS: u64 = 50 * MS;

/// How messages are made to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    pub(crate) copies: usize,
    pub(crate) repairs: bool,
}

pub(crate) const MODES: [Mode; 5] = [
    Mode { name: "once", copies: 1, repairs: false },
    Mode { name: "dup", copies: 2, repairs: false },
    Mode { name: "dup, 3 copies", copies: 3, repairs: false },
    Mode { name: "dup+nak", copies: 2, repairs: true },
    Mode { name: "nak", copies: 1, repairs: true },
];

pub(crate) const MEANS: [f64; 3] = [0.001, 0.01, 0.05];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) mode: Mode,
    pub(crate) mean: f64,
    /// Lost in bursts, not each for itself.
    pub(crate) bursts: bool,
}

impl Cell {
    /// All of them, in the order of the table.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let of = |bursts| {
            MODES
                .into_iter()
                .flat_map(move |mode| MEANS.into_iter().map(move |mean| Self { mode, mean, bursts }))
        };
        of(false).chain(of(true))
    }

    pub(crate) fn plan(&self, seed: u64) -> Plan {
        let loss = if self.bursts {
            Loss::Bursts { mean: self.mean, slots: BURST_SLOTS, slot_ns: SLOT_NS }
        } else {
            Loss::Independent { mean: self.mean }
        };
        let conditions = Conditions { loss, ..Conditions::perfect(DELAY_NS) };
        Plan {
            seed,
            wild: false,
            publishers: vec![self.publisher()],
            subscribers: vec![subscriber()],
            paths: vec![[conditions; 2]],
            faults: Vec::new(),
            warm_ns: WARM_NS,
            active_ns: WARM_NS + MESSAGES * SLOT_NS,
            drain_ns: 150 * MS,
            idle_ns: 4 * SECOND,
        }
    }

    fn publisher(&self) -> PublisherPlan {
        // The defaults of the real one, but for the welcome: that is for receivers that have just started.
        let policy = Policy { share_permille: 100, burst: 64 * 1392, welcome: 0, interval_ns: 500 * US };
        PublisherPlan {
            id: 1,
            stream: 0,
            copies: self.mode.copies,
            spacing_ns: SPACING_NS,
            repairs: self.mode.repairs.then_some(policy),
            slots: 8192,
            send_ns: 0,
            train_max: 1,
            drop_oldest: false,
            pace: Pace::Even(SLOT_NS),
            long: 0.0,
            parts_max: 1,
            packed: 0.0,
            shape: Shape { part: PAYLOAD, full: true },
            lookup_ns: 0,
            clock_ms: 0,
            messages_max: u64::MAX,
        }
    }
}

fn subscriber() -> SubscriberPlan {
    SubscriberPlan {
        id: 2,
        limits: Limits { publishers: 1, memory: 1 << 16, memory_each: 1 << 16, ..Limits::default() },
        streams: Vec::new(),
        order: Order::AtOnce,
        asks: true,
        history: 0,
        since: true,
        joins_ns: 0,
        clock_ms: 0,
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.bursts { "in bursts" } else { "independent" };
        write!(f, "{}, {} % {how}", self.mode.name, self.mean * 100.0)
    }
}
