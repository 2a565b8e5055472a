//! What is missing, since when, and what is to be done about it next.
//!
//! The window's bitmap says which sequences are missing; a span says when the missing ones between two
//! sequences were noticed. Few spans are enough, however many sequences are missing: those noticed
//! within a moment share one.

use std::collections::VecDeque;

/// How long after the last copy was due a receiver asks.
pub const ASK_AFTER_NS: u64 = 200_000;
/// The shortest time until it asks again; each time is twice as long as the one before.
pub const ASK_AGAIN_MIN_NS: u64 = 1_000_000;
/// How long after the first request, or without requests after the last copy, it gives up.
pub const GIVE_UP_NS: u64 = 50_000_000;
/// The longest time until it asks again, as long as it does not give up; and when it waits for longer than that.
const ASK_AGAIN_MAX_NS: u64 = 8_000_000;
const ASK_AGAIN_WAITING_NS: u64 = 64_000_000;
/// It does not give up before the publisher has been heard after so many requests: one that stands still, or
/// cannot be reached, has not had a chance to answer.
const CHANCES_MIN: u32 = 8;
/// But it does not wait for a publisher that is silent.
const WAIT_MAX_NS: u64 = super::SILENT_NS;
/// A round trip is not believed to be longer than this.
pub(super) const RTT_MAX_NS: u64 = 1_000_000_000;
/// A last copy is not awaited for longer than this.
pub(super) const LAG_MAX_NS: u64 = 1_000_000_000;

/// Spans of one stream.
pub(super) const SPANS: usize = 64;
/// Holes noticed within this time share a span; within the longer one if spans become few.
const GRAIN_NS: u64 = 200_000;
const COARSE_GRAIN_NS: u64 = 2_000_000;

/// Sequences noticed to be missing at about the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
    noticed_ns: u64,
    /// When to ask; `u64::MAX` for never.
    pub(super) ask_ns: u64,
    pub(super) give_up_ns: u64,
    /// Until when it may be put off to give up.
    wait_ns: u64,
    /// When it was asked for last, and how often the publisher was heard between two requests.
    asked_ns: u64,
    chances: u32,
    /// Where a request that did not hold everything stopped; 0 for the beginning.
    pub(super) cursor: u64,
    /// Requests made.
    tries: u32,
    /// From before the first sequence heard: nobody was promised these.
    pub(super) past: bool,
}

/// How patient to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How long after the first copy the last one comes.
    pub(super) lag_ns: u64,
    /// A round trip to the publisher; 0 if not known.
    pub(super) rtt_ns: u64,
    /// The longest that anything may be held back.
    pub(super) hold_max_ns: u64,
    /// Whether repairs can be asked for.
    pub(super) ask: bool,
}

impl Patience {
    /// Until when what is noticed now may be waited for at most.
    fn wait_ns(self, now_ns: u64) -> u64 {
        now_ns.saturating_add(self.hold_max_ns.min(WAIT_MAX_NS))
    }

    /// When to ask for what is noticed now, and when to give it up.
    fn times(self, now_ns: u64) -> (u64, u64) {
        let last_copy_ns = now_ns.saturating_add(self.lag_ns);
        let ask_ns = if self.ask { last_copy_ns.saturating_add(ASK_AFTER_NS) } else { u64::MAX };
        let begin_ns = if self.ask { ask_ns } else { last_copy_ns };
        let give_up_ns = begin_ns
            .saturating_add(GIVE_UP_NS.max(4 * self.rtt_ns))
            .min(now_ns.saturating_add(self.hold_max_ns));
        (ask_ns, give_up_ns)
    }
}

/// How long until a request is repeated that has been made so often before.
fn again_ns(rtt_ns: u64, tries: u32, waiting: bool) -> u64 {
    let least_ns = (2 * rtt_ns).max(ASK_AGAIN_MIN_NS);
    let most_ns = if waiting { ASK_AGAIN_WAITING_NS } else { ASK_AGAIN_MAX_NS };
    (least_ns << tries.min(16)).min(most_ns.max(least_ns))
}

impl Span {
    /// One sequence, to be given up.
    pub(super) fn of(seq: u64, past: bool) -> Self {
        let never = u64::MAX;
        Self {
            from: seq,
            to: seq,
            noticed_ns: 0,
            ask_ns: never,
            give_up_ns: 0,
            wait_ns: 0,
            asked_ns: 0,
            chances: 0,
            cursor: 0,
            tries: 0,
            past,
        }
    }

    /// Books that everything in it has been asked for.
    pub(super) fn asked(&mut self, now_ns: u64, rtt_ns: u64, heard_ns: u64) {
        let waiting = now_ns.saturating_sub(self.noticed_ns) > 2 * GIVE_UP_NS;
        self.ask_ns = now_ns.saturating_add(again_ns(rtt_ns, self.tries, waiting));
        self.tries = self.tries.saturating_add(1);
        self.chances += u32::from(self.was_heard(heard_ns));
        self.asked_ns = now_ns;
        self.cursor = 0;
    }

    /// Whether the publisher was heard after the last request.
    fn was_heard(&self, heard_ns: u64) -> bool {
        self.asked_ns > 0 && heard_ns > self.asked_ns
    }

    /// Whether it is to be given up now. If the publisher had too few chances to answer it is put off.
    pub(super) fn is_over(&mut self, now_ns: u64, heard_ns: u64) -> bool {
        if self.give_up_ns > now_ns {
            return false;
        }
        let chances = self.chances + u32::from(self.was_heard(heard_ns));
        if self.ask_ns == u64::MAX || chances >= CHANCES_MIN || self.wait_ns <= now_ns {
            return true;
        }
        self.give_up_ns = now_ns.saturating_add(ASK_AGAIN_MAX_NS).min(self.wait_ns);
        false
    }

    /// Whether nothing in it has been asked for.
    pub(super) fn is_fresh(&self) -> bool {
        self.tries == 0 && self.cursor == 0
    }

    pub(super) fn due_ns(&self) -> u64 {
        self.ask_ns.min(self.give_up_ns)
    }
}

/// The spans of one stream, by sequence.
#[derive(Debug)]
pub(super) struct Holes(VecDeque<Span>);

impl Holes {
    pub(super) fn new() -> Self {
        Self(VecDeque::with_capacity(SPANS))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Books that these have been noticed to be missing; they are above all that were booked before.
    /// Returns when there is something to do about them.
    pub(super) fn notice(&mut self, from: u64, to: u64, now_ns: u64, patience: Patience) -> u64 {
        let (ask_ns, give_up_ns) = patience.times(now_ns);
        let (len, last) = (self.0.len(), self.0.back_mut());
        if let Some(last) = last.filter(|last| !last.past) {
            let age_ns = now_ns.saturating_sub(last.noticed_ns);
            let grain_ns = if len > SPANS / 2 { COARSE_GRAIN_NS } else { GRAIN_NS };
            let young = age_ns <= grain_ns;
            let alike = last.is_fresh() && (last.ask_ns == u64::MAX) == (ask_ns == u64::MAX);
            if young && alike || len == SPANS {
                last.to = to;
                if young {
                    // Not asked for before the last copy of any of them is due.
                    last.ask_ns = last.ask_ns.max(ask_ns);
                }
                let held_ns = last.noticed_ns.saturating_add(patience.hold_max_ns);
                last.give_up_ns = last.give_up_ns.max(give_up_ns).min(held_ns);
                last.wait_ns = last.wait_ns.max(patience.wait_ns(now_ns)).min(held_ns);
                return last.due_ns();
            }
        }
        self.0.push_back(Span {
            from,
            to,
            noticed_ns: now_ns,
            ask_ns,
            give_up_ns,
            wait_ns: patience.wait_ns(now_ns),
            ..Span::of(from, false)
        });
        ask_ns.min(give_up_ns)
    }

    /// Books what was sent before anything was heard, to be asked for at once. Nothing is booked yet.
    pub(super) fn notice_past(&mut self, from: u64, to: u64, now_ns: u64, patience: Patience) {
        let (_, give_up_ns) = patience.times(now_ns);
        self.0.push_back(Span {
            from,
            to,
            noticed_ns: now_ns,
            ask_ns: now_ns,
            give_up_ns,
            wait_ns: patience.wait_ns(now_ns),
            ..Span::of(from, true)
        });
    }

    /// When there is something to do; `u64::MAX` for never.
    pub(super) fn due_ns(&self) -> u64 {
        self.0.iter().map(Span::due_ns).min().unwrap_or(u64::MAX)
    }

    /// The spans, to be asked for or given up.
    pub(super) fn spans_mut(&mut self) -> impl Iterator<Item = &mut Span> {
        self.0.iter_mut()
    }

    /// Whether a sequence is of the past, which nobody was promised.
    pub(super) fn is_past(&self, seq: u64) -> bool {
        self.0.iter().any(|span| span.past && (span.from..=span.to).contains(&seq))
    }

    /// Puts off everything that is due to be asked for.
    pub(super) fn put_off(&mut self, now_ns: u64) {
        for span in self.0.iter_mut().filter(|span| span.ask_ns <= now_ns) {
            span.ask_ns = now_ns.saturating_add(ASK_AGAIN_MAX_NS);
        }
    }

    /// Takes the first span for which `which` holds.
    pub(super) fn take(&mut self, which: impl Fn(&Span) -> bool) -> Option<Span> {
        let at = self.0.iter().position(which)?;
        self.0.remove(at)
    }

    /// Takes the first span that is to be given up now.
    pub(super) fn take_over(&mut self, now_ns: u64, heard_ns: u64) -> Option<Span> {
        let at = self.0.iter_mut().position(|span| span.is_over(now_ns, heard_ns))?;
        self.0.remove(at)
    }

    /// Takes what lies below `seq`.
    pub(super) fn take_below(&mut self, seq: u64) -> Option<Span> {
        let first = self.0.front_mut().filter(|span| span.from < seq)?;
        let mut taken = *first;
        if first.to < seq {
            self.0.pop_front();
        } else {
            taken.to = seq - 1;
            first.from = seq;
        }
        Some(taken)
    }

    /// Forgets the spans in which nothing is missing any more.
    pub(super) fn retain(&mut self, mut missing: impl FnMut(&Span) -> bool) {
        self.0.retain(|span| missing(span));
    }
}
