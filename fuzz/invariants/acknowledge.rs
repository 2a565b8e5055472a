//! What a responder takes for stored is stored, once, whatever the network loses and whoever dies; and all
//! of it is stored in the end.
//!
//! The first byte chooses how many responses are held. Then steps: responses are accepted and sent, what
//! is under way arrives, is lost, late or repeated, the recorder commits, forgets what it did not commit, or
//! goes on with another database, and somebody forges responses and acknowledgements. The books are
//! kept by the [`Responder`] and the [`Recorder`].

#[path = "acknowledge/recorder.rs"]
mod recorder;
#[path = "acknowledge/responder.rs"]
mod responder;

use std::collections::{BTreeSet, VecDeque};

use headcast_proto::stored::SPAN;

use crate::script::{STEPS_MAX, Script};
use recorder::{Ack, Database, Packet, Recorder};
use responder::Responder;

const MS: u64 = 1_000_000;
/// How many responses are held at most.
const ROOMS: [usize; 8] = [512, 1, 2, 70, 4_095, 4_096, 4_097, 8_192];
const PAUSES_NS: [u64; 16] = [
    0,
    1,
    10_000,
    100_000,
    MS / 2,
    MS,
    2 * MS,
    3 * MS,
    5 * MS,
    7 * MS,
    20 * MS,
    50 * MS,
    100 * MS,
    1_000 * MS,
    61_000 * MS,
    3_600_000 * MS,
];
/// Datagrams on their way in each direction; what is beyond that is lost.
const QUEUE_MAX: usize = 4_096;
const DATABASES_MAX: usize = 8;

struct Story {
    now_ns: u64,
    responder: Responder,
    recorder: Recorder,
    there: VecDeque<Packet>,
    back: VecDeque<Ack>,
    /// Copies of databases, and databases that were used before.
    shelf: Vec<Database>,
    /// What has been committed, to whichever database.
    stored: BTreeSet<u64>,
    /// What a forger had the responder take for stored.
    given_away: BTreeSet<u64>,
    /// A forger had a recorder wait for nothing below this.
    forged_below: u64,
}

pub(crate) fn check(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut story = Story {
        now_ns: 1,
        responder: Responder::new(ROOMS[usize::from(script.u8() & 7)]),
        recorder: Recorder::default(),
        there: VecDeque::new(),
        back: VecDeque::new(),
        shelf: Vec::new(),
        stored: BTreeSet::new(),
        given_away: BTreeSet::new(),
        forged_below: 1,
    };
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        story.step(&mut script);
        story.responder.check(story.now_ns);
    }
    story.end();
}

impl Story {
    fn step(&mut self, script: &mut Script<'_>) {
        let step = script.u8();
        let by = usize::from(step >> 4);
        match step & 15 {
            0 => self.responder.accept(by + 1),
            1 => self.responder.accept((by + 1) * 100),
            2 => self.send(by + 1),
            3 => self.send(usize::MAX),
            4 => (0..=by).for_each(|_| self.arrive()),
            5 => drop(self.there.drain(..(by + 1).min(self.there.len()))),
            6 => {
                // The one at that place arrives too early, and once more when its time has come.
                if let Some(packet) = self.there.get(by).copied() {
                    self.recorder.take(packet);
                }
            }
            7 => self.there.rotate_left((by * 4 + 1).min(self.there.len())),
            8 => self.commit(by & 1 == 0),
            9 => self.recorder.fail(by & 1 == 0),
            10 => self.come_back(by),
            11 => self.pass(PAUSES_NS[by]),
            12 => self.forge_ack(script),
            13 => self.forge_response(script),
            14 => self.exchange(by),
            _ => (0..=by & 7).for_each(|_| self.round(by >= 8)),
        }
    }

    fn send(&mut self, at_most: usize) {
        for _ in 0..at_most {
            let Some(packet) = self.responder.send(self.now_ns) else { break };
            self.there.push_back(packet);
        }
        let excess = self.there.len().saturating_sub(QUEUE_MAX);
        self.there.drain(..excess);
    }

    fn arrive(&mut self) {
        if let Some(packet) = self.there.pop_front() {
            self.recorder.take(packet);
        }
    }

    /// What has arrived is stored and, unless that datagram is lost, acknowledged.
    fn commit(&mut self, tells: bool) {
        if let Some(ack) = self.recorder.commit(&mut self.stored) {
            self.recorder.is_true(ack, self.responder.held());
            self.forged_below = self.forged_below.max(self.recorder.forged_below());
            if tells && self.back.len() < QUEUE_MAX {
                self.back.push_back(ack);
            }
        }
    }

    /// Something happens to the acknowledgements that are under way.
    fn come_back(&mut self, how: usize) {
        match how {
            0..8 => (0..=how).for_each(|_| self.hear_next()),
            8 => drop(self.back.pop_front()),
            9 => self.back.extend(self.back.front().copied()),
            10 => self.back.rotate_left(1.min(self.back.len())),
            11 => self.back.clear(),
            12 => self.back.make_contiguous().reverse(),
            _ => (0..self.back.len()).for_each(|_| self.hear_next()),
        }
    }

    fn hear_next(&mut self) {
        let Some(ack) = self.back.pop_front() else { return };
        match self.responder.hear(self.now_ns, ack.next, ack.bitmap) {
            Some(freed) => {
                for seq in freed {
                    assert!(self.stored.contains(&seq) || seq < self.forged_below, "{seq} is stored nowhere");
                }
            }
            // Only a forger has a recorder tell of what is as far away as that.
            None => assert!(ack.forged_high >= self.responder.never_sent() + SPAN, "refused: {ack:?}"),
        }
    }

    fn pass(&mut self, pause_ns: u64) {
        self.now_ns += pause_ns;
        self.responder.tick(self.now_ns);
    }

    /// Somebody who knows the session, and where the recorder is, acknowledges.
    fn forge_ack(&mut self, script: &mut Script<'_>) {
        let (how, by) = (script.u8(), u64::from(script.u8()));
        let next = match how & 3 {
            0 => self.responder.held_from().saturating_add(by),
            1 => self.responder.never_sent().saturating_sub(by),
            2 => self.responder.never_sent().saturating_add(by),
            _ => script.u64(),
        };
        let bitmap = match how >> 2 & 3 {
            0 => 0,
            1 => 1 << (by & 63),
            2 => u64::from(script.u16()),
            _ => script.u64(),
        };
        self.given_away.extend(self.responder.hear(self.now_ns, next, bitmap).unwrap_or_default());
    }

    /// Somebody who knows the session responds, and says what is held.
    fn forge_response(&mut self, script: &mut Script<'_>) {
        let (how, by) = (script.u8(), u64::from(script.u8()));
        let seq = match how & 3 {
            0 => self.responder.held_from().saturating_add(by),
            1 => self.responder.never_sent().saturating_add(by),
            2 => self.recorder.next().saturating_add(by * 16),
            _ => script.u64(),
        };
        // What is beyond that is refused.
        let seq = seq.clamp(1, u64::MAX >> 1);
        let below = [0, u64::from(how >> 4), SPAN - 1, u64::from(script.u8())][usize::from(how >> 2 & 3)];
        let held_from = seq.saturating_sub(below).max(1);
        self.recorder.take(Packet { seq, held_from, forged: true });
    }

    /// The recorder goes on with another database.
    fn exchange(&mut self, how: usize) {
        let which = (how & 7) % self.shelf.len().max(1);
        let other = if how < 8 { self.shelf.get(which).cloned() } else { Some(Database::default()) };
        match other {
            // A copy is put back, or the one of before.
            Some(other) => {
                let before = self.recorder.exchange(other);
                if how == 15 {
                    self.keep(before);
                }
            }
            None => self.keep(self.recorder.copy()),
        }
        if how == 8 {
            self.keep(self.recorder.copy());
        }
    }

    fn keep(&mut self, database: Database) {
        if self.shelf.len() < DATABASES_MAX {
            self.shelf.push(database);
        }
    }

    /// Everything that may go out arrives, except perhaps the lowest, and so does what comes back.
    fn round(&mut self, loses_lowest: bool) {
        self.send(usize::MAX);
        if loses_lowest {
            let lowest = self.responder.held_from();
            self.there.retain(|packet| packet.seq != lowest);
        }
        while !self.there.is_empty() {
            self.arrive();
        }
        self.commit(true);
        self.pass(MS);
        self.come_back(usize::MAX);
    }

    /// The network is good again: all is acknowledged, within so many round trips.
    fn end(mut self) {
        self.commit(false);
        // A recorder that was told of responses far ahead of all that exist is not believed. All stays where it is, until
        // somebody gives it another database.
        if self.recorder.next() > self.responder.never_sent() + SPAN {
            self.recorder.exchange(Database::default());
        }
        self.back.clear();
        self.there.clear();
        self.responder.accept(1);
        let rounds = self.responder.held().len() / 4 + 64;
        for _ in 0..rounds {
            self.round(false);
            self.responder.check(self.now_ns);
            if self.responder.held().is_empty() {
                break;
            }
            self.pass(self.responder.patience_ns(self.now_ns));
        }
        let left = self.responder.held();
        assert!(left.is_empty(), "{} are left after {rounds} round trips: {:?}", left.len(), left.first());
        for seq in 1..self.responder.never_sent() {
            let is_stored = self.stored.contains(&seq) || self.given_away.contains(&seq);
            assert!(is_stored || seq < self.forged_below, "{seq} is stored nowhere");
        }
    }
}
