//! Publishers for the tests, and what a receiver tells.

use super::*;
use crate::header::{HEADER_LEN, PATH_OFFSET, path};

/// Some day in 2026.
const EPOCH_MS: u64 = 1_790_000_000_000;
pub(super) const MS: u64 = 1_000_000;

/// So many milliseconds after the beginning.
pub(super) fn at(ms: u64) -> Now {
    at_ns(ms * MS)
}

/// So many nanoseconds after the beginning.
pub(super) fn at_ns(ns: u64) -> Now {
    Now { mono_ns: ns, unix_ns: EPOCH_MS * MS + ns }
}

/// A publisher whose datagrams can be had by number.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) publisher: u32,
    pub(super) session: Session,
    pub(super) stream: u16,
    /// In every datagram.
    pub(super) flags: u8,
}

impl Source {
    pub(super) fn new(publisher: u32, started_ms: u64) -> Self {
        Self { publisher, session: Session::new(EPOCH_MS + started_ms, 77), stream: 0, flags: 0 }
    }

    pub(super) fn without_repair(self) -> Self {
        Self { flags: flags::NO_REPAIR, ..self }
    }

    pub(super) fn id(&self) -> StreamId {
        StreamId { publisher: self.publisher, session: self.session, stream: self.stream }
    }

    pub(super) fn bytes(&self, seq: u64, path: u8, now: Now) -> Vec<u8> {
        self.bytes_of(seq, path, &seq.to_le_bytes(), now)
    }

    fn bytes_of(&self, seq: u64, path: u8, payload: &[u8], now: Now) -> Vec<u8> {
        let mut bytes = [&[0; HEADER_LEN], payload].concat();
        Sequencer::new(self.publisher, self.session, self.stream).seal(&mut bytes, now);
        bytes[1] = self.flags;
        bytes[24..32].copy_from_slice(&seq.to_le_bytes());
        bytes[PATH_OFFSET] = path;
        bytes
    }

    /// Sends a message of one datagram, whose payload is its sequence.
    pub(super) fn send(&self, to: &mut Receiver, seq: u64, path: u8, now: Now) -> Verdict {
        accept(to, &self.bytes(seq, path, now), now)
    }

    /// Sends a datagram with these messages.
    pub(super) fn shared(
        &self,
        to: &mut Receiver,
        seq: u64,
        messages: &[&[u8]],
        path: u8,
        now: Now,
    ) -> Verdict {
        accept(to, &self.shared_bytes(seq, messages, path, now), now)
    }

    pub(super) fn shared_bytes(&self, seq: u64, messages: &[&[u8]], path: u8, now: Now) -> Vec<u8> {
        let len = |message: &[u8]| u16::try_from(message.len()).expect("short").to_le_bytes();
        let payload: Vec<u8> =
            messages.iter().flat_map(|message| [&len(message), *message].concat()).collect();
        let mut bytes = self.bytes_of(seq, path, &payload, now);
        bytes[1] |= flags::COALESCED;
        bytes[12..14].copy_from_slice(&u16::try_from(messages.len()).expect("few").to_le_bytes());
        bytes
    }

    /// Sends what was asked for.
    pub(super) fn repair(&self, to: &mut Receiver, seq: u64, now: Now) -> Verdict {
        self.send(to, seq, path::RETRANSMISSION, now)
    }

    /// Sends part `index` of the `count` parts of the message that begins at `first`.
    pub(super) fn part(
        &self,
        to: &mut Receiver,
        first: u64,
        (index, count): (u16, u16),
        payload: &[u8],
        now: Now,
    ) -> Verdict {
        self.part_on(to, first, (index, count), payload, 0, now)
    }

    /// As [`part`](Self::part), with this path byte.
    pub(super) fn part_on(
        &self,
        to: &mut Receiver,
        first: u64,
        (index, count): (u16, u16),
        payload: &[u8],
        path: u8,
        now: Now,
    ) -> Verdict {
        let mut bytes = self.bytes_of(first + u64::from(index), path, payload, now);
        bytes[1] |= flags::FRAGMENT;
        bytes[12..14].copy_from_slice(&index.to_le_bytes());
        bytes[14..16].copy_from_slice(&count.to_le_bytes());
        accept(to, &bytes, now)
    }

    pub(super) fn heartbeat(&self, to: &mut Receiver, seq: u64, now: Now) -> Verdict {
        self.last(to, Kind::Heartbeat, seq, now)
    }

    pub(super) fn end(&self, to: &mut Receiver, seq: u64, now: Now) -> Verdict {
        self.last(to, Kind::End, seq, now)
    }

    fn last(&self, to: &mut Receiver, kind: Kind, seq: u64, now: Now) -> Verdict {
        accept(to, &self.last_bytes(kind, seq, now), now)
    }

    /// That `seq` is the last.
    pub(super) fn last_bytes(&self, kind: Kind, seq: u64, now: Now) -> Vec<u8> {
        let mut bytes = self.bytes_of(seq, 0, b"", now);
        bytes[0] = kind.first_byte();
        bytes
    }
}

pub(super) fn accept(to: &mut Receiver, bytes: &[u8], now: Now) -> Verdict {
    to.accept(now, &Datagram::parse(bytes).expect("valid"))
}

/// What a receiver tells, without the sessions that it opens.
pub(super) fn events(of: &mut Receiver) -> Vec<String> {
    all_events(of).into_iter().filter(|event| !event.starts_with("opened")).collect()
}

/// What a receiver tells: `4` is the message that begins at 4, `4-6` a gap.
pub(super) fn all_events(of: &mut Receiver) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(event) = of.event() {
        told.push(match event {
            Event::Message { seq, .. } => seq.to_string(),
            Event::Gap { from, to, .. } => format!("{from}-{to}"),
            Event::Opened { seq, .. } => format!("opened at {seq}"),
            Event::Ended { .. } => "ended".to_owned(),
            Event::Silent { .. } => "silent".to_owned(),
        });
    }
    told
}

/// The messages that come with events: the first sequence and the payload of each.
pub(super) fn messages(of: &mut Receiver) -> Vec<(u64, Vec<u8>)> {
    let mut messages = Vec::new();
    while let Some(event) = of.event() {
        if let Event::Message { seq, payload, .. } = event {
            messages.push((seq, payload.to_vec()));
        }
    }
    messages
}

/// Lets time pass: everything is done when it is due, and no sooner. Returns what is told.
pub(super) fn pass(of: &mut Receiver, until: Now) -> Vec<String> {
    let mut told = events(of);
    while of.deadline_ns() <= until.mono_ns {
        let now = at_ns(of.deadline_ns());
        of.tick(now);
        told.append(&mut events(of));
        while of.request(now, &mut [0; NAK_MAX]).is_some() {}
    }
    told
}

/// What a receiver asks for now: the sequences of each request.
pub(super) fn requests(of: &mut Receiver, now: Now) -> Vec<Vec<u64>> {
    of.tick(now);
    let (mut asked, mut bytes) = (Vec::new(), [0; NAK_MAX]);
    while let Some(request) = of.request(now, &mut bytes) {
        let nak = Datagram::parse(&bytes[..request.len]).expect("a valid request");
        let (_, entries) = crate::body::nak(nak.payload()).expect("a request for repairs");
        asked.push(crate::body::nak_sequences(entries).collect());
    }
    asked
}
