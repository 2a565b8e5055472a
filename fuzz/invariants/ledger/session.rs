//! The books of one session: every sequence from the first one heard on comes once, or is told once as
//! lost.

use std::collections::BTreeMap;

use headcast_proto::header::path;
use headcast_proto::{Datagram, body};

/// A datagram that counted.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) index: u16,
    pub(super) count: u16,
    /// What it brings: the messages that share it, or one message, or a part of one.
    pub(super) messages: Vec<Vec<u8>>,
    /// How many of those were handed on after it was kept.
    unpacked: usize,
    pub(super) timestamp: u64,
    pub(super) rescued: bool,
    came_ns: u64,
    handed_on: bool,
}

impl Part {
    pub(super) fn new(datagram: &Datagram<'_>, came_ns: u64) -> Self {
        let (index, count) = datagram.fragment();
        let payload = datagram.payload();
        let messages = match datagram.is_coalesced() {
            true => body::coalesced(payload).map(<[u8]>::to_vec).collect(),
            false => vec![payload.to_vec()],
        };
        assert_eq!(messages.len(), usize::from(datagram.messages()));
        Self {
            index,
            count,
            messages,
            unpacked: 0,
            timestamp: datagram.timestamp(),
            rescued: datagram.header().path & (path::COPY | path::RETRANSMISSION) != 0,
            came_ns,
            handed_on: false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Heard {
    /// From here on nothing may be missing silently.
    pub(super) begins: Option<u64>,
    pub(super) ended: bool,
    parts: BTreeMap<u64, Part>,
    /// The first and the last of each gap that was told.
    gaps: BTreeMap<u64, u64>,
    /// In order: the last sequence that was handed on.
    handed_to: u64,
    /// Parts of messages have come, and they may contradict each other.
    parted: bool,
    /// When each sequence was asked for the last time.
    pub(super) asked_ns: BTreeMap<u64, u64>,
}

impl Heard {
    pub(super) fn has(&self, seq: u64) -> bool {
        self.parts.contains_key(&seq)
    }

    pub(super) fn is_handed_on(&self, seq: u64) -> bool {
        self.parts.get(&seq).is_some_and(|part| part.handed_on)
    }

    pub(super) fn is_told(&self, seq: u64) -> bool {
        self.gaps.range(..=seq).next_back().is_some_and(|(_, to)| seq <= *to)
    }

    /// The last sequence that came or was told.
    pub(super) fn end(&self) -> u64 {
        let told = self.gaps.last_key_value().map_or(0, |(_, to)| *to);
        self.parts.last_key_value().map_or(0, |(seq, _)| *seq).max(told)
    }

    pub(super) fn arrives(&mut self, seq: u64, part: Part) {
        assert!(!self.is_told(seq), "came after it was told as a gap: {seq}");
        self.parted |= part.count > 1;
        assert!(self.parts.insert(seq, part).is_none(), "came twice: {seq}");
    }

    pub(super) fn gap(&mut self, from: u64, to: u64, ordered: bool) {
        assert!(1 <= from && from <= to);
        // What came of a message whose rest never did may be told after all.
        let in_vain = |part: &Part| part.count > 1 && !part.handed_on;
        assert!(
            self.parts.range(from..=to).all(|(_, part)| in_vain(part)),
            "told as a gap, yet it came: {from}-{to}"
        );
        let told = self.gaps.range(..=to).next_back().is_some_and(|(_, to)| from <= *to);
        assert!(!told, "told twice: {from}-{to}");
        assert!(!ordered || from > self.handed_to, "told after what follows it: {from}-{to}");
        self.gaps.insert(from, to);
    }

    /// What the message that begins here must be: how many parts, and ((timestamp, rescued), payload).
    pub(super) fn message(&self, first: u64) -> (u16, ((u64, bool), Vec<u8>)) {
        let head = self.parts.get(&first).expect("a message that never came");
        let (mut rescued, mut payload) = (false, Vec::new());
        for index in 0..head.count {
            let seq = first + u64::from(index);
            let part = self.parts.get(&seq).expect("a message with a part that never came");
            assert_eq!((part.index, part.count), (index, head.count), "parts of different messages");
            rescued |= part.rescued;
            payload.extend_from_slice(&part.messages[0]);
        }
        (head.count, ((head.timestamp, rescued), payload))
    }

    /// Books that message `part` of the datagram that was kept is handed on; returns what it must be, and whether
    /// another follows.
    pub(super) fn unpack(&mut self, seq: u64, part: u16) -> (Vec<u8>, bool) {
        let datagram = self.parts.get_mut(&seq).expect("a message that never came");
        assert_eq!(usize::from(part), datagram.unpacked, "the messages of a datagram come in order: {seq}");
        datagram.unpacked += 1;
        let message = datagram.messages.get(usize::from(part)).expect("a message that its datagram has");
        (message.clone(), datagram.unpacked < datagram.messages.len())
    }

    pub(super) fn hand_on(&mut self, first: u64, count: u16, ordered: bool) {
        let last = first + u64::from(count - 1);
        for (seq, part) in self.parts.range_mut(first..=last) {
            assert!(!std::mem::replace(&mut part.handed_on, true), "handed on twice: {seq}");
        }
        if ordered {
            assert!(first > self.handed_to, "out of order: {first} after {}", self.handed_to);
            self.handed_to = last;
        }
    }

    /// In order: everything between what was handed on last and this has come or been told.
    pub(super) fn nothing_is_open_before(&self, seq: u64) {
        let begins = self.begins.expect("a session that began").max(self.handed_to.saturating_add(1));
        if begins < seq {
            assert_eq!(self.open_between(begins, seq - 1), 0, "missing and not told, before {seq}");
        }
    }

    /// Whole messages that came before this time have been handed on, if no parted one is in the way.
    pub(super) fn holds_nothing_since(&self, since_ns: u64) {
        if !self.parted {
            let mut held = self.parts.range(self.handed_to.saturating_add(1)..);
            let late = held.find(|(_, part)| !part.handed_on && part.came_ns < since_ns);
            assert!(late.is_none(), "held back for too long: {late:?}");
        }
    }

    /// Everything has come or been told, and every message that is not in parts has been handed on.
    pub(super) fn is_complete(&self, nothing_kept: bool) {
        let Some(begins) = self.begins.filter(|begins| *begins <= self.end()) else { return };
        assert_eq!(self.open_between(begins, self.end()), 0, "missing and not told");
        if nothing_kept {
            let left = self.parts.iter().find(|(_, part)| part.count == 1 && !part.handed_on);
            assert!(left.is_none(), "never handed on: {left:?}");
        }
    }

    /// How many sequences have neither come nor been told.
    fn open_between(&self, from: u64, to: u64) -> u128 {
        let told = |(first, last): (&u64, &u64)| match ((*first).max(from), (*last).min(to)) {
            (first, last) if first <= last => u128::from(last - first) + 1,
            _ => 0,
        };
        let told: u128 = self.gaps.iter().map(told).sum();
        let came = self.parts.range(from..=to).filter(|(seq, _)| !self.is_told(**seq)).count();
        u128::from(to - from) + 1 - told - came as u128
    }
}
