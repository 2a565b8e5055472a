//! Messages in parts, whose datagrams are lost, late, repeated and out of order: what comes out is what
//! went in, once, and nothing of it stays behind.
//!
//! The first bytes choose the receiver and the messages. Then steps: which of the datagrams comes next, or
//! how much time passes. The books are kept by the [`Ledger`].

#[path = "reassembly/plan.rs"]
mod plan;

use headcast_proto::header::flags;
use headcast_proto::receiver::Limits;
use headcast_proto::{Datagram, Kind, Now, Order, Receiver, Sequencer, Session, StreamId};

use crate::encode::Fields;
use crate::ledger::{Expected, Ledger};
use crate::script::{STEPS_MAX, Script};
use plan::{Plan, Sent};

const ID: StreamId = StreamId { publisher: 7, session: Session::from_bits(START_MS << 20), stream: 3 };
/// Some day in 2026.
const START_MS: u64 = 1_790_000_000_000;
const MS: u64 = 1_000_000;
/// Less than it takes to be silent.
const STORY_NS: u64 = 2_900 * MS;
/// Whatever is missing has been given up, and the publisher is silent.
const AFTERWARDS_NS: u64 = 32_000 * MS;
const BLOCK: usize = 1_408;
const MEMORY: [usize; 8] = [256, 64, 16, 8, 4, 2, 1, 0];
const HOLD_NS: [u64; 4] = [u64::MAX, MS, 20 * MS, 60 * MS];
const MESSAGE_MAX: [usize; 4] = [100_000, 3_000, 1_000, 100];
const PAUSES_NS: [u64; 8] = [1_000, 100_000, 200_000, MS, 2 * MS, 10 * MS, 50 * MS, 51 * MS];
/// Datagrams of a story, so that no input takes long.
const DATAGRAMS_MAX: usize = 4_096;

struct Story {
    receiver: Receiver,
    ledger: Ledger,
    plan: Plan,
    now: Now,
    /// How many datagrams have been sent for the first time.
    at: usize,
    /// How many have come, in all.
    came: usize,
}

pub(crate) fn check(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let [mode, limits] = [script.u8(), script.u8()];
    let order_ns = (mode & 1 != 0).then_some(HOLD_NS[usize::from(mode >> 1 & 3)]);
    let window = 128 << (mode >> 3 & 1);
    let memory = BLOCK * MEMORY[usize::from(limits & 7)];
    let limits = Limits {
        publishers: 1,
        window,
        memory,
        memory_each: memory,
        message_max: MESSAGE_MAX[usize::from(limits >> 3 & 3)],
    };
    let mut receiver = Receiver::new(&limits, &[]);
    if let Some(max_hold_ns) = order_ns {
        receiver = receiver.order(Order::Ordered { max_hold_ns });
    }
    if mode & 16 != 0 {
        receiver = receiver.asking(Sequencer::new(99, Session::new(START_MS, 9), 0));
    }
    let expected = Expected { order_ns, missing_max: window as u64, ..Expected::default() };
    let mut story = Story {
        receiver,
        ledger: Ledger::new(expected),
        plan: Plan::read(&mut script),
        now: Now { mono_ns: 1, unix_ns: (START_MS + 1) * MS },
        at: 0,
        came: 0,
    };
    for _ in 0..STEPS_MAX {
        if script.is_over() || story.came > DATAGRAMS_MAX {
            break;
        }
        story.step(script.u8());
    }
    story.end();
}

impl Story {
    fn step(&mut self, step: u8) {
        let by = usize::from(step >> 3);
        let left = self.plan.datagrams.len() - self.at;
        match step & 7 {
            0 => {
                for _ in 0..(by + 1).min(left) {
                    self.comes(self.at, 0);
                    self.at += 1;
                }
            }
            1 => self.at += (by + 1).min(left),
            2 => self.comes(self.at + 1 + by, 0),
            3 => self.comes((self.at).wrapping_sub(1 + by), 1),
            4 => self.comes((self.at).wrapping_sub(1 + by), 8),
            5 => self.pass(PAUSES_NS[by & 7]),
            6 => self.tells_last(Kind::Heartbeat),
            _ => {
                let to = self.at + (by + 1).min(left);
                for at in (self.at..to).rev() {
                    self.comes(at, 0);
                }
                self.at = to;
            }
        }
    }

    /// A datagram comes, if there is one with this number.
    fn comes(&mut self, at: usize, path: u8) {
        if let Some(sent) = self.plan.datagrams.get(at) {
            let bytes = sent.bytes(path);
            let datagram = Datagram::parse(&bytes).expect("a valid datagram, by construction");
            self.ledger.send(&mut self.receiver, self.now, &datagram);
            self.came += 1;
        }
    }

    /// The publisher names the last sequence that it has sent.
    fn tells_last(&mut self, kind: Kind) {
        if let Some(last) = self.at.checked_sub(1) {
            let last = &self.plan.datagrams[last];
            let bytes =
                Fields { kind: kind as u8, flags: 0, index: 0, count: 1, payload: &[], ..last.fields(0) }
                    .bytes();
            let datagram = Datagram::parse(&bytes).expect("a valid datagram, by construction");
            self.ledger.send(&mut self.receiver, self.now, &datagram);
        }
    }

    fn pass(&mut self, pause_ns: u64) {
        if self.now.mono_ns + pause_ns <= STORY_NS {
            self.now = Now { mono_ns: self.now.mono_ns + pause_ns, unix_ns: self.now.unix_ns + pause_ns };
            self.ledger.settle(&mut self.receiver, self.now);
        }
    }

    /// The publisher stops. Whatever was missing is given up, and what is whole has been handed on.
    fn end(mut self) {
        self.tells_last(Kind::End);
        for _ in 0..2 {
            self.now.mono_ns += AFTERWARDS_NS;
            self.ledger.settle(&mut self.receiver, self.now);
        }
        self.ledger.finish(&mut self.receiver);
        assert_eq!(self.receiver.memory().0, 0, "nothing more can come of what is kept");
        for message in &self.plan.messages {
            let mut parts = message.first..=message.last;
            if message.is_sound && parts.all(|seq| self.ledger.has(ID, seq)) {
                assert!(self.ledger.is_handed_on(ID, message.first), "all of it came: {message:?}");
            }
        }
    }
}

impl Sent {
    fn bytes(&self, path: u8) -> Vec<u8> {
        self.fields(path).bytes()
    }

    fn fields(&self, path: u8) -> Fields<'_> {
        Fields {
            kind: Kind::Data as u8,
            flags: match (self.part.1 > 1, self.shared > 0) {
                (true, _) => flags::FRAGMENT,
                (false, true) => flags::COALESCED,
                (false, false) => 0,
            },
            key_id: 0,
            copy: path & 7,
            retransmission: path & 8 != 0,
            hops: 0,
            stream: ID.stream,
            publisher: ID.publisher,
            index: if self.shared > 0 { self.shared } else { self.part.0 },
            count: self.part.1,
            session: ID.session.to_bits(),
            seq: self.seq,
            timestamp: (START_MS + 1) * MS + (self.seq & 0xffff),
            extension: &[],
            payload: &self.payload,
            tag: &[],
        }
    }
}
