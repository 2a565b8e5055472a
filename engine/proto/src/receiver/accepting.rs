//! What comes in is judged: nearly all in a few steps, everything in many.

use super::common::Common;
use super::entry::{Entry, Outcome};
use super::told::Told;
use super::{Receiver, SWEEP_NS, Verdict};
use crate::header::flags;
use crate::{Datagram, Kind, Now, Refusal};

impl Receiver {
    /// Books a datagram if it is what nearly all are: the first copy of a plain message, the one after the last of a
    /// session that is known, with nothing else to be told before it. Returns whether it is, and so to be handed on as it
    /// lies there; if not, nothing has changed, and the rest of
    /// [`accept`](Self::accept) is [`accept_other`](Self::accept_other).
    // Always: as a function it costs a tenth of what a datagram does.
    #[expect(clippy::inline_always, reason = "measured")]
    #[inline(always)]
    pub fn accept_next(&mut self, now: Now, datagram: &Datagram<'_>) -> bool {
        if !datagram.is_plain() || !datagram.is_first_copy() || self.has_more() {
            return false;
        }
        let Self { table, common, .. } = self;
        match table.find(datagram.publisher(), datagram.stream()) {
            Some(entry) if entry.id.session == datagram.session() => {
                entry.hand_on_next(common, now, datagram)
            }
            _ => false,
        }
    }

    /// Judges one received datagram. Then ask for [`event`](Self::event)s until there is none.
    #[inline]
    pub fn accept(&mut self, now: Now, datagram: &Datagram<'_>) -> Verdict {
        if self.accept_next(now, datagram) {
            return Verdict::Deliver { rescued: false, opened: false };
        }
        self.accept_other(now, datagram)
    }

    /// As [`accept`](Self::accept), of what [`accept_next`](Self::accept_next) has not taken.
    pub fn accept_other(&mut self, now: Now, datagram: &Datagram<'_>) -> Verdict {
        match self.judge(now, datagram) {
            Ok(verdict) => verdict,
            Err(Outcome::Duplicate) => Verdict::Duplicate,
            Err(Outcome::Refused(refusal)) => Verdict::Refused(refusal),
        }
    }

    fn judge(&mut self, now: Now, datagram: &Datagram<'_>) -> Result<Verdict, Outcome> {
        if datagram.kind() == Kind::Data && datagram.flags() & flags::SEALED == 0 {
            return self.data(now, datagram);
        }
        match datagram.kind() {
            _ if datagram.flags() & flags::SEALED != 0 => Err(Outcome::Refused(Refusal::Sealed)),
            Kind::Heartbeat | Kind::End => self.last_seq(now, datagram),
            _ => Err(Outcome::Refused(Refusal::Unexpected)),
        }
    }

    fn data(&mut self, now: Now, datagram: &Datagram<'_>) -> Result<Verdict, Outcome> {
        let Self { table, common, .. } = self;
        if let Some(entry) = table.find(datagram.publisher(), datagram.stream())
            && entry.id.session == datagram.session()
        {
            return entry.take(common, now, datagram, false);
        }
        self.open(now, datagram).map_err(Outcome::Refused)?;
        let Self { table, common, .. } = self;
        table.entry_mut(common.place).take(common, now, datagram, true)
    }

    /// A heartbeat or an end: tells of sequences that may have been lost at the tail.
    fn last_seq(&mut self, now: Now, datagram: &Datagram<'_>) -> Result<Verdict, Outcome> {
        let ended = datagram.kind() == Kind::End;
        let entry = self.table.find(datagram.publisher(), datagram.stream());
        if entry.is_none_or(|entry| entry.id.session != datagram.session()) {
            // Of a session that was never heard there is nothing to miss, unless it has only just begun.
            self.check_stream(datagram).map_err(Outcome::Refused)?;
            if !self.common.is_fresh(datagram) || self.open(now, datagram).is_err() {
                return Ok(Verdict::Noted);
            }
        }
        let common = &mut self.common;
        let entry = self.table.entry_mut(self.table.last());
        common.place = entry.place;
        entry.told_last(common, now, datagram);
        if ended && !std::mem::replace(&mut entry.ended, true) {
            common.told.push(Told::Ended(entry.id));
            return Ok(Verdict::Ended);
        }
        Ok(Verdict::Noted)
    }

    /// Whether the stream is wanted. Those of known publishers are.
    fn check_stream(&self, datagram: &Datagram<'_>) -> Result<(), Refusal> {
        if self.streams.is_empty() || self.streams.contains(&datagram.stream()) {
            return Ok(());
        }
        Err(Refusal::Stream)
    }

    /// Starts the session of a datagram, if it may take the place of another.
    #[cold]
    fn open(&mut self, now: Now, datagram: &Datagram<'_>) -> Result<(), Refusal> {
        self.check_stream(datagram)?;
        let (publisher, stream) = (datagram.publisher(), datagram.stream());
        let common = &mut self.common;
        if let Some(entry) = self.table.find(publisher, stream) {
            entry.admit(now, datagram)?;
            entry.close(common);
            entry.open(common, now, datagram);
        } else {
            let entry = self.table.insert(now, publisher, stream, |entry| entry.close(common))?;
            entry.open(common, now, datagram);
        }
        if self.sweep_ns == u64::MAX {
            self.sweep_ns = now.mono_ns.saturating_add(SWEEP_NS);
        }
        Ok(())
    }
}

impl Entry {
    /// Books a whole message's datagram if it is the next one, and nothing waits that comes before it; returns whether it
    /// is.
    // Always: as a function it costs a tenth of what a datagram does.
    #[expect(clippy::inline_always, reason = "measured")]
    #[inline(always)]
    pub(super) fn hand_on_next(&mut self, common: &mut Common, now: Now, datagram: &Datagram<'_>) -> bool {
        let (seq, in_order) = (datagram.seq(), common.order.is_some());
        // Nothing that waits is beyond the highest: if the one after that is in its turn, nothing waits.
        if in_order && seq != self.next || !self.extend(common, now, datagram) {
            return false;
        }
        if in_order {
            self.next = seq.saturating_add(1);
        }
        true
    }
}
