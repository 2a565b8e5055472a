//! What the database has of responders and streams, remembered, so that it is not asked again for each batch.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;

use headcast_proto::stored::{Place, Stored};

use super::backend::{Enrolled, Progress, Stream};
use super::fold::Fresh;
use crate::{Batch, Receipt, Responder, Response, Tally};

/// How many responders are remembered, beside those of one batch; each takes about 600 bytes.
const RESPONDERS_MAX: usize = 65_536;
/// How many streams are remembered, beside those of one batch.
const STREAMS_MAX: usize = 65_536;

/// Responders of a batch that are found without a look at the table.
const RECENT: usize = 64;

/// Everything in it is in the database or in the transaction that is open.
#[derive(Default)]
pub(super) struct Known {
    slots: HashMap<Responder, usize>,
    responders: Vec<Remembered>,
    /// The slots of those that have not been looked up yet.
    strangers: Vec<usize>,
    /// The slots of the responders of this batch, each once.
    present: Vec<usize>,
    /// The slot of the responder of each response of this batch.
    slot_of: Vec<usize>,
    streams: HashMap<Stream, i64>,
}

/// A responder that is remembered.
struct Remembered {
    responder: Responder,
    /// `None` while nothing of it is stored.
    id: Option<i64>,
    stored: Stored,
    /// What this batch has of it.
    seat: Option<Seat>,
}

/// What a batch has of a responder.
struct Seat {
    /// Where its newest response came from, and when.
    source: SocketAddr,
    heard_ns: u64,
    /// Whether more is stored of it, or less is missing, than before.
    advanced: bool,
}

impl Known {
    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.slots.clear();
        self.responders.clear();
        self.strangers.clear();
        self.present.clear();
        self.slot_of.clear();
        self.streams.clear();
    }

    /// Seats the responders of a batch. Those that are not remembered have to be looked up.
    pub(super) fn meet(&mut self, batch: &Batch) -> Vec<Responder> {
        self.clear_seats();
        // All at once, and seldom: what is still needed is read again.
        if self.responders.len() >= RESPONDERS_MAX {
            self.slots.clear();
            self.responders.clear();
        }
        // Few take turns: most are found where their numbers lead to, without a hash that nobody can foresee.
        let mut recent: [Option<(Responder, usize)>; RECENT] = [None; RECENT];
        for response in batch.iter() {
            let Responder { publisher, session } = response.responder;
            let place = (u64::from(publisher) ^ session) % RECENT as u64;
            let recent = &mut recent[usize::try_from(place).unwrap_or(0)];
            let slot = match *recent {
                Some((responder, slot)) if responder == response.responder => slot,
                _ => self.slot(&response),
            };
            *recent = Some((response.responder, slot));
            self.slot_of.push(slot);
            self.seat(slot, &response);
        }
        self.strangers.iter().map(|slot| self.responders[*slot].responder).collect()
    }

    fn clear_seats(&mut self) {
        for slot in self.present.drain(..) {
            let remembered = &mut self.responders[slot];
            remembered.seat = None;
            if remembered.id.is_none() {
                // What it said of what it holds is nowhere stored, and so is not remembered either.
                remembered.stored = Stored::new(1);
            }
        }
        self.slot_of.clear();
        self.strangers.clear();
    }

    fn slot(&mut self, response: &Response<'_>) -> usize {
        match self.slots.entry(response.responder) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let slot = self.responders.len();
                let stored = Stored::new(1);
                self.responders.push(Remembered {
                    responder: response.responder,
                    id: None,
                    stored,
                    seat: None,
                });
                self.strangers.push(slot);
                *entry.insert(slot)
            }
        }
    }

    fn seat(&mut self, slot: usize, response: &Response<'_>) {
        let remembered = &mut self.responders[slot];
        if let Some(seat) = &mut remembered.seat {
            seat.source = response.source;
            seat.heard_ns = response.received_ns;
            return;
        }
        let seat = Seat { source: response.source, heard_ns: response.received_ns, advanced: false };
        remembered.seat = Some(seat);
        self.present.push(slot);
    }

    /// Takes what was found of those whom [`meet`](Self::meet) did not know, in the same order.
    pub(super) fn introduce(&mut self, found: Vec<Option<Enrolled>>) {
        for (slot, enrolled) in self.strangers.drain(..).zip(found) {
            if let Some(enrolled) = enrolled {
                let remembered = &mut self.responders[slot];
                remembered.id = Some(enrolled.id);
                // Only what somebody changed by hand cannot be read; what is certain of it is `next`.
                remembered.stored = Stored::from_parts(enrolled.next, &enrolled.bitmap)
                    .unwrap_or_else(|| Stored::new(enrolled.next));
            }
        }
    }

    /// Sorts out what is not stored yet, and marks it as stored.
    pub(super) fn observe<'a>(&mut self, batch: &'a Batch) -> (Vec<Fresh<'a>>, Tally) {
        let mut tally = Tally::default();
        let mut fresh = Vec::with_capacity(batch.len());
        for (response, &slot) in batch.iter().zip(&self.slot_of) {
            let remembered = &mut self.responders[slot];
            // What lies below has been acknowledged before, by a recorder with another database.
            let skipped = remembered.stored.skip_to(response.held_from.min(response.seq));
            tally.skipped = tally.skipped.saturating_add(skipped);
            // Of a stranger nothing is stored by that alone.
            if let (1.., Some(_), Some(seat)) = (skipped, remembered.id, &mut remembered.seat) {
                seat.advanced = true;
            }
            match remembered.stored.observe(response.seq) {
                Place::Stored => tally.duplicates += 1,
                Place::Ahead => tally.ahead += 1,
                Place::New => {
                    tally.stored += 1;
                    tally.bytes += response.result.len() as u64;
                    if let Some(seat) = &mut remembered.seat {
                        seat.advanced = true;
                    }
                    fresh.push(Fresh { response, slot, row: 0, responder_id: 0 });
                }
            }
        }
        (fresh, tally)
    }

    /// How far those responders are that have advanced.
    pub(super) fn progress(&self) -> impl Iterator<Item = Progress> {
        self.present.iter().filter_map(|slot| {
            let remembered = &self.responders[*slot];
            let seat = remembered.seat.as_ref().filter(|seat| seat.advanced)?;
            Some(Progress {
                id: remembered.id,
                responder: remembered.responder,
                next: remembered.stored.next(),
                bitmap: remembered.stored.bitmap(),
                source: seat.source,
                heard_ns: seat.heard_ns,
            })
        })
    }

    /// Gives the responders that had none their ids, in the order of [`progress`](Self::progress).
    pub(super) fn name(&mut self, ids: &[i64]) {
        let mut ids = ids.iter();
        for slot in &self.present {
            let remembered = &mut self.responders[*slot];
            if remembered.id.is_none() && remembered.seat.as_ref().is_some_and(|seat| seat.advanced) {
                remembered.id = ids.next().copied();
            }
        }
    }

    /// The id of a responder that has one; 0 is none's.
    pub(super) fn responder_id(&self, slot: usize) -> i64 {
        self.responders[slot].id.unwrap_or(0)
    }

    /// The streams of these responses that are not remembered.
    pub(super) fn missing_streams(&mut self, fresh: &[Fresh<'_>]) -> Vec<Stream> {
        if self.streams.len() >= STREAMS_MAX {
            self.streams.clear();
        }
        let mut missing = Vec::new();
        let mut last = None;
        for fresh in fresh {
            let stream = Stream::from(fresh.response.subject);
            if last == Some(stream) {
                continue;
            }
            last = Some(stream);
            if let Entry::Vacant(entry) = self.streams.entry(stream) {
                entry.insert(0);
                missing.push(stream);
            }
        }
        missing
    }

    /// Takes the ids of streams.
    pub(super) fn remember_streams(&mut self, streams: &[Stream], ids: &[i64]) {
        self.streams.extend(streams.iter().copied().zip(ids.iter().copied()));
    }

    /// The id of a stream that is remembered; 0 is none's.
    pub(super) fn stream_id(&self, stream: Stream) -> i64 {
        self.streams.get(&stream).copied().unwrap_or(0)
    }

    /// One for each responder of the batch of which something is stored.
    pub(super) fn receipts(&self, receipts: &mut Vec<Receipt>) {
        for slot in &self.present {
            let Remembered { responder, id: Some(_), stored, seat: Some(seat) } = &self.responders[*slot]
            else {
                continue;
            };
            let (next, bitmap) = stored.ack();
            receipts.push(Receipt { responder: *responder, source: seat.source, next, bitmap });
        }
    }
}
