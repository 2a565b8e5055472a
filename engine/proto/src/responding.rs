//! Responses on their way to the recorder: what goes out next, what goes out again, and when.
//!
//! A response is kept until it is acknowledged, however long that takes. What limits the sending is the
//! window, the number of responses that may be under way, so that a recorder that is slow or gone is
//! asked gently, and one that is back is not flooded:
//!
//! ```text
//!   held_from           next_new                    next
//!      | acked, lost, under way |  never sent yet     |
//!      +------------------------+---------------------+--> sequence
//!      |<--------- at most SPAN -------->|
//! ```
//!
//! Three things tell that a response was lost. Others that were sent later have been acknowledged (after
//! RACK, RFC 8985): it goes again at once, and the window shrinks. Nothing was acknowledged for the
//! retransmission time-out (RFC 6298): all that is under way goes again, within a smaller window, and
//! the time-out doubles. The recorder was exchanged: the same.

use std::ops::Range;

use crate::stored::SPAN;

mod rtt;

use rtt::Rtt;

/// Responses that may be under way at the start.
const WINDOW_START: u32 = 64;
/// The most that may be.
const WINDOW_MAX: u32 = 1024;
/// Losses among others that arrive do not shrink it further: a thin link is no reason to crawl.
const WINDOW_LOSSY: u32 = 32;
/// Silence does, down to this.
const WINDOW_MIN: u32 = 4;
/// What was sent this long before something that has been acknowledged may still arrive, at most.
const REORDER_MAX_NS: u64 = 5_000_000;

/// The responses of one session that are not acknowledged yet. It holds no bytes, only their states.
#[derive(Clone, Debug)]
pub struct Outstanding {
    /// A ring: the slot of a sequence is at `seq mod length`.
    slots: Box<[Slot]>,
    /// The lowest sequence that is held; everything below has been acknowledged.
    held_from: u64,
    /// The sequence of the next response that is accepted.
    next: u64,
    /// The first sequence that was never sent.
    next_new: u64,
    /// Where the search for what is lost begins.
    lost_from: u64,
    lost: u32,
    under_way: u32,
    held: u32,
    window: u32,
    /// Acknowledgements that the window has not grown by yet.
    credit: u32,
    /// The window shrinks once for all that was sent before this.
    shrunk_ns: u64,
    /// Since when nothing was acknowledged although something is under way.
    waiting_since_ns: u64,
    rtt: Rtt,
    /// Time-outs since something was acknowledged.
    timeouts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// Acknowledged, or never used.
    Free,
    /// Accepted, and not sent yet.
    New,
    /// Sent then, and perhaps before.
    UnderWay { sent_ns: u64, again: bool },
    /// Sent, and taken for lost.
    Lost,
}

/// What a response that goes out is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its sequence.
    pub seq: u64,
    /// It has been sent before.
    pub again: bool,
}

/// Why an acknowledgement is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeverSent;

impl Outstanding {
    /// Room for `responses`, at least one.
    ///
    /// # Panics
    /// If `responses` does not fit into 32 bits.
    #[must_use]
    pub fn new(responses: usize) -> Self {
        assert!(u32::try_from(responses).is_ok(), "responses are counted in 32 bits");
        Self {
            slots: vec![Slot::Free; responses.max(1)].into(),
            held_from: 1,
            next: 1,
            next_new: 1,
            lost_from: 1,
            lost: 0,
            under_way: 0,
            held: 0,
            window: WINDOW_START,
            credit: 0,
            shrunk_ns: 0,
            waiting_since_ns: 0,
            rtt: Rtt::default(),
            timeouts: 0,
        }
    }

    /// Accepts one more; returns its sequence, or `None` when there is no room.
    ///
    /// There is room for a range of sequences, so one that is held for long stands for all that came
    /// after it as well.
    pub fn accept(&mut self) -> Option<u64> {
        if self.is_full() {
            return None;
        }
        let seq = self.next;
        *self.slot_mut(seq) = Slot::New;
        self.held += 1;
        self.next += 1;
        Some(seq)
    }

    /// Whether one more would not be accepted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.next - self.held_from >= self.slots.len() as u64
    }

    /// Whether nothing was acknowledged for two time-outs in a row.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.timeouts >= 2
    }

    /// What goes out next, if anything may: what is lost before what is new. Say [`sent`](Self::sent) once it
    /// has.
    #[must_use]
    pub fn due(&self) -> Option<Due> {
        if self.under_way >= self.window {
            return None;
        }
        if self.lost > 0 {
            let seq = (self.lost_from..self.next_new).find(|seq| self.slot(*seq) == Slot::Lost)?;
            return Some(Due { seq, again: true });
        }
        let may = self.next_new < self.next && self.next_new - self.held_from < SPAN;
        may.then_some(Due { seq: self.next_new, again: false })
    }

    /// Says that what was due has been sent.
    pub fn sent(&mut self, now_ns: u64, due: Due) {
        let Due { seq, again } = due;
        if again {
            self.lost -= 1;
            self.lost_from = seq + 1;
        } else {
            self.next_new = seq + 1;
        }
        if self.under_way == 0 {
            self.waiting_since_ns = now_ns;
        }
        self.under_way += 1;
        *self.slot_mut(seq) = Slot::UnderWay { sent_ns: now_ns, again };
    }

    /// What has been acknowledged: everything below `next`, and `next + 1 + i` for each set bit i. `freed` is told
    /// the sequences that need not be held any more. Returns how many those are.
    ///
    /// What it says of responses that were never sent is passed over: somebody else may have sent such in our name.
    ///
    /// # Errors
    /// [`NeverSent`], and nothing is changed, when no recorder can have meant it: it is a whole [`SPAN`] ahead.
    pub fn acknowledge(
        &mut self,
        now_ns: u64,
        next: u64,
        bitmap: u64,
        mut freed: impl FnMut(u64),
    ) -> Result<u32, NeverSent> {
        if next == 0 || next > self.next_new.saturating_add(SPAN) {
            return Err(NeverSent);
        }
        let sent = self.next_new;
        let marked = (0..64).filter(|i| bitmap >> i & 1 == 1).filter_map(|i| next.checked_add(1 + i));
        let mut newest_ns = 0;
        let mut count = 0;
        for seq in (self.held_from..next.min(sent)).chain(marked.filter(|seq| *seq < sent)) {
            // A bit below what is held has been acknowledged before.
            if seq >= self.held_from && self.free(now_ns, seq, &mut newest_ns) {
                freed(seq);
                count += 1;
            }
        }
        while self.held_from < self.next && self.slot(self.held_from) == Slot::Free {
            self.held_from += 1;
        }
        self.lost_from = self.lost_from.max(self.held_from);
        if count > 0 {
            self.waiting_since_ns = now_ns;
            self.timeouts = 0;
            self.grow(count);
            // Without a bit all below `next` has arrived, and next to nothing is overtaken.
            if bitmap != 0 {
                self.notice(now_ns, newest_ns);
            }
        }
        Ok(count)
    }

    /// Frees one that is acknowledged; returns whether it was held.
    fn free(&mut self, now_ns: u64, seq: u64, newest_ns: &mut u64) -> bool {
        match self.slot(seq) {
            Slot::Free => return false,
            // It cannot be: what was never sent is not acknowledged.
            Slot::New => return false,
            Slot::Lost => self.lost -= 1,
            Slot::UnderWay { sent_ns, again } => {
                self.under_way -= 1;
                *newest_ns = (*newest_ns).max(sent_ns);
                // Which of several sendings is meant cannot be told (Karn).
                if !again {
                    self.rtt.sample(now_ns.saturating_sub(sent_ns));
                }
            }
        }
        *self.slot_mut(seq) = Slot::Free;
        self.held -= 1;
        true
    }

    /// One more for each half of a window that is acknowledged.
    fn grow(&mut self, acknowledged: u32) {
        self.credit += acknowledged;
        let step = (self.window / 2).max(1);
        self.window = (self.window + self.credit / step).min(WINDOW_MAX);
        self.credit %= step;
    }

    /// Takes for lost what was sent well before something that has arrived.
    fn notice(&mut self, now_ns: u64, newest_ns: u64) {
        let before_ns = newest_ns.saturating_sub(self.rtt.quarter_ns().min(REORDER_MAX_NS));
        if self.mark_lost(self.held_from..self.next_new, before_ns) > 0 && before_ns > self.shrunk_ns {
            self.shrunk_ns = now_ns;
            self.window = self.window.min((self.window * 7 / 10).max(WINDOW_LOSSY));
        }
    }

    /// Takes for lost what is under way since before `before_ns`; returns how many those are.
    fn mark_lost(&mut self, range: Range<u64>, before_ns: u64) -> u32 {
        let mut count = 0;
        for seq in range {
            if let Slot::UnderWay { sent_ns, .. } = self.slot(seq)
                && sent_ns < before_ns
            {
                *self.slot_mut(seq) = Slot::Lost;
                self.lost_from = self.lost_from.min(seq);
                count += 1;
            }
        }
        self.under_way -= count;
        self.lost += count;
        count
    }

    /// When [`tick`](Self::tick) has something to do; `u64::MAX` for never.
    #[must_use]
    pub fn deadline_ns(&self) -> u64 {
        if self.under_way == 0 {
            u64::MAX
        } else {
            self.waiting_since_ns.saturating_add(self.rtt.timeout_ns())
        }
    }

    /// Takes all that is under way for lost, once the deadline has passed. Returns whether it had.
    pub fn tick(&mut self, now_ns: u64) -> bool {
        if now_ns < self.deadline_ns() {
            return false;
        }
        self.mark_lost(self.held_from..self.next_new, u64::MAX);
        self.rtt.back_off();
        self.timeouts = self.timeouts.saturating_add(1);
        self.window = (self.window / 2).max(WINDOW_MIN);
        self.credit = 0;
        true
    }

    /// The lowest sequence that is held: everything below has been acknowledged.
    #[must_use]
    pub fn held_from(&self) -> u64 {
        self.held_from
    }

    /// How many are held.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.held
    }

    /// How many are under way.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.under_way
    }

    fn slot(&self, seq: u64) -> Slot {
        self.slots[self.index(seq)]
    }

    fn slot_mut(&mut self, seq: u64) -> &mut Slot {
        let index = self.index(seq);
        &mut self.slots[index]
    }

    fn index(&self, seq: u64) -> usize {
        // Below a length that is a usize.
        usize::try_from(seq % self.slots.len() as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
