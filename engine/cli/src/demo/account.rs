//! What a pod is owed, and what became of it.
//!
//! Two copies of each message promise that it arrives unless both are dropped. When a pod joins or
//! leaves, the set of peers changes between two passes, so the promise has exact ends:
//!
//! ```text
//!  first copies     ... | s   s+1 ............ to | to+1 ...
//!  second copies    ... | s-2 s-1  s  ........    |  to   | ...
//!                         ^ from: the first whose  ^ the last that was out in both copies when the pod left
//!                           first copy got here      the DNS; or a later one whose second copy got here
//! ```
//!
//! Of everything from `from` to `to` both copies were sent to this pod: what is missing must be a message
//! whose copies were both dropped on purpose. Anything else missing is a broken promise.

use std::collections::VecDeque;
use std::ops::AddAssign;

/// How many messages are kept open behind the last second copy, in case copies overtake each other.
const KEEP: u64 = 16_384;
/// By how many messages a second copy may trail: those of older messages reach a pod that has just come.
const TRAIL_MAX: u64 = 8_192;
/// How far ahead of the oldest open message another one may be: a bound on memory.
const AHEAD_MAX: u64 = 1 << 20;

/// Whose first message is up to here is awaited from 1 by who was there before (`docs/wire-format.md`).
const FROM_ONE_MAX: u64 = 64;

/// What is known of a message: a set of these.
type Fate = u8;
const FIRST_DROPPED: Fate = 1;
const SECOND_DROPPED: Fate = 2;
const DELIVERED: Fate = 4;
const RESCUED: Fate = 8;

/// Books what reaches one pod.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The sequence of the first of `open`; 0 until something arrives.
    base: u64,
    open: VecDeque<Fate>,
    /// The first sequence whose first copy got here.
    from: Option<u64>,
    /// The last sequence whose second copy got here; 0 for none.
    second: u64,
    totals: Totals,
}

/// Messages, by what became of them: `owed == delivered + lost_on_purpose + lost_otherwise`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Those that had to arrive, but for both copies dropped.
    pub(super) owed: u64,
    /// Those of them that were handed on.
    pub(super) delivered: u64,
    /// Those of them that the second copy brought.
    pub(super) rescued: u64,
    /// Both copies were dropped on purpose.
    pub(super) lost_on_purpose: u64,
    /// The promise was broken.
    pub(super) lost_otherwise: u64,
    /// Handed on though not owed: sent while the pod was just coming or going.
    pub(super) besides: u64,
    /// Handed on once more.
    pub(super) twice: u64,
    /// Handed on with another content than was published.
    pub(super) wrong: u64,
}

/// From which sequence on a pod is owed messages whether or not anything reached it, and up to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) from: Option<u64>,
    pub(super) to: u64,
}

impl Ledger {
    /// A copy of a message got to the pod's socket, and was `dropped` on purpose or not.
    pub(super) fn arrived(&mut self, seq: u64, copy: u8, dropped: bool) {
        if copy == 0 {
            self.from.get_or_insert(seq);
        }
        if self.base == 0 {
            self.base = seq.saturating_sub(TRAIL_MAX).max(1);
        }
        let Some(fate) = self.fate(seq) else { return };
        if dropped {
            *fate |= if copy == 0 { FIRST_DROPPED } else { SECOND_DROPPED };
        }
        if copy > 0 {
            self.second = self.second.max(seq);
        }
        while self.base.saturating_add(KEEP) < self.second {
            self.settle_oldest();
        }
    }

    /// A message was handed on, by its second copy if `rescued`, with the `right` content or another.
    pub(super) fn delivered(&mut self, seq: u64, rescued: bool, right: bool) {
        self.totals.wrong += u64::from(!right);
        match self.fate(seq) {
            Some(fate) if *fate & DELIVERED == 0 => *fate |= DELIVERED | if rescued { RESCUED } else { 0 },
            // What is too old to be open was settled long ago.
            _ => self.totals.twice += 1,
        }
    }

    /// Messages both copies of which were dropped on purpose, so far.
    pub(super) fn lost_so_far(&self) -> u64 {
        let both = |fate: &&Fate| is_both_dropped(**fate);
        self.totals.lost_on_purpose + self.open.iter().filter(both).count() as u64
    }

    /// Settles what is open.
    pub(super) fn close(mut self, owed: Owed) -> Totals {
        let to = owed.to.max(self.second);
        let unheard = match (self.from, owed.from) {
            (Some(from), Some(owed)) => owed..from,
            (None, Some(owed)) => owed..to.saturating_add(1),
            (_, None) => 0..0,
        };
        self.totals.missed(unheard.end.saturating_sub(unheard.start));
        while !self.open.is_empty() && self.base <= to {
            self.settle_oldest();
        }
        if self.from.is_some() {
            // Nothing at all is known of these.
            self.totals.missed(to.saturating_add(1).saturating_sub(self.base));
        }
        let late = self.open.iter().filter(|fate| **fate & DELIVERED != 0).count();
        self.totals.besides += late as u64;
        self.totals
    }

    fn settle_oldest(&mut self) {
        let Some(fate) = self.open.pop_front() else { return };
        let owed = self.from.is_some_and(|from| from <= self.base);
        let begins = self.from == Some(self.base) && self.base > FROM_ONE_MAX;
        self.base += 1;
        if begins && fate & (FIRST_DROPPED | SECOND_DROPPED | DELIVERED) == FIRST_DROPPED {
            // Its first copy was dropped, and a heartbeat told of it before its second one came: what a heartbeat tells of
            // who joins late does not await.
            return;
        }
        let totals = &mut self.totals;
        if !owed {
            totals.besides += u64::from(fate & DELIVERED != 0);
            return;
        }
        if fate & DELIVERED != 0 {
            totals.owed += 1;
            totals.delivered += 1;
            totals.rescued += u64::from(fate & RESCUED != 0);
        } else if is_both_dropped(fate) {
            totals.owed += 1;
            totals.lost_on_purpose += 1;
        } else {
            totals.missed(1);
        }
    }

    /// What is known of a message, unless it is too old or too far ahead to be open.
    fn fate(&mut self, seq: u64) -> Option<&mut Fate> {
        let at = seq.checked_sub(self.base).filter(|at| *at < AHEAD_MAX)?;
        let at = usize::try_from(at).ok()?;
        if at >= self.open.len() {
            self.open.resize(at + 1, 0);
        }
        self.open.get_mut(at)
    }
}

impl Totals {
    fn missed(&mut self, messages: u64) {
        self.owed += messages;
        self.lost_otherwise += messages;
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.owed += other.owed;
        self.delivered += other.delivered;
        self.rescued += other.rescued;
        self.lost_on_purpose += other.lost_on_purpose;
        self.lost_otherwise += other.lost_otherwise;
        self.besides += other.besides;
        self.twice += other.twice;
        self.wrong += other.wrong;
    }
}

fn is_both_dropped(fate: Fate) -> bool {
    fate & (FIRST_DROPPED | SECOND_DROPPED | DELIVERED) == FIRST_DROPPED | SECOND_DROPPED
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a subscriber does with the copies of one message that reach it: 'd' is dropped, '.' is not.
    fn message(ledger: &mut Ledger, seq: u64, copies: &str) {
        let mut delivered = false;
        for (copy, fate) in (0u8..).zip(copies.chars()) {
            ledger.arrived(seq, copy, fate == 'd');
            if fate == '.' && !delivered {
                ledger.delivered(seq, copy > 0, true);
                delivered = true;
            }
        }
    }

    fn owed(from: u64, to: u64) -> Owed {
        Owed { from: Some(from), to }
    }

    #[test]
    fn each_message_is_delivered_rescued_or_lost_on_purpose() {
        let mut ledger = Ledger::default();
        for (seq, copies) in (1..).zip(["..", "d.", ".d", "dd", ".."]) {
            message(&mut ledger, seq, copies);
        }
        assert_eq!(ledger.lost_so_far(), 1);
        let expected = Totals { owed: 5, delivered: 4, rescued: 1, lost_on_purpose: 1, ..Totals::default() };
        assert_eq!(ledger.close(owed(1, 5)), expected);
    }

    #[test]
    fn a_message_that_vanished_is_a_broken_promise() {
        for vanished in ["", "d", "  "] {
            let mut ledger = Ledger::default();
            message(&mut ledger, 1, "..");
            match vanished {
                "" => {}
                // One copy was dropped on purpose; the other one should have come and did not.
                "d" => ledger.arrived(2, 0, true),
                // Both copies got here, and the subscriber did not hand the message on.
                _ => (0..2).for_each(|copy| ledger.arrived(2, copy, false)),
            }
            message(&mut ledger, 3, "..");
            let totals = ledger.close(owed(1, 3));
            assert_eq!((totals.owed, totals.delivered, totals.lost_otherwise), (3, 2, 1), "{vanished:?}");
        }
    }

    #[test]
    fn the_end_of_a_run_that_never_came_is_a_broken_promise() {
        let mut ledger = Ledger::default();
        message(&mut ledger, 1, "..");
        assert_eq!(ledger.close(owed(1, 1_000_000_000_000)).lost_otherwise, 999_999_999_999);
    }

    #[test]
    fn a_pod_that_should_have_been_found_and_was_not_is_a_broken_promise() {
        assert_eq!(Ledger::default().close(owed(11, 20)).lost_otherwise, 10);
        let mut late = Ledger::default();
        message(&mut late, 15, "..");
        let totals = late.close(owed(11, 15));
        assert_eq!((totals.owed, totals.delivered, totals.lost_otherwise), (5, 1, 4));
    }

    #[test]
    fn a_pod_that_was_not_found_yet_is_owed_nothing() {
        assert_eq!(Ledger::default().close(Owed { from: None, to: 20 }), Totals::default());
    }

    #[test]
    fn a_pod_that_has_just_come_is_owed_nothing_before_the_first_copy_that_it_got() {
        // It came between the two passes of messages 8 and 9; a first or a second copy is what it got first.
        for first in [0, 1] {
            let mut ledger = Ledger::default();
            if first == 0 {
                message(&mut ledger, 10, ".");
            }
            ledger.arrived(8, 1, true);
            ledger.arrived(9, 1, false);
            ledger.delivered(9, true, true);
            if first == 1 {
                message(&mut ledger, 10, ".");
            }
            ledger.arrived(10, 1, true);
            let expected = Totals { owed: 1, delivered: 1, besides: 1, ..Totals::default() };
            assert_eq!(ledger.close(Owed { from: None, to: 10 }), expected);
        }
    }

    #[test]
    fn a_pod_that_leaves_is_owed_what_was_out_by_then_and_what_it_got_in_both_copies() {
        let leaves = |copies_of_12: &str| {
            let mut ledger = Ledger::default();
            for seq in 1..=11 {
                message(&mut ledger, seq, "..");
            }
            message(&mut ledger, 12, copies_of_12);
            ledger.close(owed(1, 10))
        };
        // The first copy of 12 was the last that was sent to it.
        let expected = Totals { owed: 11, delivered: 11, ..Totals::default() };
        assert_eq!(leaves("d"), expected);
        assert_eq!(leaves("."), Totals { besides: 1, ..expected });
        assert_eq!(leaves("dd"), Totals { owed: 12, lost_on_purpose: 1, ..expected });
        let mut early = Ledger::default();
        message(&mut early, 1, "..");
        assert_eq!(early.close(owed(1, 10)).lost_otherwise, 9, "it was given up too soon");
    }

    #[test]
    fn a_pod_that_has_just_come_may_begin_after_a_message_that_a_heartbeat_told_of() {
        for (first, otherwise) in [(100, 0), (50, 1)] {
            let mut ledger = Ledger::default();
            ledger.arrived(first, 0, true);
            ledger.arrived(first, 1, false);
            message(&mut ledger, first + 1, "..");
            let totals = ledger.close(Owed { from: None, to: first + 1 });
            assert_eq!((totals.delivered, totals.lost_otherwise), (1, otherwise));
        }
    }

    #[test]
    fn a_message_that_comes_twice_or_altered_is_noticed() {
        let mut ledger = Ledger::default();
        message(&mut ledger, 1, "..");
        ledger.delivered(1, false, true);
        ledger.arrived(2, 0, false);
        ledger.delivered(2, false, false);
        let totals = ledger.close(owed(1, 2));
        assert_eq!((totals.twice, totals.wrong, totals.delivered), (1, 1, 2));
    }

    #[test]
    fn memory_is_bounded_and_the_count_exact_however_long_it_runs() {
        let mut ledger = Ledger::default();
        let runs = 10 * KEEP;
        for seq in 1..=runs {
            message(&mut ledger, seq, if seq % 100 == 0 { "dd" } else { ".." });
        }
        assert!(ledger.open.len() as u64 <= KEEP + 1);
        ledger.delivered(1, false, true);
        let totals = ledger.close(owed(1, runs));
        assert_eq!((totals.owed, totals.lost_on_purpose), (runs, runs / 100));
        assert_eq!((totals.delivered, totals.twice), (runs - runs / 100, 1));
        assert_eq!(totals.lost_otherwise, 0);
    }

    #[test]
    fn a_sequence_from_nowhere_takes_no_memory() {
        let mut ledger = Ledger::default();
        message(&mut ledger, 1, "..");
        ledger.arrived(u64::MAX, 1, false);
        assert!(ledger.open.len() < 10);
        assert_eq!(ledger.close(owed(1, 1)).lost_otherwise, 0);
    }
}
