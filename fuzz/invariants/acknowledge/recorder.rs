//! A recorder with its database: what is stored, and what is said of it.

use std::collections::BTreeSet;

use headcast_proto::Stored;
use headcast_proto::stored::{Place, SPAN};

/// Responses that are taken between two transactions.
const BATCH_MAX: usize = 4_096;

/// A response, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) seq: u64,
    pub(super) held_from: u64,
    pub(super) forged: bool,
}

/// An acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    pub(super) next: u64,
    pub(super) bitmap: u64,
    /// The highest sequence that the recorder had heard of from a forger.
    pub(super) forged_high: u64,
}

/// What was committed of a responder.
#[derive(Clone, Debug, Default)]
pub(super) struct Database {
    /// How it is kept; `None` while nothing is.
    kept: Option<(u64, Vec<u8>)>,
    rows: BTreeSet<u64>,
    said: Said,
}

/// What responses have said.
#[derive(Clone, Copy, Debug)]
struct Said {
    /// Nothing below will come.
    floor: u64,
    /// Nothing below will come, says a forger.
    forged_below: u64,
    forged_high: u64,
}

impl Default for Said {
    fn default() -> Self {
        Self { floor: 1, forged_below: 1, forged_high: 0 }
    }
}

#[derive(Default)]
pub(super) struct Recorder {
    database: Database,
    /// What the recorder remembers of the database.
    known: Option<Stored>,
    batch: Vec<Packet>,
}

impl Recorder {
    /// Takes a response into the next transaction.
    pub(super) fn take(&mut self, packet: Packet) {
        let Packet { seq, held_from, .. } = packet;
        assert!(held_from <= seq && seq - held_from < SPAN, "never more than a span apart: {packet:?}");
        if self.batch.len() < BATCH_MAX {
            self.batch.push(packet);
        }
    }

    /// Stores what was taken, which is told to `stored`. The acknowledgement, if there is anything to acknowledge.
    pub(super) fn commit(&mut self, stored: &mut BTreeSet<u64>) -> Option<Ack> {
        if self.batch.is_empty() {
            return None;
        }
        let (known, said, fresh) = self.write();
        let kept = (known.next(), known.bitmap());
        assert_eq!(Stored::from_parts(kept.0, &kept.1).as_ref().map(Stored::ack), Some(known.ack()));
        stored.extend(fresh);
        let (next, bitmap) = known.ack();
        self.database.kept = Some(kept);
        self.database.said = said;
        self.known = Some(known);
        self.batch.clear();
        Some(Ack { next, bitmap, forged_high: said.forged_high })
    }

    /// A transaction fails: it is tried again later, or the recorder dies and takes what it had with it.
    pub(super) fn fail(&mut self, dies: bool) {
        let (_, _, fresh) = self.write();
        for seq in fresh {
            self.database.rows.remove(&seq);
        }
        self.known = None;
        if dies {
            self.batch.clear();
        }
    }

    /// Inserts what is new of the batch.
    fn write(&mut self) -> (Stored, Said, Vec<u64>) {
        let Database { kept, rows, said } = &mut self.database;
        let mut said = *said;
        let remembered = self.known.take().or_else(|| {
            kept.as_ref().map(|(next, bitmap)| Stored::from_parts(*next, bitmap).expect("as it was kept"))
        });
        let mut known = remembered.unwrap_or_else(|| {
            let first = self.batch.first().map_or(1, |packet| packet.held_from);
            said.floor = first;
            Stored::new(first)
        });
        let mut fresh = Vec::new();
        for packet in &self.batch {
            let Packet { seq, held_from, forged } = *packet;
            let next = known.next();
            let passed = held_from.saturating_sub(next);
            let there = if passed > 0 { rows.range(next..held_from).count() as u64 } else { 0 };
            assert_eq!(known.skip_to(held_from), passed - there, "what is passed over is counted");
            said.floor = said.floor.max(held_from);
            if forged {
                said.forged_below = said.forged_below.max(held_from);
                said.forged_high = said.forged_high.max(seq);
            }
            let expected = if seq < known.next() || rows.contains(&seq) { Place::Stored } else { Place::New };
            assert_eq!(known.observe(seq), expected, "{packet:?}");
            if expected == Place::New {
                assert!(rows.insert(seq), "stored twice");
                fresh.push(seq);
            }
        }
        // All from the floor on that is there without a hole.
        let mut next = said.floor;
        for seq in rows.range(next..) {
            if *seq != next {
                break;
            }
            next += 1;
        }
        let bit = |i| u64::from(rows.contains(&(next + 1 + i))) << i;
        assert_eq!(known.ack(), (next, (0..64).map(bit).sum()), "what is told is what is there");
        (known, said, fresh)
    }

    /// What is told to be stored is here, unless it was acknowledged before, or a forger has said that it was.
    pub(super) fn is_true(&self, ack: Ack, held: &BTreeSet<u64>) {
        let Ack { next, bitmap, .. } = ack;
        let marked = (0..64).filter(|i| bitmap >> i & 1 == 1).map(|i| next + 1 + i);
        for seq in held.range(..next).copied().chain(marked) {
            let is_stored = self.database.rows.contains(&seq) || seq < self.database.said.forged_below;
            assert!(is_stored, "{seq} is told to be stored and is not");
        }
    }

    /// Goes on with another database; returns this one.
    pub(super) fn exchange(&mut self, other: Database) -> Database {
        self.batch.clear();
        self.known = None;
        std::mem::replace(&mut self.database, other)
    }

    pub(super) fn copy(&self) -> Database {
        self.database.clone()
    }

    /// The first that is missing.
    pub(super) fn next(&self) -> u64 {
        self.database.kept.as_ref().map_or(1, |(next, _)| *next)
    }

    pub(super) fn forged_below(&self) -> u64 {
        self.database.said.forged_below
    }
}
