//! Requests for repairs: what is missing, in as few datagrams as it takes.

use zerocopy::IntoBytes;

use super::Receiver;
use super::common::Common;
use super::entry::Entry;
use crate::body::{NAK_ENTRIES_MAX, NakEntry, NakHead};
use crate::repair::ANSWER_MAX;
use crate::window::Window;
use crate::{HEADER_LEN, Now};

/// Bytes of the longest request.
pub const NAK_MAX: usize = HEADER_LEN + size_of::<NakHead>() + NAK_ENTRIES_MAX * size_of::<NakEntry>();

/// A request that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The place of the entry that it is about, which says where it goes: see [`Receiver::noticed`].
    pub place: usize,
    /// Its bytes.
    pub len: usize,
}

impl Receiver {
    /// Makes the next request that is due into `out`; call it until there is none.
    pub fn request(&mut self, now: Now, out: &mut [u8; NAK_MAX]) -> Option<Request> {
        if self.common.due_ns > now.mono_ns || self.common.own.is_none() {
            return None;
        }
        let mut asked = Asked::default();
        while let Some(place) = self.common.active.get(self.turn).copied() {
            let entry = self.table.entry_mut(place);
            if !entry.may_ask() {
                entry.holes.put_off(now.mono_ns);
                self.turn += 1;
                continue;
            }
            entry.ask(now.mono_ns, &mut asked);
            if asked.entries > 0 {
                entry.credit -= 1;
                let len = self.common.seal(entry, now, &asked, out);
                return Some(Request { place: place as usize, len });
            }
            self.turn += 1;
        }
        self.settle();
        None
    }
}

/// What one request asks for.
struct Asked {
    list: [NakEntry; NAK_ENTRIES_MAX],
    entries: usize,
    sequences: usize,
}

impl Default for Asked {
    fn default() -> Self {
        let none = NakEntry { base: 0.into(), bitmap: 0.into() };
        Self { list: [none; NAK_ENTRIES_MAX], entries: 0, sequences: 0 }
    }
}

impl Asked {
    /// Asks for what is missing between two sequences, as far as there is room; returns where to go on.
    fn add(&mut self, window: &Window, from: u64, to: u64) -> Option<u64> {
        let mut at = Some(from);
        while let Some(base) = at.and_then(|at| window.next_missing(at, to)) {
            if self.entries == NAK_ENTRIES_MAX || self.sequences == ANSWER_MAX {
                return Some(base);
            }
            let end = to.min(base.saturating_add(64));
            let mut bitmap = 0u64;
            self.sequences += 1;
            at = base.checked_add(1);
            while self.sequences < ANSWER_MAX
                && let Some(seq) = at.and_then(|at| window.next_missing(at, end))
            {
                bitmap |= 1 << (seq - base - 1);
                self.sequences += 1;
                at = seq.checked_add(1);
            }
            self.list[self.entries] = NakEntry { base: base.into(), bitmap: bitmap.into() };
            self.entries += 1;
        }
        None
    }
}

impl Entry {
    /// Adds what is due to be asked for.
    fn ask(&mut self, now_ns: u64, asked: &mut Asked) {
        let (rtt_ns, heard_ns) = (self.rtt_ns, self.heard_ns);
        let mut probe = None;
        for span in self.holes.spans_mut().filter(|span| span.ask_ns <= now_ns) {
            let fresh = span.is_fresh();
            if !fresh && (span.from..=span.to).contains(&self.probe) {
                self.probe_repeated = true;
            }
            let left = asked.add(&self.window, span.from.max(span.cursor), span.to);
            if fresh && probe.is_none() {
                probe = self.window.next_missing(span.from, span.to);
            }
            match left {
                Some(next) => {
                    span.cursor = next;
                    break;
                }
                None => span.asked(now_ns, rtt_ns, heard_ns),
            }
        }
        if let Some(seq) = probe.filter(|_| asked.entries > 0) {
            self.probe(seq, now_ns);
        }
    }
}

impl Common {
    /// Writes a request, and returns its length.
    fn seal(&mut self, entry: &Entry, now: Now, asked: &Asked, out: &mut [u8; NAK_MAX]) -> usize {
        let Some(own) = &mut self.own else { return 0 };
        let entries = &asked.list[..asked.entries];
        let head = NakHead {
            publisher: entry.id.publisher.into(),
            stream: entry.id.stream.into(),
            // At most 16.
            count: u16::try_from(asked.entries).unwrap_or(0).into(),
            session: entry.id.session.to_bits().into(),
        };
        let list = HEADER_LEN + size_of::<NakHead>();
        let len = list + size_of_val(entries);
        out[HEADER_LEN..list].copy_from_slice(head.as_bytes());
        out[list..len].copy_from_slice(entries.as_bytes());
        own.seal_nak(&mut out[..len], now);
        self.stats.requests += 1;
        self.stats.requested += asked.sequences as u64;
        len
    }
}
