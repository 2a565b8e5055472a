//! The receiving end: who is heard, in which session, what has been seen of it, and what is missing.
//!
//! One entry per (publisher, stream), in a table of fixed size. No state grows from unproven input,
//! and since nothing is authenticated, damage is bounded instead:
//!
//! - one forged sequence far ahead cannot move a window: a second one must confirm it, and only
//!   while the true position brings nothing new;
//! - a forged session replaces the current one only with a plausible time, and the one that it
//!   replaced is remembered, so that nothing of it is delivered twice;
//! - a newcomer never takes the place of a publisher that is being heard;
//! - fragments and whatever waits for its turn have a fixed amount of memory, and each publisher only a
//!   part of it.
//!
//! A missing sequence is asked for, if its publisher answers, and given up after a while: then a
//! [`Event::Gap`] names it, and it is never handed on. So every sequence from the first one heard on is
//! handed on once, or told as lost once:
//!
//! ```text
//!  noticed --lag--> last copy due --200 us--> ask --max(2 RTT, 1 ms)--> ask --twice that--> ...
//!                                              |<------------------ 50 ms ---------------->| given up
//! ```
//!
//! A publisher that is not heard meanwhile has had no chance to answer: then it is not given up before it has
//! been heard after eight requests, or for as long as it takes to call it silent.

mod accepting;
mod asking;
mod common;
mod entry;
mod handing;
mod holes;
mod keeping;
mod store;
mod table;
mod terms;
mod told;

pub use asking::{NAK_MAX, Request};
use common::Common;
pub use holes::{ASK_AFTER_NS, ASK_AGAIN_MIN_NS, GIVE_UP_NS};
use table::Table;
pub use terms::{Event, Limits, Order, Stats, StreamId, Verdict};
use told::Told;

use crate::{Now, Sequencer};

/// A publisher that has sent nothing for this long is silent: three heartbeats at their slowest.
pub const SILENT_NS: u64 = 3 * crate::heartbeat::INTERVAL_MAX_NS;
/// What has been heard of a publisher is kept for this long after the last time.
pub const KEEP_NS: u64 = 10 * SILENT_NS;
/// How far a new session's clock may be from ours.
pub const SKEW_MAX_NS: u64 = 30_000_000_000;
/// A leap ahead counts only if the position before it has brought nothing new for this long.
pub const JUMP_AFTER_NS: u64 = 100_000_000;
/// So many datagrams of a leap, each after the one before, with nothing new from the position before
/// between them, need no wait: at a high rate, the wait would cost more than the loss behind the leap.
pub const JUMP_RUN: u32 = 256;
/// How near to the first datagram of a leap the second one must be.
pub const JUMP_SPAN: u64 = 64;
/// The longest message that can be put together, in bytes.
pub const MESSAGE_MAX: usize = 1 << 20;
/// How often silent publishers are looked for.
const SWEEP_NS: u64 = 1_000_000_000;

/// Everything that one subscriber knows of its publishers.
#[derive(Debug)]
pub struct Receiver {
    table: Table,
    streams: Box<[u16]>,
    common: Common,
    /// When to look for silent publishers; `u64::MAX` while there is none at all.
    sweep_ns: u64,
    /// Which of the active entries is asked next for a request.
    turn: usize,
}

impl Receiver {
    /// A receiver that accepts these streams; an empty list accepts all. It hands on at once, and asks for
    /// nothing.
    ///
    /// Memory: about `limits.publishers x (limits.window / 8 + 8,000) + limits.memory` bytes, all of it
    /// taken here.
    ///
    /// # Panics
    /// If a limit is out of its range.
    #[must_use]
    pub fn new(limits: &Limits, streams: &[u16]) -> Self {
        assert!(limits.message_max <= MESSAGE_MAX, "a message has at most 1 MiB");
        Self {
            table: Table::new(limits.publishers, limits.window),
            streams: streams.into(),
            common: Common::new(limits),
            sweep_ns: u64::MAX,
            turn: 0,
        }
    }

    /// Hands messages on in this order.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.common.order = match order {
            Order::AtOnce => None,
            Order::Ordered { max_hold_ns } => Some(max_hold_ns),
        };
        self
    }

    /// Asks for repairs, as this publisher and session.
    #[must_use]
    pub fn asking(mut self, own: Sequencer) -> Self {
        self.common.own = Some(own);
        self
    }

    /// Asks for up to so many datagrams of the past of each session that it joins.
    #[must_use]
    pub fn history(mut self, datagrams: u64) -> Self {
        self.common.history = datagrams;
        self
    }

    /// It is there since this time: a session that begins later is awaited from its first sequence, even if
    /// that is lost.
    #[must_use]
    pub fn since(mut self, now: Now) -> Self {
        self.common.since_ms = now.unix_ns / 1_000_000;
        self
    }

    /// Sequences that were given up or lost in a leap, over all publishers that have been heard: those that
    /// [`Event::Gap`]s named.
    #[inline]
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.common.lost
    }

    /// Sequences that have not arrived, but may still.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.table.entries().map(|entry| entry.window.missing()).sum()
    }

    /// What happened besides.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.common.stats
    }

    /// Bytes in which datagrams are kept now, and how many there are.
    #[must_use]
    pub fn memory(&self) -> (usize, usize) {
        (self.common.store.used * store::BLOCK, self.common.store.capacity())
    }

    /// The place of the entry of the last datagram, if that opened a session or revealed a hole: where it came
    /// from is where to send requests for this place.
    #[inline]
    pub fn noticed(&mut self) -> Option<usize> {
        std::mem::take(&mut self.common.noticed).then_some(self.common.place as usize)
    }

    /// The next of what happened in the last [`accept`](Self::accept) or [`tick`](Self::tick), or of the messages
    /// that can be handed on since. A gap is told before the messages that follow it.
    #[inline]
    pub fn event(&mut self) -> Option<Event<'_>> {
        if self.has_more() { self.next_event() } else { None }
    }

    /// Whether there may be another [`event`](Self::event).
    #[inline]
    #[must_use]
    pub fn has_more(&self) -> bool {
        !(self.common.told.is_empty() && self.common.working.is_empty())
    }

    /// The payload of the last [`Event::Message`], as long as nothing is called that takes the receiver by `&mut`.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.common.handing.payload(&self.common.assembled)
    }

    /// The place of the entry that the last message among the events was of.
    #[must_use]
    pub fn place(&self) -> usize {
        self.common.place as usize
    }

    fn next_event(&mut self) -> Option<Event<'_>> {
        let common = &mut self.common;
        // Whatever it was kept for is still at work, or still leaving: `has_more` knows of it.
        if common.handing.has_more() {
            common.place = common.handing.place;
            return Some(common.handing.next(&common.assembled));
        }
        loop {
            if common.told.is_leaving() {
                if let Some(ready) = common.next_leaving() {
                    return Some(common.handing.begin(ready, common.place, &common.assembled));
                }
                common.told.leave();
                continue;
            }
            if let Some(event) = common.told.pop() {
                return Some(event);
            }
            let place = *common.working.front()?;
            common.place = place;
            let entry = self.table.entry_mut(place);
            if let Some(ready) = entry.release(common) {
                return Some(common.handing.begin(ready, place, &common.assembled));
            }
            entry.working = false;
            common.working.pop_front();
        }
    }

    /// When [`tick`](Self::tick) has something to do, on the monotonic clock; `u64::MAX` for never.
    #[inline]
    #[must_use]
    pub fn deadline_ns(&self) -> u64 {
        self.common.due_ns.min(self.sweep_ns)
    }

    /// Does what is due: gives up what has been missing for too long, notices who is silent. Then ask for
    /// [`event`](Self::event)s, and for [`request`](Self::request)s, until there is none.
    pub fn tick(&mut self, now: Now) {
        let common = &mut self.common;
        for at in 0..common.active.len() {
            let entry = self.table.entry_mut(common.active[at]);
            while common.told.has_room(entry.window.blocks())
                && let Some(span) = entry.holes.take_over(now.mono_ns, entry.heard_ns)
            {
                entry.give_up(common, span);
            }
        }
        if now.mono_ns >= self.sweep_ns {
            self.sweep(now);
        }
        self.settle();
    }

    /// Gives up everything that is missing, as there will be no more; what waits for it can be handed on. Call
    /// again after the events, until it returns `false`.
    pub fn finish(&mut self) -> bool {
        let common = &mut self.common;
        for at in 0..common.active.len() {
            let entry = self.table.entry_mut(common.active[at]);
            while common.told.has_room(entry.window.blocks())
                && let Some(span) = entry.holes.take(|_| true)
            {
                entry.give_up(common, span);
            }
        }
        self.settle();
        !self.common.active.is_empty()
    }

    fn sweep(&mut self, now: Now) {
        let common = &mut self.common;
        self.sweep_ns = now.mono_ns.saturating_add(SWEEP_NS);
        for entry in self.table.entries_mut() {
            let quiet_ns = now.mono_ns.saturating_sub(entry.heard_ns);
            if !common.told.has_room(2) {
                continue;
            }
            if quiet_ns >= SILENT_NS && !std::mem::replace(&mut entry.silent, true) && !entry.ended {
                common.told.push(Told::Silent(entry.id));
            }
            if quiet_ns >= KEEP_NS && !entry.kept.is_empty() {
                // Nobody will send the rest of a message that was begun.
                common.drop_begun(&mut entry.kept, entry.window.highest());
                common.work(entry);
            }
        }
    }

    /// Forgets the holes that have been filled, and finds out when something is due next.
    fn settle(&mut self) {
        let common = &mut self.common;
        common.due_ns = u64::MAX;
        let table = &mut self.table;
        common.active.retain(|place| {
            let entry = table.entry_mut(*place);
            let window = &entry.window;
            entry.holes.retain(|span| window.next_missing(span.from, span.to).is_some());
            common.due_ns = common.due_ns.min(entry.holes.due_ns());
            entry.active = !entry.holes.is_empty();
            entry.active
        });
        self.turn = 0;
    }
}

#[cfg(test)]
mod tests;
