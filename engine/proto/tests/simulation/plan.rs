//! What a world is: who is in it, how good its network is, and what goes wrong when.

pub(crate) mod draw;

use headcast_proto::Order;
use headcast_proto::receiver::Limits;
use headcast_proto::repair::Policy;

use crate::network::Conditions;
use crate::records::Shape;

pub(crate) const US: u64 = 1_000;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Datagrams are forged such that they cannot be told from true ones: then only what must hold under any
    /// input is checked.
    pub(crate) wild: bool,
    pub(crate) publishers: Vec<PublisherPlan>,
    pub(crate) subscribers: Vec<SubscriberPlan>,
    /// From publisher p to subscriber s at `p * subscribers + s`, and the way back.
    pub(crate) paths: Vec<[Conditions; 2]>,
    pub(crate) faults: Vec<(u64, Fault)>,
    /// For so long the network is perfect, before the conditions above hold.
    pub(crate) warm_ns: u64,
    /// Until then publishers publish.
    pub(crate) active_ns: u64,
    /// So long after that the network heals.
    pub(crate) drain_ns: u64,
    /// For so long it is quiet then.
    pub(crate) idle_ns: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct PublisherPlan {
    pub(crate) id: u32,
    pub(crate) stream: u16,
    pub(crate) copies: usize,
    pub(crate) spacing_ns: u64,
    pub(crate) repairs: Option<Policy>,
    pub(crate) slots: usize,
    /// How long it takes to send one datagram.
    pub(crate) send_ns: u64,
    /// Datagrams that go out together, at most.
    pub(crate) train_max: u64,
    /// When the ring is full, the oldest goes; otherwise the newest is refused.
    pub(crate) drop_oldest: bool,
    pub(crate) pace: Pace,
    /// How many messages are longer than a datagram, and of how many parts they are at most.
    pub(crate) long: f64,
    pub(crate) parts_max: u16,
    /// How often several messages wait together, and go out in one datagram.
    pub(crate) packed: f64,
    pub(crate) shape: Shape,
    /// How late it learns of a change of its peers.
    pub(crate) lookup_ns: u64,
    /// Its clock against true time.
    pub(crate) clock_ms: i64,
    pub(crate) messages_max: u64,
}

/// When messages come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    Even(u64),
    /// At random with this mean; now and then many at once, and now and then none for long.
    Uneven {
        mean_ns: u64,
        burst: f64,
        pause: f64,
        pause_ns: u64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct SubscriberPlan {
    pub(crate) id: u32,
    pub(crate) limits: Limits,
    pub(crate) streams: Vec<u16>,
    pub(crate) order: Order,
    pub(crate) asks: bool,
    pub(crate) history: u64,
    /// Whether it knows since when it is there.
    pub(crate) since: bool,
    pub(crate) joins_ns: u64,
    pub(crate) clock_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Publisher(usize),
    Subscriber(usize),
    Stranger,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing gets through, in one direction or both.
    Cut {
        path: usize,
        there: bool,
        back: bool,
        for_ns: u64,
    },
    StepClock {
        node: Node,
        by_ms: i64,
    },
    /// It ends, with a farewell or without, and comes back with nothing; elsewhere, if it moves.
    Restart {
        node: Node,
        farewell: bool,
        down_ns: u64,
        moves: bool,
    },
    /// It ends for good, before its publishers know or after.
    Leave {
        subscriber: usize,
        told_first: bool,
    },
    /// It does nothing for a while.
    Pause {
        node: Node,
        for_ns: u64,
    },
    /// A stranger sends it something.
    Flood {
        node: Node,
        kind: Flood,
        count: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    /// Anything at all.
    Noise,
    /// Valid datagrams of publishers that do not exist.
    Publishers,
    /// Valid datagrams of true publishers, in sessions that they never had.
    Sessions,
    /// A sequence far ahead in the true session.
    Jump,
    /// Requests for repairs, in the name of a peer or of nobody.
    Requests,
    /// Everything that a true publisher could send. Only in wild worlds.
    Anything,
}
