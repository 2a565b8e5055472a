//! What the entries of a receiver share.

use std::collections::VecDeque;

use super::entry::Entry;
use super::handing::Handing;
use super::holes::SPANS;
use super::store::{Item, List, NONE, Store};
use super::told::{Tidings, Told};
use super::{Limits, Stats, StreamId};
use crate::header::DATAGRAM_MAX;
use crate::{Datagram, Sequencer, Window};

/// A session that began while this receiver was there is awaited from its first sequence, if what is heard
/// first is not further on than this.
const FRESH_MAX: u64 = 64;

#[derive(Debug)]
pub(super) struct Common {
    pub(super) store: Store,
    pub(super) told: Tidings,
    /// The places of the entries that have holes.
    pub(super) active: Vec<u32>,
    /// The places of the entries that may have messages to hand on.
    pub(super) working: VecDeque<u32>,
    /// What sessions that are over had waiting.
    leaving: List,
    /// Where a message is put together.
    pub(super) assembled: Box<[u8]>,
    /// Which message of what lies there was handed on last.
    pub(super) handing: Handing,
    /// When something is to be done about a hole; `u64::MAX` for never.
    pub(super) due_ns: u64,
    /// The place of the entry of the last datagram, or of the message that was put together.
    pub(super) place: u32,
    /// It opened a session or found a hole.
    pub(super) noticed: bool,
    pub(super) lost: u64,
    pub(super) stats: Stats,
    /// How long messages may be held back to be in order; `None` for not at all.
    pub(super) order: Option<u64>,
    /// Under which name to ask for repairs; `None` to ask for nothing.
    pub(super) own: Option<Sequencer>,
    /// How much of the past to ask for.
    pub(super) history: u64,
    /// Since when the receiver is there, in Unix milliseconds.
    pub(super) since_ms: u64,
    /// The most blocks of one entry.
    blocks_each: usize,
    message_max: usize,
}

/// What lies in `assembled`: a message, or the messages that shared a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) first: Item,
    pub(super) rescued: bool,
    pub(super) len: usize,
}

impl Common {
    pub(super) fn new(limits: &Limits) -> Self {
        // The window's blocks may all be lost at once, each once more for each border between two spans; and
        // beside that a range may be lost that never had a place, a session end and another open.
        let told = limits.window / 64 + SPANS + 4;
        Self {
            store: Store::new(limits.memory),
            told: Tidings::new(told),
            active: Vec::with_capacity(limits.publishers),
            working: VecDeque::with_capacity(limits.publishers),
            leaving: List::EMPTY,
            assembled: vec![0; limits.message_max.max(DATAGRAM_MAX)].into(),
            handing: Handing::nothing(),
            due_ns: u64::MAX,
            place: 0,
            noticed: false,
            lost: 0,
            stats: Stats::default(),
            order: None,
            own: None,
            history: 0,
            since_ms: u64::MAX,
            blocks_each: Store::blocks(limits.memory_each),
            message_max: limits.message_max,
        }
    }

    /// Whether a session began while this receiver was there, and has only just begun.
    pub(super) fn is_fresh(&self, datagram: &Datagram<'_>) -> bool {
        datagram.session().start_ms() >= self.since_ms && (1..=FRESH_MAX).contains(&datagram.seq())
    }

    /// The first sequence of a session that is not the past: the one that is heard first, or its message's first,
    /// or the very first if it has only just begun. Only silence lets an earlier session in, so one that comes back
    /// was heard before, or is as good as that.
    pub(super) fn first_awaited(&self, datagram: &Datagram<'_>, comes_back: bool) -> u64 {
        if self.is_fresh(datagram) && !comes_back {
            return 1;
        }
        datagram.seq() - u64::from(datagram.fragment().0)
    }

    /// From where on to ask for what was sent before `start`.
    pub(super) fn history_from(&self, datagram: &Datagram<'_>, start: u64) -> u64 {
        let history = if self.own.is_some() && datagram.may_be_repaired() { self.history } else { 0 };
        start.saturating_sub(history).max(1)
    }

    /// Whether there is room to keep a payload for an entry.
    pub(super) fn has_room(&self, kept: &List, len: usize) -> bool {
        self.store.has_room(len) && kept.blocks + Store::blocks(len) <= self.blocks_each
    }

    /// Whether a message with this fragment is longer than accepted, as far as the fragment tells.
    pub(super) fn is_too_long(&self, datagram: &Datagram<'_>, window: &Window) -> bool {
        let (index, count) = datagram.fragment();
        let full = if index + 1 < count { usize::from(count) - 1 } else { 1 };
        count > 1 && (full * datagram.payload().len() > self.message_max || u64::from(count) > window.span())
    }

    /// Has an entry looked at for messages that can be handed on.
    pub(super) fn work(&mut self, entry: &mut Entry) {
        if !entry.kept.is_empty() && !std::mem::replace(&mut entry.working, true) {
            self.working.push_back(entry.place);
        }
    }

    /// Takes over what a session that is over had waiting.
    pub(super) fn let_go(&mut self, kept: &mut List) {
        if !kept.is_empty() {
            self.store.append(&mut self.leaving, kept);
            self.told.push(Told::Leaving);
        }
    }

    /// Drops the messages of which something is missing between two sequences.
    pub(super) fn drop_messages_that_miss(&mut self, kept: &mut List, window: &Window, from: u64, to: u64) {
        self.drop_where(kept, |item| {
            let (first, last) = item.message();
            item.count > 1 && window.next_missing(first.max(from), last.min(to)).is_some()
        });
    }

    /// Drops the message of which the last part has never been heard of.
    pub(super) fn drop_beyond(&mut self, kept: &mut List, highest: u64) {
        self.drop_where(kept, |item| item.message().1 > highest);
    }

    /// Drops the messages that lie before `low` and are still here: what they miss will not come.
    pub(super) fn drop_below(&mut self, kept: &mut List, low: u64) {
        while kept.head != NONE && self.store.item(kept.head).message().1 < low {
            self.drop_part(kept, kept.head);
        }
    }

    /// Drops what was kept of messages whose last part has never been heard of, and tells of it, as far as there
    /// is room to tell.
    pub(super) fn drop_begun(&mut self, kept: &mut List, highest: u64) {
        let mut at = kept.head;
        while at != NONE && self.told.has_room(2) {
            let begun = *self.store.item(at);
            let mut last = begun.seq;
            let mut next = self.store.after(at);
            if begun.message().1 > highest {
                // What follows it without a break; they are one gap.
                self.drop_part(kept, at);
                while next != NONE
                    && let item = *self.store.item(next)
                    && item.seq == last + 1
                    && item.message().1 > highest
                {
                    last = item.seq;
                    let after = self.store.after(next);
                    self.drop_part(kept, next);
                    next = after;
                }
                self.tell_lost(begun.id, begun.seq, last);
            } else if self.order.is_none() {
                // Of parts that contradict one another.
                self.drop_part(kept, at);
            }
            at = next;
        }
    }

    /// Tells of sequences that came, and yet will not be handed on.
    fn tell_lost(&mut self, id: StreamId, from: u64, to: u64) {
        self.lost = self.lost.saturating_add(to.saturating_sub(from).saturating_add(1));
        self.told.push(Told::LostRange { id, from, to });
    }

    fn drop_where(&mut self, kept: &mut List, is: impl Fn(&Item) -> bool) {
        let mut at = kept.head;
        while at != NONE {
            let after = self.store.after(at);
            if is(self.store.item(at)) {
                self.drop_part(kept, at);
            }
            at = after;
        }
    }

    pub(super) fn drop_part(&mut self, kept: &mut List, at: u32) {
        self.store.remove(kept, at);
        self.stats.dropped_parts += 1;
    }

    /// Puts the message together whose first part is `at`. If a part is not there, or it is too long, it is
    /// dropped.
    pub(super) fn gather(&mut self, kept: &mut List, at: u32) -> Option<Ready> {
        let first = *self.store.item(at);
        let (mut next, mut total, mut rescued) = (at, 0, false);
        let mut found = 0;
        while found < first.count && next != NONE {
            let part = self.store.item(next);
            if part.seq != first.seq + u64::from(found)
                || part.id != first.id
                || part.message() != first.message()
            {
                break;
            }
            total += part.len as usize;
            rescued |= part.rescued;
            found += 1;
            next = self.store.after(next);
        }
        if found < first.count || total > self.assembled.len() {
            if found == first.count {
                // Longer than its first part told: nothing of it is missing, and yet it is lost.
                let (from, to) = first.message();
                self.tell_lost(first.id, from, to);
            }
            self.drop_where(kept, |item| item.id == first.id && item.message() == first.message());
            return None;
        }
        let (mut at, mut len) = (at, 0);
        for _ in 0..found {
            let after = self.store.after(at);
            len += self.store.take(kept, at, &mut self.assembled[len..]);
            at = after;
        }
        if first.count > 1 {
            self.stats.completed += 1;
        }
        Some(Ready { first, rescued, len })
    }

    /// The next message of a session that is over.
    pub(super) fn next_leaving(&mut self) -> Option<Ready> {
        let mut leaving = std::mem::replace(&mut self.leaving, List::EMPTY);
        let mut ready = None;
        while ready.is_none() && !leaving.is_empty() {
            let head = leaving.head;
            if self.store.item(head).index == 0 {
                ready = self.gather(&mut leaving, head);
            } else {
                self.drop_part(&mut leaving, head);
            }
        }
        self.leaving = leaving;
        ready
    }
}
