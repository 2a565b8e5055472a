//! One (publisher, stream): its session, what has arrived of it, and what is missing.

mod opening;

use super::common::Common;
use super::holes::{Holes, LAG_MAX_NS, Patience, RTT_MAX_NS, Span};
use super::store::List;
use super::told::Told;
use super::{JUMP_AFTER_NS, JUMP_RUN, JUMP_SPAN, StreamId, Verdict};
use crate::header::flags;
use crate::window::Arrival;
use crate::{Datagram, Now, Refusal, Session, Window};

/// Requests that may be made at once, and for how many datagrams there is one more.
const REQUESTS_BURST: u64 = 64;
const HEARD_EACH: u64 = 4;

#[derive(Debug)]
pub(super) struct Entry {
    /// Where it is in the table.
    pub(super) place: u32,
    pub(super) id: StreamId,
    pub(super) window: Window,
    pub(super) holes: Holes,
    /// Datagrams that cannot be handed on yet.
    pub(super) kept: List,
    /// In order: the next sequence to hand on. At once: 0, or the first of a message that is complete.
    pub(super) next: u64,
    /// Monotonic time of the last datagram that fitted the session.
    pub(super) heard_ns: u64,
    /// Monotonic time of the last one that was new.
    new_ns: u64,
    /// How many were new, heartbeats included.
    pub(super) arrivals: u64,
    /// How many requests may be made, and how many had arrived when that was last reckoned.
    pub(super) credit: u64,
    credited: u64,
    /// The candidate of a leap ahead; 0 for none.
    jump_to: u64,
    /// How many datagrams in a row have gone on from it.
    jump_run: u32,
    pub(super) ended: bool,
    pub(super) silent: bool,
    /// Its place is in the list of those that have holes.
    pub(super) active: bool,
    /// Its place is in the list of those that may have messages.
    pub(super) working: bool,
    /// Our clock less the publisher's timestamp, of the last first copy; only differences mean anything.
    transit_ns: u64,
    /// The last copy that has been seen, and how long after the first one it comes.
    copy: u8,
    lag_ns: u64,
    pub(super) rtt_ns: u64,
    /// The sequence that was asked for to measure the round trip, and when; 0 for none.
    pub(super) probe: u64,
    probe_ns: u64,
    /// It was asked for again, so which of the requests is answered cannot be told.
    pub(super) probe_repeated: bool,
    given_up: GivenUp,
    /// The session before, how far it had come, and whether it had ended.
    retired: Option<Session>,
    retired_highest: u64,
    retired_ended: bool,
}

impl Entry {
    pub(super) fn new(place: u32, window: usize) -> Self {
        Self {
            place,
            id: StreamId { publisher: 0, session: Session::from_bits(0), stream: 0 },
            window: Window::new(window),
            holes: Holes::new(),
            kept: List::EMPTY,
            next: 0,
            heard_ns: 0,
            new_ns: 0,
            arrivals: 0,
            credit: 0,
            credited: 0,
            jump_to: 0,
            jump_run: 0,
            ended: false,
            silent: false,
            active: false,
            working: false,
            transit_ns: 0,
            copy: 0,
            lag_ns: 0,
            rtt_ns: 0,
            probe: 0,
            probe_ns: 0,
            probe_repeated: false,
            given_up: GivenUp::default(),
            retired: None,
            retired_highest: 0,
            retired_ended: false,
        }
    }

    /// Becomes the entry of another publisher or stream; no session yet.
    pub(super) fn begin(&mut self, publisher: u32, stream: u16) {
        self.id = StreamId { publisher, session: Session::from_bits(0), stream };
        self.window.reset(0);
        (self.retired, self.retired_highest, self.retired_ended) = (None, 0, false);
        (self.copy, self.lag_ns, self.rtt_ns) = (0, 0, 0);
        self.restart();
    }

    /// Forgets what belongs to a session.
    fn restart(&mut self) {
        (self.arrivals, self.jump_to, self.jump_run, self.ended, self.silent) = (0, 0, 0, false, false);
        (self.next, self.probe) = (0, 0);
        (self.credit, self.credited) = (REQUESTS_BURST, 0);
        self.given_up = GivenUp::default();
    }

    /// Gives up what the session misses; what waits for its turn is handed on without it.
    pub(super) fn close(&mut self, common: &mut Common) {
        self.give_up_all(common);
        common.let_go(&mut self.kept);
    }

    /// Gives up everything that is missing.
    pub(super) fn give_up_all(&mut self, common: &mut Common) {
        while let Some(span) = self.holes.take(|_| true) {
            self.give_up(common, span);
        }
    }

    /// Books a datagram's sequence, if it is the one after the highest and in the same block.
    #[inline]
    pub(super) fn extend(&mut self, common: &mut Common, now: Now, datagram: &Datagram<'_>) -> bool {
        let next = self.window.extend(datagram.seq());
        if next {
            self.note_new(common, now, datagram);
        }
        next
    }

    /// Takes a datagram of the session in.
    pub(super) fn take(
        &mut self,
        common: &mut Common,
        now: Now,
        datagram: &Datagram<'_>,
        opened: bool,
    ) -> Result<Verdict, Outcome> {
        common.place = self.place;
        if datagram.flags() & flags::FRAGMENT != 0 || common.order.is_some() {
            return self.keep(common, now, datagram, opened);
        }
        self.arrive(common, now, datagram)?;
        Ok(Verdict::Deliver { rescued: !datagram.is_first_copy(), opened })
    }

    /// Books a datagram's sequence. `Ok` if it is new.
    #[inline]
    pub(super) fn arrive(
        &mut self,
        common: &mut Common,
        now: Now,
        datagram: &Datagram<'_>,
    ) -> Result<(), Outcome> {
        let (seq, highest) = (datagram.seq(), self.window.highest());
        if self.extend(common, now, datagram) {
            return Ok(());
        }
        if seq > highest {
            if highest == 0 {
                self.resume(common, now, datagram);
            } else if seq - highest > self.window.span() && !self.confirms_jump(now, seq) {
                self.note_jump(seq);
                return Err(Outcome::Refused(Refusal::Jump));
            } else if seq != highest + 1 || seq.is_multiple_of(64) {
                // Not the next one, or the first of a block, for which the window moves.
                self.reach(common, now, datagram, seq - 1);
            }
        }
        match self.window.observe(seq) {
            Arrival::New => {
                self.note_new(common, now, datagram);
                Ok(())
            }
            Arrival::Duplicate => {
                self.heard_ns = now.mono_ns;
                self.time(now, datagram);
                Err(if self.given_up.has(seq) { Outcome::Refused(Refusal::Late) } else { Outcome::Duplicate })
            }
            Arrival::Behind => Err(Outcome::Refused(Refusal::Behind)),
            // The leap was confirmed, so the window has moved.
            Arrival::Ahead => Err(Outcome::Refused(Refusal::Jump)),
        }
    }

    #[inline]
    fn note_new(&mut self, common: &mut Common, now: Now, datagram: &Datagram<'_>) {
        (self.heard_ns, self.new_ns) = (now.mono_ns, now.mono_ns);
        self.jump_run = 0;
        self.silent = false;
        self.arrivals += 1;
        self.time(now, datagram);
        if datagram.is_retransmission() {
            common.stats.repaired += 1;
        }
    }

    /// A heartbeat or an end: what it names may be missing.
    pub(super) fn told_last(&mut self, common: &mut Common, now: Now, datagram: &Datagram<'_>) {
        self.heard_ns = now.mono_ns;
        self.silent = false;
        self.arrivals += 1;
        let (seq, highest) = (datagram.seq(), self.window.highest());
        if highest == 0 {
            return;
        }
        if seq > highest && (seq - highest <= self.window.span() || self.confirms_jump(now, seq)) {
            self.reach(common, now, datagram, seq);
            self.window.advance(seq);
        } else if seq > highest {
            self.note_jump(seq);
        }
    }

    /// The stream has come beyond `seq`, or up to it: what is missing until there is noticed, and what leaves
    /// the window is given up.
    fn reach(&mut self, common: &mut Common, now: Now, datagram: &Datagram<'_>, seq: u64) {
        let highest = self.window.highest();
        let low = self.window.low_at(datagram.seq());
        while let Some(span) = self.holes.take_below(low) {
            self.give_up(common, span);
        }
        if common.order.is_none() {
            common.drop_below(&mut self.kept, low);
        }
        if highest + 1 < low {
            common.drop_beyond(&mut self.kept, highest);
            // A leap: these never had a place.
            let lost = low - highest - 1;
            common.lost = common.lost.saturating_add(lost);
            common.told.push(Told::LostRange { id: self.id, from: highest + 1, to: low - 1 });
        }
        let from = low.max(highest + 1);
        if from <= seq {
            self.window.advance(datagram.seq());
            let patience = self.patience(common, datagram);
            let due_ns = self.holes.notice(from, seq, now.mono_ns, patience);
            common.due_ns = common.due_ns.min(due_ns);
            self.activate(common);
        }
    }

    /// What is missing in a span will not be waited for any more, nor handed on if it comes.
    pub(super) fn give_up(&mut self, common: &mut Common, span: Span) {
        let Self { window, kept, given_up, id, .. } = self;
        common.drop_messages_that_miss(kept, window, span.from, span.to);
        window.fill(span.from, span.to, |base, mask| {
            if !span.past {
                common.lost = common.lost.saturating_add(mask.count_ones().into());
                common.told.push(Told::Lost { id: *id, base, mask });
                given_up.note(base, mask);
            }
        });
        common.work(self);
    }

    /// Puts the entry into the list of those that have holes, if it has.
    fn activate(&mut self, common: &mut Common) {
        if self.holes.is_empty() {
            return;
        }
        common.due_ns = common.due_ns.min(self.holes.due_ns());
        if !std::mem::replace(&mut self.active, true) {
            common.active.push(self.place);
        }
        common.noticed = true;
    }

    fn patience(&self, common: &Common, datagram: &Datagram<'_>) -> Patience {
        Patience {
            lag_ns: self.lag_ns,
            rtt_ns: self.rtt_ns,
            hold_max_ns: common.order.unwrap_or(u64::MAX),
            ask: common.own.is_some() && datagram.may_be_repaired(),
        }
    }

    /// Learns how long after the first copy the last one comes, and how long a request takes.
    #[inline]
    fn time(&mut self, now: Now, datagram: &Datagram<'_>) {
        if datagram.is_first_copy() {
            self.transit_ns = now.mono_ns.wrapping_sub(datagram.timestamp());
        } else {
            self.time_later(now, datagram);
        }
    }

    fn time_later(&mut self, now: Now, datagram: &Datagram<'_>) {
        if datagram.is_retransmission() {
            if self.probe == datagram.seq() {
                let sample_ns = now.mono_ns.saturating_sub(self.probe_ns).min(RTT_MAX_NS);
                // Karn's algorithm, but for what is too long to be known from anything else: otherwise a way of
                // more than the least time between two requests would never be learned.
                let told = !self.probe_repeated || sample_ns > 2 * self.rtt_ns;
                if self.rtt_ns == 0 {
                    self.rtt_ns = sample_ns;
                } else if told {
                    self.rtt_ns = (7 * self.rtt_ns + sample_ns) / 8;
                }
                self.probe = 0;
            }
            return;
        }
        if datagram.copy() < self.copy {
            return;
        }
        let transit_ns = now.mono_ns.wrapping_sub(datagram.timestamp());
        let late_ns = transit_ns.wrapping_sub(self.transit_ns).cast_signed();
        let late_ns = u64::try_from(late_ns).unwrap_or(0).min(LAG_MAX_NS);
        self.lag_ns = if datagram.copy() > self.copy { late_ns } else { (7 * self.lag_ns + late_ns) / 8 };
        self.copy = datagram.copy();
    }

    /// Whether one more request may be made. Who makes us ask pays for it in datagrams: with the least of them,
    /// somebody else's address could otherwise be made the target of much more than was sent.
    pub(super) fn may_ask(&mut self) -> bool {
        let heard = self.arrivals - self.credited;
        self.credited += heard - heard % HEARD_EACH;
        self.credit = (self.credit + heard / HEARD_EACH).min(REQUESTS_BURST);
        self.credit > 0
    }

    /// Notes that a sequence is asked for, for the first time.
    pub(super) fn probe(&mut self, seq: u64, now_ns: u64) {
        if self.probe == 0 || now_ns.saturating_sub(self.probe_ns) > RTT_MAX_NS {
            (self.probe, self.probe_ns, self.probe_repeated) = (seq, now_ns, false);
        }
    }

    /// Whether a sequence far ahead is the second of its kind, and the true position is quiet.
    fn confirms_jump(&self, now: Now, seq: u64) -> bool {
        let near = self.jump_to != 0 && self.jump_to != seq && self.jump_to.abs_diff(seq) <= JUMP_SPAN;
        near && (self.jump_run >= JUMP_RUN || now.mono_ns.saturating_sub(self.new_ns) >= JUMP_AFTER_NS)
    }

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
}

/// Why a sequence is not new.
pub(super) enum Outcome {
    Duplicate,
    Refused(Refusal),
}

/// What was given up last.
#[derive(Clone, Copy, Debug, Default)]
struct GivenUp {
    /// A block's first sequence, and a bit for each.
    blocks: [(u64, u64); 8],
    /// Higher than any of them.
    end: u64,
}

impl GivenUp {
    fn note(&mut self, base: u64, mask: u64) {
        self.blocks.rotate_right(1);
        self.blocks[0] = (base, mask);
        self.end = self.end.max(base.saturating_add(64));
    }

    #[inline]
    fn has(&self, seq: u64) -> bool {
        seq < self.end && self.find(seq)
    }

    #[cold]
    fn find(&self, seq: u64) -> bool {
        self.blocks
            .iter()
            .any(|(base, mask)| seq >= *base && seq - base < 64 && mask >> (seq - base) & 1 == 1)
    }
}
