//! What one run of a subscriber should know of each stream, and whether it does.

use std::collections::HashMap;

use headcast_proto::{Datagram, Kind, Now, Order, Receiver, Refusal, Session, StreamId, Verdict, body};

use super::events::Heard;
use crate::checks::ledger::{Ledger, Patience, only_what_was_published_is_believed};
use crate::checks::receiver::missing_agrees_with_what_is_awaited;
use crate::checks::{Checked, ensure};
use crate::plan::{SECOND, SubscriberPlan};
use crate::records::Records;

/// A session that is heard may be replaced after this, or by one whose time is no further off.
const SILENT_NS: u64 = 3 * SECOND;
const SKEW_MAX_NS: u64 = 30 * SECOND;
/// A session that began while the subscriber was there is awaited from its first sequence, if what is heard
/// first is not further on than this.
const FRESH_MAX: u64 = 64;

/// The session that a publisher's stream is in.
#[derive(Clone, Copy, Debug)]
struct Current {
    id: StreamId,
    /// The one before, of which it is known how far it came.
    retired: Option<StreamId>,
    /// It has come back with nothing new yet.
    quiet: bool,
    /// When it was heard last, for certain.
    heard_ns: u64,
    ended: bool,
}

#[derive(Debug)]
pub(crate) struct Ledgers {
    all: Vec<Ledger>,
    /// Which session each publisher and stream is in, as the receiver has told.
    current: HashMap<(u32, u16), Current>,
    window: u64,
    /// Sequences that the window holds for certain.
    pub(crate) span: u64,
    since_ms: u64,
    asks: bool,
    history: u64,
    hold_max_ns: Option<u64>,
    /// This step may give up before its time.
    pub(super) excused: bool,
    /// A session that nobody had was accepted.
    forged: bool,
    /// Sessions that said that they stop, or fell silent.
    pub(crate) ended: Vec<StreamId>,
    pub(crate) silent: Vec<StreamId>,
    scratch: Vec<u8>,
}

impl Ledgers {
    pub(super) fn new(plan: &SubscriberPlan, now: Now) -> Self {
        let window = plan.limits.window as u64;
        Self {
            all: Vec::new(),
            current: HashMap::new(),
            window,
            span: window - 64,
            since_ms: if plan.since { now.unix_ns / 1_000_000 } else { u64::MAX },
            asks: plan.asks,
            history: if plan.asks { plan.history } else { 0 },
            hold_max_ns: match plan.order {
                Order::AtOnce => None,
                Order::Ordered { max_hold_ns } => Some(max_hold_ns),
            },
            excused: false,
            forged: false,
            ended: Vec::new(),
            silent: Vec::new(),
            scratch: Vec::new(),
        }
    }

    pub(crate) fn of(&self, id: StreamId) -> Option<&Ledger> {
        self.all.iter().find(|ledger| ledger.id == id)
    }

    pub(crate) fn all(&self) -> &[Ledger] {
        &self.all
    }

    /// Whether that session is the current one.
    pub(crate) fn is_current(&self, id: StreamId) -> bool {
        self.current.get(&(id.publisher, id.stream)).is_some_and(|current| current.id == id)
    }

    fn of_mut(&mut self, id: StreamId, records: &Records) -> Option<&mut Ledger> {
        let at = self.all.iter().position(|ledger| ledger.id == id);
        if let Some(at) = at {
            return Some(&mut self.all[at]);
        }
        self.all.push(Ledger::new(id, records.find(id)?));
        self.all.last_mut()
    }

    /// The receiver says how many are missing.
    pub(super) fn missing_agrees(&self, receiver: &Receiver) -> Checked {
        missing_agrees_with_what_is_awaited(receiver, self.awaited(), self.unknown())
    }

    /// Whether a datagram is so far ahead that the receiver may believe it or not.
    pub(super) fn may_leap(&self, datagram: &Datagram<'_>) -> bool {
        let ledger = self.of(id_of(datagram)).filter(|ledger| self.is_noisy(ledger.id));
        ledger.is_some_and(|ledger| datagram.seq() > ledger.known + self.span)
    }

    fn awaited(&self) -> u64 {
        self.all.iter().map(|ledger| ledger.missing).sum()
    }

    /// What may be missing as well: of the past, or forged so that nobody knows how many.
    fn unknown(&self) -> u64 {
        if self.forged { u64::MAX } else { self.all.iter().map(|ledger| ledger.past).sum() }
    }

    /// A datagram was judged: what does that mean for its stream?
    pub(super) fn judged(
        &mut self,
        now: Now,
        datagram: &Datagram<'_>,
        verdict: Verdict,
        more_missing: i64,
        heard: &[Heard],
        records: &Records,
    ) -> Checked {
        let id = id_of(datagram);
        self.openings_are_plausible(now, datagram, heard)?;
        let opened =
            heard.iter().any(|heard| matches!(heard, Heard::Opened { id: opened, .. } if *opened == id));
        let accepted = matches!(verdict, Verdict::Deliver { .. } | Verdict::Kept);
        if records.find(id).is_none() {
            self.forged |= accepted || opened;
            if opened {
                self.enter(id, false);
            }
            self.hear(now, id, verdict);
            return Ok(());
        }
        if let Verdict::Deliver { opened: says, .. } = verdict {
            ensure(!opened || says, "opening_is_told", || {
                format!("{id:?} opens, its verdict is {verdict:?}")
            })?;
        }
        if opened {
            self.open(now, datagram, id, records);
        } else if accepted && self.is_current(id) && !self.is_noisy(id) {
            self.enter(id, false);
            self.resume(now, datagram, id, records);
        }
        self.hear(now, id, verdict);
        let now_ns = now.mono_ns;
        let seq = datagram.seq();
        let is_current = self.is_noisy(id);
        let span = self.span;
        let Some(ledger) = self.of_mut(id, records) else { return Ok(()) };
        match verdict {
            Verdict::Deliver { .. } => {
                only_what_was_published_is_believed(seq, records.all[ledger.record].last_seq())?;
                ledger.arrived(seq, now_ns)?;
                self.delivered_at_once(id, datagram, records)
            }
            Verdict::Kept => {
                only_what_was_published_is_believed(seq, records.all[ledger.record].last_seq())?;
                ledger.arrived(seq, now_ns)
            }
            // Of what there is no room for it is known that it exists, as of what a heartbeat names.
            Verdict::Noted | Verdict::Ended | Verdict::Refused(Refusal::Memory | Refusal::MessageTooLong)
                if is_current =>
            {
                let last = records.all[ledger.record].last_seq();
                // Whether a leap is believed shows in what is missing or lost from now on.
                let lost = heard.iter().map(|heard| lost_of(heard, id)).sum::<u64>();
                if seq <= ledger.known + span || more_missing + lost.cast_signed() > 0 {
                    only_what_was_published_is_believed(seq, last)?;
                    ledger.reveal(seq, now_ns);
                }
                Ok(())
            }
            Verdict::Duplicate => ensure(ledger.is_over(seq), "only_what_came_before_is_a_duplicate", || {
                format!("sequence {seq} of {} has not come before", id.session)
            }),
            _ => Ok(()),
        }
    }

    /// Whether that session is the current one, and has brought something new.
    fn is_noisy(&self, id: StreamId) -> bool {
        self.current.get(&(id.publisher, id.stream)).is_some_and(|current| current.id == id && !current.quiet)
    }

    /// A session is the current one now. Returns the ones before, if there were any.
    fn enter(&mut self, id: StreamId, quiet: bool) -> Option<Current> {
        let before = self.current.get(&(id.publisher, id.stream)).copied();
        let retired = match before {
            Some(before) if before.id == id => before.retired,
            before => before.map(|before| before.id),
        };
        self.current
            .insert((id.publisher, id.stream), Current { id, retired, quiet, heard_ns: 0, ended: false });
        before
    }

    /// A session is told to be opened.
    fn open(&mut self, now: Now, datagram: &Datagram<'_>, id: StreamId, records: &Records) {
        let seq = datagram.seq();
        let before = self.enter(id, false);
        if before.is_some_and(|before| before.retired == Some(id)) {
            let known = self.of(id).map_or(0, |ledger| ledger.known);
            if seq <= known {
                self.enter(id, true);
            } else {
                self.resume(now, datagram, id, records);
            }
            return;
        }
        // Silence lets an earlier session in, but what it sent in the past may have been heard in the past.
        let comes_back = before.is_some_and(|before| before.id.session > id.session);
        let fresh = datagram.session().start_ms() >= self.since_ms && seq <= FRESH_MAX;
        let start = if fresh && !comes_back { 1 } else { seq - u64::from(datagram.fragment().0) };
        let history = if datagram.may_be_repaired() && !comes_back { self.history } else { 0 };
        // What the window has no room for is not asked for.
        let low = (seq / 64 * 64).saturating_sub(self.window - 64);
        let past = start.saturating_sub(history).max(low).max(1);
        if let Some(ledger) = self.of_mut(id, records) {
            ledger.open(past, start, before_or_at(datagram), now.mono_ns);
        }
    }

    /// A session that was heard before goes on: it is awaited from where it stopped, if that is not too far.
    fn resume(&mut self, now: Now, datagram: &Datagram<'_>, id: StreamId, records: &Records) {
        let (seq, span) = (datagram.seq(), self.span);
        if let Some(ledger) = self.of_mut(id, records) {
            let start = if seq - ledger.known <= span { ledger.known + 1 } else { seq };
            ledger.open(start, start, before_or_at(datagram), now.mono_ns);
        }
    }

    /// Something was told.
    pub(super) fn told(&mut self, now: Now, heard: &Heard, bytes: &[u8], records: &Records) -> Checked {
        match *heard {
            Heard::Message { id, seq, part, timestamp, bytes: ref range } => {
                self.delivered(id, (seq, part), &bytes[range.clone()], timestamp, records)
            }
            Heard::Gap { id, from, to } => {
                let replaced = !self.is_current(id);
                let patience = Patience {
                    now_ns: now.mono_ns,
                    hold_max_ns: self.hold_max_ns.unwrap_or(u64::MAX),
                    span: self.span,
                    excused: self.excused || replaced,
                    asks: self.asks && records.find(id).is_some_and(|record| records.all[record].repairs),
                };
                match self.of_mut(id, records) {
                    Some(ledger) => ledger.gap(&records.all[ledger.record], from, to, patience),
                    None => Ok(()),
                }
            }
            Heard::Opened { id, seq, before } => self.opening_follows(id, seq, before),
            Heard::Ended { id } => {
                let again = self.ended.contains(&id);
                self.ended.push(id);
                ensure(!again || self.forged, "the_end_is_told_once", || format!("{id:?} has ended before"))
            }
            Heard::Silent { id } => {
                self.silent.push(id);
                Ok(())
            }
        }
    }

    /// Another session takes the place of one that is heard only if it is later, and its time is about now.
    fn openings_are_plausible(&self, now: Now, datagram: &Datagram<'_>, heard: &[Heard]) -> Checked {
        let id = id_of(datagram);
        let opens = heard.iter().any(|heard| matches!(heard, Heard::Opened { before: Some(_), .. }));
        let before = self.current.get(&(id.publisher, id.stream)).filter(|before| opens && before.id != id);
        let Some(before) = before.filter(|before| now.mono_ns < before.heard_ns + SILENT_NS) else {
            return Ok(());
        };
        let later = id.session > before.id.session;
        let plausible = datagram.timestamp().abs_diff(now.unix_ns) <= SKEW_MAX_NS;
        ensure(later && (plausible || before.ended), "openings_are_plausible", || {
            format!("{id:?} takes the place of {before:?}, which is heard")
        })
    }

    /// The current session is heard, if the datagram is of it and nothing is wrong with it.
    fn hear(&mut self, now: Now, id: StreamId, verdict: Verdict) {
        let fits = !matches!(verdict, Verdict::Refused(_));
        let current = self.current.get_mut(&(id.publisher, id.stream));
        if let Some(current) = current.filter(|current| current.id == id && fits) {
            current.heard_ns = now.mono_ns;
            current.ended |= verdict == Verdict::Ended;
        }
    }

    fn opening_follows(&self, id: StreamId, seq: u64, before: Option<Session>) -> Checked {
        ensure(before != Some(id.session), "a_session_does_not_replace_itself", || {
            format!("{id:?} opens at {seq}, after {before:?}")
        })
    }

    /// What a datagram brings is handed on: one message, or each of several.
    fn delivered_at_once(&mut self, id: StreamId, datagram: &Datagram<'_>, records: &Records) -> Checked {
        let (seq, payload, timestamp) = (datagram.seq(), datagram.payload(), datagram.timestamp());
        if !datagram.is_coalesced() {
            return self.delivered(id, (seq, 0), payload, timestamp, records);
        }
        (0..)
            .zip(body::coalesced(payload))
            .try_for_each(|(part, message)| self.delivered(id, (seq, part), message, timestamp, records))
    }

    fn delivered(
        &mut self,
        id: StreamId,
        place: (u64, u16),
        bytes: &[u8],
        timestamp: u64,
        records: &Records,
    ) -> Checked {
        let in_order = self.hold_max_ns.is_some();
        let mut scratch = std::mem::take(&mut self.scratch);
        let checked = match self.of_mut(id, records) {
            Some(ledger) => {
                let record = &records.all[ledger.record];
                ledger.delivered(record, place, bytes, timestamp, in_order, &mut scratch)
            }
            None => Ok(()),
        };
        self.scratch = scratch;
        checked
    }

    /// A request was made: it asks for what is missing, of a session that is current.
    pub(super) fn requested(&mut self, now: Now, bytes: &[u8], records: &Records) -> Checked {
        let parsed = Datagram::parse(bytes).and_then(|nak| body::nak(nak.payload()));
        let Ok((head, entries)) = parsed else {
            return ensure(false, "requests_are_valid", || format!("{bytes:?}"));
        };
        let session = Session::from_bits(head.session.get());
        let id = StreamId { publisher: head.publisher.get(), session, stream: head.stream.get() };
        if records.find(id).is_none() {
            return Ok(());
        }
        ensure(self.is_current(id), "only_current_sessions_are_asked", || format!("{id:?}"))?;
        let Some(ledger) = self.of_mut(id, records) else { return Ok(()) };
        body::nak_sequences(entries).try_for_each(|seq| ledger.asked(seq, now.mono_ns))
    }
}

/// What a datagram shows to be missing: what is before it, or up to what it names.
fn before_or_at(datagram: &Datagram<'_>) -> u64 {
    datagram.seq() - u64::from(datagram.kind() == Kind::Data)
}

fn id_of(datagram: &Datagram<'_>) -> StreamId {
    StreamId { publisher: datagram.publisher(), session: datagram.session(), stream: datagram.stream() }
}

/// How many sequences of a stream are told as lost.
fn lost_of(heard: &Heard, id: StreamId) -> u64 {
    match *heard {
        Heard::Gap { id: of, from, to } if of == id => to - from + 1,
        _ => 0,
    }
}
