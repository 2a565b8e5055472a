//! What was published: the truth that deliveries are compared with.

use std::collections::HashMap;

use headcast_proto::StreamId;

use crate::rng::Rng;

/// One run of one publisher.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: StreamId,
    /// Whether its publisher answers requests.
    pub(crate) repairs: bool,
    pub(crate) shape: Shape,
    pub(crate) datagrams: Vec<Published>,
}

/// One datagram that was sealed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    /// The first sequence of the message that it is part of, and how many parts that has.
    pub(crate) first: u64,
    pub(crate) count: u16,
    /// How many messages share it; 0 if it was not made for several.
    pub(crate) shared: u16,
    pub(crate) timestamp: u64,
}

impl Published {
    pub(crate) fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    /// How many messages it brings, or its message's parts together.
    pub(crate) fn messages(&self) -> u16 {
        self.shared.max(1)
    }

    /// What message `part` of it is, of a stream whose messages have this shape.
    pub(crate) fn payload(&self, id: StreamId, shape: Shape, part: u16, out: &mut Vec<u8>) {
        if self.shared > 0 {
            shared_payload(id, shape, self.first, part, out);
        } else {
            payload(id, shape, self.first, self.count, out);
        }
    }
}

impl Record {
    pub(crate) fn published(&self, seq: u64) -> Option<&Published> {
        self.datagrams.get(seq.checked_sub(1)? as usize)
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.datagrams.len() as u64
    }
}

#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) all: Vec<Record>,
    by_id: HashMap<StreamId, usize>,
}

impl Records {
    pub(crate) fn begin(&mut self, id: StreamId, shape: Shape, repairs: bool) -> usize {
        self.all.push(Record { id, repairs, shape, datagrams: Vec::new() });
        self.by_id.insert(id, self.all.len() - 1);
        self.all.len() - 1
    }

    /// Which run that is; `None` if nobody's, so that it is forged.
    pub(crate) fn find(&self, id: StreamId) -> Option<usize> {
        match self.all.last() {
            Some(last) if last.id == id => Some(self.all.len() - 1),
            _ => self.by_id.get(&id).copied(),
        }
    }
}

/// How long messages are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Bytes of each part of a message but the last.
    pub(crate) part: usize,
    /// Whether the last is as long; otherwise it may be shorter, even empty.
    pub(crate) full: bool,
}

/// Message `part` of those that share the datagram with this sequence: up to as long as a part, even empty.
pub(crate) fn shared_payload(id: StreamId, shape: Shape, seq: u64, part: u16, out: &mut Vec<u8>) {
    let one = Shape { part: shape.part, full: false };
    payload(id, one, seq ^ u64::from(part + 1) << 40, 1, out);
}

/// The payload of the message that begins with sequence `first` and has `count` parts.
pub(crate) fn payload(id: StreamId, shape: Shape, first: u64, count: u16, out: &mut Vec<u8>) {
    let seed =
        id.session.to_bits() ^ u64::from(id.publisher).rotate_left(32) ^ first.wrapping_mul(0x9e37_79b9);
    let mut rng = Rng::new(seed);
    let tail = if shape.full { shape.part } else { rng.below(shape.part as u64 + 1) as usize };
    out.clear();
    out.resize((usize::from(count) - 1) * shape.part + tail, 0);
    rng.fill(out);
}
