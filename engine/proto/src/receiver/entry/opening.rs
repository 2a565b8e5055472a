//! A session begins, or comes back.

use super::Entry;
use crate::receiver::common::Common;
use crate::receiver::told::Told;
use crate::receiver::{SILENT_NS, SKEW_MAX_NS};
use crate::{Datagram, Now, Refusal};

impl Entry {
    /// Starts a session, with the first datagram that is heard of it; the one before stays known as far as it came.
    pub(in crate::receiver) fn open(&mut self, common: &mut Common, now: Now, datagram: &Datagram<'_>) {
        let before = Some(self.id.session).filter(|session| session.to_bits() != 0);
        let session = datagram.session();
        let returns = self.retired == Some(session);
        let (seen, ended) = if returns { (self.retired_highest, self.retired_ended) } else { (0, false) };
        if before.is_some() {
            self.retired = before;
            self.retired_highest = self.window.reached();
            self.retired_ended = self.ended;
        }
        self.id.session = session;
        self.window.reset(seen);
        self.restart();
        self.ended = ended;
        (self.heard_ns, self.new_ns) = (now.mono_ns, now.mono_ns);
        (common.noticed, common.place) = (true, self.place);

        let comes_back = before.is_some_and(|before| before > session);
        let from = if returns {
            self.goes_on_at(datagram.seq(), seen)
        } else {
            common.first_awaited(datagram, comes_back)
        };
        common.told.push(Told::Opened { id: self.id, seq: datagram.seq(), from, before });
        if datagram.seq() <= seen {
            // All of it has been heard before: there is nothing to wait for yet.
            self.next = if common.order.is_some() { seen.saturating_add(1) } else { 0 };
        } else if returns {
            self.resume(common, now, datagram);
        } else {
            self.begin_at(common, now, datagram, from, comes_back);
        }
    }

    /// Begins to wait for a session from `start` on; one that comes back is not asked for its past.
    fn begin_at(
        &mut self,
        common: &mut Common,
        now: Now,
        datagram: &Datagram<'_>,
        start: u64,
        comes_back: bool,
    ) {
        let seq = datagram.seq();
        let past = if comes_back { start } else { common.history_from(datagram, start) };
        self.window.start_at(past, seq);
        let patience = self.patience(common, datagram);
        if past < start {
            self.holes.notice_past(past, start - 1, now.mono_ns, patience);
        }
        self.wait_from(common, now, datagram, start);
        if common.order.is_some() {
            self.next = past;
        }
    }

    /// A session that was heard before goes on, as far as is known where it stopped.
    #[cold]
    pub(super) fn resume(&mut self, common: &mut Common, now: Now, datagram: &Datagram<'_>) {
        let (seq, seen) = (datagram.seq(), self.window.reached());
        if seq <= seen {
            return;
        }
        let first = self.goes_on_at(seq, seen);
        self.window.start_at(first, seq);
        self.wait_from(common, now, datagram, first);
        if common.order.is_some() {
            self.next = first;
        }
    }

    /// From where on a session is awaited that comes back with `seq` and had come to `seen`.
    fn goes_on_at(&self, seq: u64, seen: u64) -> u64 {
        if seq.saturating_sub(seen) <= self.window.span() { seen.saturating_add(1) } else { seq }
    }

    /// Everything from `first` up to a datagram's sequence is missing. Even that one may yet be refused, for want
    /// of room.
    fn wait_from(&mut self, common: &mut Common, now: Now, datagram: &Datagram<'_>, first: u64) {
        let patience = self.patience(common, datagram);
        self.holes.notice(first, datagram.seq(), now.mono_ns, patience);
        self.activate(common);
    }

    /// Whether a session other than the current one may take its place.
    pub(in crate::receiver) fn admit(&self, now: Now, datagram: &Datagram<'_>) -> Result<(), Refusal> {
        let silent = now.mono_ns.saturating_sub(self.heard_ns) >= SILENT_NS;
        if datagram.session() < self.id.session {
            return if silent { Ok(()) } else { Err(Refusal::SessionOld) };
        }
        let plausible = datagram.timestamp().abs_diff(now.unix_ns) <= SKEW_MAX_NS;
        if plausible || silent || self.ended { Ok(()) } else { Err(Refusal::SessionImplausible) }
    }
}
