//! Which receiver it is.

use headcast_proto::receiver::Limits;
use headcast_proto::{Now, Order, Receiver, Sequencer, Session};

use super::START_MS;
use crate::ledger::Expected;
use crate::script::Script;

/// Four publishers with two streams each.
const PAIRS: usize = 8;
/// What a datagram takes at least, where it is kept.
const BLOCK: usize = 1408;
const MEMORY: [usize; 8] = [64, 1, 2, 3, 8, 16, 32, 0];
const MEMORY_EACH: [usize; 4] = [64, 1, 4, 16];
const MESSAGE_MAX: [usize; 4] = [100_000, 0, 100, 3_000];
const HOLD_NS: [u64; 4] = [1_000_000, 10_000_000, 60_000_000, u64::MAX];
const HISTORY: [u64; 4] = [0, 1, 10, 1_000];

pub(super) struct Setup {
    /// Either there is a place for everyone, or they fight for one to four.
    pub(super) roomy: bool,
    pub(super) publishers: usize,
    pub(super) window: usize,
    pub(super) streams: &'static [u16],
    /// The steps are read in full: payloads, parts of messages, time that passes unnoticed.
    pub(super) full: bool,
    pub(super) order_ns: Option<u64>,
    asks: bool,
    since: bool,
    history: u64,
    memory: usize,
    memory_each: usize,
    message_max: usize,
}

impl Setup {
    pub(super) fn read(script: &mut Script<'_>) -> Self {
        let table = script.u8();
        let (roomy, full) = (table & 1 == 0, table & 32 != 0);
        let [mode, memory] = if full { [script.u8(), script.u8()] } else { [0; 2] };
        let choose = |from: u8, bits: u8| usize::from(from & ((1 << bits) - 1));
        Self {
            roomy,
            publishers: if roomy { PAIRS } else { 1 + choose(table >> 1, 2) },
            window: 128 << (table >> 3 & 1),
            streams: if table & 16 != 0 { &[1] } else { &[] },
            full,
            order_ns: (mode & 1 != 0).then_some(HOLD_NS[choose(mode >> 3, 2)]),
            asks: mode & 2 != 0,
            since: mode & 4 != 0,
            history: HISTORY[choose(mode >> 5, 2)],
            memory: BLOCK * MEMORY[choose(memory, 3)],
            memory_each: BLOCK * MEMORY_EACH[choose(memory >> 3, 2)],
            message_max: MESSAGE_MAX[choose(memory >> 5, 2)],
        }
    }

    pub(super) fn receiver(&self) -> Receiver {
        let limits = Limits {
            publishers: self.publishers,
            window: self.window,
            memory: self.memory,
            memory_each: self.memory_each,
            message_max: self.message_max,
        };
        let mut receiver = Receiver::new(&limits, self.streams).history(self.history);
        if let Some(max_hold_ns) = self.order_ns {
            receiver = receiver.order(Order::Ordered { max_hold_ns });
        }
        if self.asks {
            receiver = receiver.asking(Sequencer::new(99, Session::new(START_MS, 9), 0));
        }
        if self.since {
            receiver = receiver.since(Now { mono_ns: 0, unix_ns: self.since_ms() * 1_000_000 });
        }
        receiver
    }

    pub(super) fn expected(&self) -> Expected {
        Expected {
            order_ns: self.order_ns,
            since_ms: self.since.then_some(self.since_ms()),
            history: self.history > 0 && self.asks,
            missing_max: (self.publishers * self.window) as u64,
        }
    }

    /// Between the first session of each publisher and the second.
    fn since_ms(&self) -> u64 {
        START_MS + 1_000_000
    }
}
