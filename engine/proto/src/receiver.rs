//! The receiving end: who is heard, in which session, and what has been seen of it.
//!
//! One entry per (publisher, stream), in a table of fixed size. No state grows from unproven input,
//! and since nothing is authenticated, damage is bounded instead:
//!
//! - one forged sequence far ahead cannot move a window: a second one must confirm it, and only
//!   while the true position brings nothing new;
//! - a forged session replaces the current one only with a plausible time, and the one that it
//!   replaced is remembered, so that nothing of it is delivered twice;
//! - a newcomer never takes the place of a publisher that is being heard.

mod table;

use table::{Entry, Table};

use crate::header::flags;
use crate::window::Arrival;
use crate::{Datagram, Kind, Now, Refusal, Session};

/// A publisher that has sent nothing for this long is silent: three heartbeats at their slowest.
pub const SILENT_NS: u64 = 3_000_000_000;
/// How far a new session's clock may be from ours.
pub const SKEW_MAX_NS: u64 = 30_000_000_000;
/// A leap ahead counts only if the position before it has brought nothing new for this long.
pub const JUMP_AFTER_NS: u64 = 100_000_000;
/// So many datagrams of a leap, each after the one before, with nothing new from the position before
/// between them, need no wait: at a high rate, the wait would cost more than the loss behind the leap.
pub const JUMP_RUN: u32 = 256;
/// How near to the first datagram of a leap the second one must be.
pub const JUMP_SPAN: u64 = 64;

/// Bounds of a [`Receiver`].
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many (publisher, stream) pairs are tracked at a time.
    pub publishers: usize,
    /// Sequences each of them remembers: a power of two, at least 128.
    pub window: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { publishers: 256, window: 8192 }
    }
}

/// What to do with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Hand its payload on.
    Deliver {
        /// The first copy did not get here before this one.
        rescued: bool,
        /// The first datagram of a session that was not heard before.
        opened: bool,
    },
    /// Seen before.
    Duplicate,
    /// The publisher stops.
    Ended,
    /// Nothing to hand on, nothing wrong.
    Noted,
    /// Not accepted.
    Refused(Refusal),
}

/// Everything that one subscriber knows of its publishers.
#[derive(Debug)]
pub struct Receiver {
    table: Table,
    streams: Box<[u16]>,
    lost: u64,
}

impl Receiver {
    /// A receiver that accepts these streams; an empty list accepts all.
    ///
    /// Memory: about `limits.publishers x (limits.window / 8 + 128)` bytes, all of it taken here.
    ///
    /// # Panics
    /// If a limit is out of its range.
    #[must_use]
    pub fn new(limits: &Limits, streams: &[u16]) -> Self {
        Self { table: Table::new(limits), streams: streams.into(), lost: 0 }
    }

    /// Judges one received datagram.
    #[inline]
    pub fn accept(&mut self, now: Now, datagram: &Datagram<'_>) -> Verdict {
        match self.judge(now, datagram) {
            Ok(verdict) => verdict,
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    /// Sequences that were missed for good, over all publishers that have been heard.
    #[inline]
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Sequences that have not arrived, but may still.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.table.entries().map(|entry| entry.window.missing()).sum()
    }

    #[inline]
    fn judge(&mut self, now: Now, datagram: &Datagram<'_>) -> Result<Verdict, Refusal> {
        if datagram.flags() & flags::SEALED != 0 {
            return Err(Refusal::Sealed);
        }
        let wanted = match datagram.kind() {
            // Parts are for receivers that can put them together.
            Kind::Data => datagram.flags() & (flags::FRAGMENT | flags::COALESCED) == 0,
            Kind::Heartbeat | Kind::End => true,
            _ => false,
        };
        if !wanted {
            return Err(Refusal::Unexpected);
        }
        if !self.streams.is_empty() && !self.streams.contains(&datagram.stream()) {
            return Err(Refusal::Stream);
        }
        if datagram.kind() == Kind::Data {
            self.data(now, datagram)
        } else {
            Ok(self.last_seq(now, datagram))
        }
    }

    #[inline]
    fn data(&mut self, now: Now, datagram: &Datagram<'_>) -> Result<Verdict, Refusal> {
        let (entry, opened) = match self.table.find(datagram.publisher(), datagram.stream()) {
            Some(entry) if entry.session == datagram.session() => (entry, false),
            Some(entry) => {
                admit(entry, now, datagram)?;
                self.lost = self.lost.saturating_add(entry.window.lost_and_missing_since(entry.lost_booked));
                entry.change_session(datagram.session());
                (entry, true)
            }
            None => {
                let (entry, evicted) = self.table.insert(now, datagram)?;
                self.lost = self.lost.saturating_add(evicted);
                (entry, true)
            }
        };
        let arrival = match entry.window.observe(datagram.seq()) {
            Arrival::Ahead if confirms_jump(entry, now, datagram.seq()) => {
                entry.window.advance(datagram.seq());
                entry.window.observe(datagram.seq())
            }
            arrival => arrival,
        };
        match arrival {
            Arrival::New => {
                entry.heard_ns = now.mono_ns;
                entry.new_ns = now.mono_ns;
                entry.jump_run = 0;
                entry.arrivals = entry.arrivals.saturating_add(1);
                self.lost = self.lost.saturating_add(entry.book_lost());
                Ok(Verdict::Deliver { rescued: datagram.copy() > 0, opened })
            }
            Arrival::Duplicate => {
                entry.heard_ns = now.mono_ns;
                Ok(Verdict::Duplicate)
            }
            Arrival::Behind => Err(Refusal::Behind),
            Arrival::Ahead => {
                entry.note_jump(datagram.seq());
                Err(Refusal::Jump)
            }
        }
    }

    /// A heartbeat or an end: tells of sequences that may have been lost at the tail.
    fn last_seq(&mut self, now: Now, datagram: &Datagram<'_>) -> Verdict {
        let ended = datagram.kind() == Kind::End;
        let entry = self.table.find(datagram.publisher(), datagram.stream());
        // Of a session that was never heard there is nothing to miss.
        let Some(entry) = entry.filter(|entry| entry.session == datagram.session()) else {
            return Verdict::Noted;
        };
        entry.heard_ns = now.mono_ns;
        if datagram.seq().saturating_sub(entry.window.highest()) <= entry.window.span() {
            entry.window.advance(datagram.seq());
            self.lost = self.lost.saturating_add(entry.book_lost());
        }
        if ended && !std::mem::replace(&mut entry.ended, true) { Verdict::Ended } else { Verdict::Noted }
    }
}

/// Whether a session other than the current one may take its place.
fn admit(entry: &Entry, now: Now, datagram: &Datagram<'_>) -> Result<(), Refusal> {
    let silent = now.mono_ns.saturating_sub(entry.heard_ns) >= SILENT_NS;
    if datagram.session() < entry.session {
        return if silent { Ok(()) } else { Err(Refusal::SessionOld) };
    }
    let plausible = datagram.timestamp().abs_diff(now.unix_ns) <= SKEW_MAX_NS;
    if plausible || silent || entry.ended { Ok(()) } else { Err(Refusal::SessionImplausible) }
}

/// Whether a sequence far ahead is the second of its kind, and the true position is quiet.
fn confirms_jump(entry: &Entry, now: Now, seq: u64) -> bool {
    let near = entry.jump_to != 0 && entry.jump_to != seq && entry.jump_to.abs_diff(seq) <= JUMP_SPAN;
    near && (entry.jump_run >= JUMP_RUN || now.mono_ns.saturating_sub(entry.new_ns) >= JUMP_AFTER_NS)
}

impl Entry {
    /// Notes a sequence far ahead. Later copies and stragglers of the same leap change nothing.
    fn note_jump(&mut self, seq: u64) {
        if seq > self.jump_to && seq - self.jump_to <= JUMP_SPAN && self.jump_to != 0 {
            self.jump_run = self.jump_run.saturating_add(1);
        } else if seq <= self.jump_to && self.jump_to - seq <= self.window.span() {
            return;
        } else {
            self.jump_run = 0;
        }
        self.jump_to = seq;
    }

    /// What the window has lost since it was last asked.
    #[inline]
    fn book_lost(&mut self) -> u64 {
        let lost = self.window.lost() - self.lost_booked;
        self.lost_booked = self.window.lost();
        lost
    }

    /// Starts a session; the one before stays known as far as it came.
    fn change_session(&mut self, session: Session) {
        let returns = self.retired == Some(session);
        let (seen, ended) = if returns { (self.retired_highest, self.retired_ended) } else { (0, false) };
        self.retired = Some(self.session);
        self.retired_highest = self.window.reached();
        self.retired_ended = self.ended;
        self.session = session;
        self.window.reset(seen);
        self.restart();
        self.ended = ended;
    }
}

#[cfg(test)]
mod tests;
