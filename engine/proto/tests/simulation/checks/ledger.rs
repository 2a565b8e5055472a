//! One stream as one subscriber should see it: what was noticed to be missing, what arrived, what was
//! handed on, what was told as lost.

use headcast_proto::StreamId;

use super::{Checked, ensure};
use crate::plan::{MS, SECOND, US};
use crate::records::Record;

/// It is awaited: at least the first sequence that was heard, and no later than the last one known.
const AWAITED: u8 = 1;
/// Of the past, which nobody was promised.
const PAST: u8 = 2;
const ARRIVED: u8 = 4;
const DELIVERED: u8 = 8;
/// Told as lost.
const LOST: u8 = 16;

#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    what: u8,
    /// How often it was asked for.
    asks: u8,
    /// How many of the messages that share it were handed on.
    parts: u16,
    noticed_ns: u64,
    /// When it was asked for last.
    asked_ns: u64,
}

impl Fate {
    fn is(self, what: u8) -> bool {
        self.what & what != 0
    }
}

#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) id: StreamId,
    pub(crate) record: usize,
    /// By sequence.
    fates: Vec<Fate>,
    /// The highest sequence heard of.
    pub(crate) known: u64,
    /// Awaited, neither arrived nor told as lost.
    pub(crate) missing: u64,
    /// The same, of the past.
    pub(crate) past: u64,
    /// When something new arrived last.
    pub(crate) new_ns: u64,
    /// The first sequence of the message handed on last, and which message of its datagram that was.
    last_delivered: (u64, u16),
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
}

/// What excuses giving up early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) now_ns: u64,
    /// The longest that anything may be held back.
    pub(crate) hold_max_ns: u64,
    /// Sequences that the window holds for certain.
    pub(crate) span: u64,
    /// The session is over, the memory full, or the subscriber about to stop.
    pub(crate) excused: bool,
    /// The publisher answers requests, and the subscriber makes them.
    pub(crate) asks: bool,
}

/// What the receiver promises: it asks no sooner than this after it has noticed a hole,
const ASK_AFTER_NS: u64 = 200 * US;
/// again no sooner than after the first of these, and each time twice as late, up to the second;
const ASK_AGAIN_NS: u64 = MS;
const ASK_AGAIN_MAX_NS: u64 = 8 * MS;
/// and it does not give up before this, nor before it has asked so often, unless that takes very long. (Its own
/// bound is eight; where holes are many, some share the times of others that have been asked for already.)
const GIVE_UP_NS: u64 = 50 * MS;
const ASKS_MIN: u8 = 5;
const VERY_LONG_NS: u64 = 3 * SECOND;

/// Holes noticed within this time may share their fate.
pub(crate) const GRAIN_NS: u64 = 2_000_000;
/// With so many missing, holes may share their fate even if they were noticed further apart.
pub(crate) const MANY: u64 = 64;

impl Ledger {
    pub(crate) fn new(id: StreamId, record: usize) -> Self {
        Self {
            id,
            record,
            fates: Vec::new(),
            known: 0,
            missing: 0,
            past: 0,
            new_ns: 0,
            last_delivered: (0, 0),
            delivered: 0,
            lost: 0,
        }
    }

    /// A session is heard, for the first time or again: everything from `start` up to `last` is awaited now, and
    /// some of what was before it is asked for as well.
    pub(crate) fn open(&mut self, past: u64, start: u64, last: u64, now_ns: u64) {
        for seq in past.max(self.known + 1)..start {
            self.fate(seq).what |= PAST;
            self.past += 1;
        }
        self.known = self.known.max(start - 1);
        self.reveal(last, now_ns);
    }

    /// It is known that the stream has come up to `seq`.
    pub(crate) fn reveal(&mut self, seq: u64, now_ns: u64) {
        for missing in self.known + 1..=seq {
            *self.fate(missing) = Fate { what: AWAITED, noticed_ns: now_ns, ..Fate::default() };
            self.missing += 1;
        }
        self.known = self.known.max(seq);
    }

    /// A sequence was accepted as new.
    pub(crate) fn arrived(&mut self, seq: u64, now_ns: u64) -> Checked {
        self.reveal(seq, now_ns);
        self.new_ns = now_ns;
        let fate = self.fate(seq);
        let before = *fate;
        fate.what |= ARRIVED;
        if before.is(AWAITED) && !before.is(ARRIVED | LOST) {
            self.missing -= 1;
        }
        if before.is(PAST) && !before.is(ARRIVED) {
            self.past -= 1;
        }
        ensure(!before.is(ARRIVED), "nothing_is_new_twice", || format!("sequence {seq} was new before"))?;
        ensure(!before.is(LOST), "what_was_told_as_lost_stays_lost", || {
            format!("sequence {seq} was told as lost, and is new now")
        })
    }

    /// A message was handed on.
    pub(crate) fn delivered(
        &mut self,
        record: &Record,
        (seq, part): (u64, u16),
        bytes: &[u8],
        timestamp: u64,
        in_order: bool,
        scratch: &mut Vec<u8>,
    ) -> Checked {
        let Some(published) = record.published(seq).copied() else {
            return ensure(false, "only_what_was_published_is_delivered", || {
                format!("sequence {seq} of {} was never published", self.id.session)
            });
        };
        ensure(published.first == seq, "messages_are_whole", || format!("sequence {seq} begins no message"))?;
        ensure(part < published.messages(), "only_what_was_published_is_delivered", || {
            format!("message {part} of sequence {seq}, which has {}", published.messages())
        })?;
        published.payload(self.id, record.shape, part, scratch);
        ensure(scratch == bytes, "payloads_are_exact", || {
            format!(
                "message {seq}.{part} of {} has {} bytes, not the {} published",
                self.id.session,
                bytes.len(),
                scratch.len()
            )
        })?;
        ensure(timestamp == published.timestamp, "timestamps_are_exact", || {
            format!("message {seq}: {timestamp}, published at {}", published.timestamp)
        })?;
        for of_message in seq..=published.last() {
            let fate = self.fate(of_message);
            let before = *fate;
            fate.parts += 1;
            if fate.parts == published.messages() {
                fate.what |= DELIVERED;
            }
            ensure(before.is(ARRIVED), "only_what_arrived_is_delivered", || {
                format!("sequence {of_message}")
            })?;
            ensure(!before.is(DELIVERED), "at_most_once", || {
                format!("sequence {of_message} is delivered again")
            })?;
            ensure(before.parts == part, "messages_of_a_datagram_come_once_and_in_order", || {
                format!("message {part} of sequence {of_message} comes after {}", before.parts)
            })?;
            ensure(!before.is(LOST), "never_both_delivered_and_lost", || {
                format!("sequence {of_message} is delivered after it was told as lost")
            })?;
        }
        let last = std::mem::replace(&mut self.last_delivered, (seq, part));
        ensure(!in_order || (seq, part) > last, "order_is_kept", || {
            format!("message {seq}.{part} comes after {last:?}")
        })?;
        self.delivered += 1;
        Ok(())
    }

    /// Sequences were told as lost.
    pub(crate) fn gap(&mut self, record: &Record, from: u64, to: u64, patience: Patience) -> Checked {
        ensure(1 <= from && from <= to && to <= self.known, "gaps_are_of_what_was_missing", || {
            format!("gap {from}..={to}, heard of up to {}", self.known)
        })?;
        let many = self.missing >= MANY;
        for seq in from..=to {
            let fate = self.fate(seq);
            let before = *fate;
            fate.what |= LOST;
            ensure(before.is(AWAITED), "gaps_are_of_what_was_awaited", || {
                format!("sequence {seq} was not awaited and is told as lost")
            })?;
            ensure(!before.is(LOST), "lost_is_told_once", || {
                format!("sequence {seq} is told as lost again")
            })?;
            ensure(before.parts == 0, "never_both_delivered_and_lost", || {
                format!("sequence {seq} was delivered and is told as lost")
            })?;
            self.lost += 1;
            if before.is(ARRIVED) {
                // In vain, for the rest of its message was not to be had.
                let part = record.published(seq).is_some_and(|published| published.count > 1);
                ensure(part, "what_arrived_whole_is_not_lost", || {
                    format!("sequence {seq} has arrived and is told as lost")
                })?;
                continue;
            }
            self.missing -= 1;
            self.nothing_is_given_up_early(seq, before, patience, many)?;
        }
        Ok(())
    }

    fn nothing_is_given_up_early(&self, seq: u64, fate: Fate, patience: Patience, many: bool) -> Checked {
        let waited_ns = patience.now_ns - fate.noticed_ns;
        let least_ns = GIVE_UP_NS.min(patience.hold_max_ns.saturating_sub(GRAIN_NS));
        let pushed_out = self.known - seq >= patience.span;
        if patience.excused || pushed_out || many && patience.hold_max_ns != u64::MAX {
            return Ok(());
        }
        ensure(waited_ns >= least_ns, "nothing_is_given_up_early", || {
            format!("sequence {seq} is given up after {waited_ns} ns; {} is known", self.known)
        })?;
        let asks = patience.asks && patience.hold_max_ns == u64::MAX && !many && waited_ns < VERY_LONG_NS;
        ensure(!asks || fate.asks >= ASKS_MIN, "nothing_is_given_up_without_a_chance", || {
            format!("sequence {seq} is given up after {} requests and {waited_ns} ns", fate.asks)
        })
    }

    /// A sequence is asked for.
    pub(crate) fn asked(&mut self, seq: u64, now_ns: u64) -> Checked {
        let (known, many) = (self.known, self.missing >= MANY);
        let fate = self.fate(seq);
        let before = *fate;
        fate.asks = before.asks.saturating_add(1);
        fate.asked_ns = now_ns;
        ensure(!before.is(ARRIVED | LOST) && seq <= known, "only_what_is_missing_is_asked_for", || {
            format!("sequence {seq}: {before:?}, {known} is known")
        })?;
        if before.asks == 0 {
            let early = before.is(AWAITED) && !many && now_ns < before.noticed_ns + ASK_AFTER_NS;
            return ensure(!early, "nothing_is_asked_for_too_soon", || format!("sequence {seq}: {before:?}"));
        }
        let spaced_ns = (ASK_AGAIN_NS << (before.asks - 1).min(16)).min(ASK_AGAIN_MAX_NS);
        ensure(many || now_ns >= before.asked_ns + spaced_ns, "requests_become_rarer", || {
            format!("sequence {seq} is asked for again after {} ns: {before:?}", now_ns - before.asked_ns)
        })
    }

    /// Nothing is missing any more that was noticed before then.
    pub(crate) fn nothing_waits_for_ever(&self, since_ns: u64) -> Checked {
        let late = |fate: &Fate| fate.is(AWAITED) && !fate.is(ARRIVED | LOST) && fate.noticed_ns < since_ns;
        let found = self.fates.iter().position(late);
        ensure(found.is_none(), "nothing_waits_for_ever", || {
            format!("sequence {found:?} has been missing since before {since_ns} ns and is not told as lost")
        })
    }

    /// Everything that was awaited was handed on, or told as lost, or belongs to a message of which something
    /// was lost or never came.
    pub(crate) fn everything_is_accounted_for(&self, record: &Record) -> Checked {
        let is = |seq: u64, what: u8| self.fates.get(seq as usize).is_some_and(|fate| fate.is(what));
        for seq in 1..=self.known {
            if !is(seq, AWAITED) || is(seq, DELIVERED | LOST) {
                continue;
            }
            let published = record.published(seq);
            let incomplete = |message: &crate::records::Published| {
                message.last() > self.known || (message.first..=message.last()).any(|part| !is(part, ARRIVED))
            };
            let told = is(seq, ARRIVED) && published.is_some_and(incomplete);
            ensure(told, "everything_is_accounted_for", || {
                let fate = self.fates[seq as usize];
                format!(
                    "sequence {seq} of {} was neither delivered nor told as lost: {fate:?}",
                    self.id.session
                )
            })?;
        }
        Ok(())
    }

    /// Whether all of a message was handed on.
    pub(crate) fn has_delivered(&self, seq: u64) -> bool {
        self.fates.get(seq as usize).is_some_and(|fate| fate.is(DELIVERED))
    }

    /// Whether a sequence has arrived, or may count as if it had.
    pub(crate) fn is_over(&self, seq: u64) -> bool {
        let fate = self.fates.get(seq as usize).copied().unwrap_or_default();
        fate.is(ARRIVED | LOST) || !fate.is(AWAITED)
    }

    /// When a sequence was noticed to be missing.
    pub(crate) fn noticed_ns(&self, seq: u64) -> u64 {
        self.fates.get(seq as usize).map_or(0, |fate| fate.noticed_ns)
    }

    fn fate(&mut self, seq: u64) -> &mut Fate {
        let at = seq as usize;
        if at >= self.fates.len() {
            self.fates.resize(at + 1, Fate::default());
        }
        &mut self.fates[at]
    }
}

/// What was never published is refused, whoever claims that it exists.
pub(crate) fn only_what_was_published_is_believed(seq: u64, last: u64) -> Checked {
    ensure(seq <= last, "only_what_was_published_is_believed", || {
        format!("sequence {seq} is taken for true, {last} is the last one published")
    })
}
