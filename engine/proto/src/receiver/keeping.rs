//! Datagrams that are not handed on as they come: fragments, and whatever is ahead of its turn.

use super::Verdict;
use super::common::{Common, Ready};
use super::entry::{Entry, Outcome};
use super::holes::Span;
use super::store::{Item, NONE};
use crate::{Datagram, Now, Refusal};

impl Entry {
    /// Books a fragment, or whatever comes if order is wanted.
    #[inline(never)]
    pub(super) fn keep(
        &mut self,
        common: &mut Common,
        now: Now,
        datagram: &Datagram<'_>,
        opened: bool,
    ) -> Result<Verdict, Outcome> {
        let (seq, (index, count)) = (datagram.seq(), datagram.fragment());
        let rescued = !datagram.is_first_copy();
        let waits = !self.kept.is_empty() || self.working || !common.told.is_empty();
        if seq == self.next && count == 1 && !waits && common.order.is_some() {
            self.arrive(common, now, datagram)?;
            self.next = seq.saturating_add(1);
            return Ok(Verdict::Deliver { rescued, opened });
        }
        if !self.window.has_seen(seq)
            && let Err(refused) = self.find_room(common, datagram)
        {
            // It is missing like any other: asked for again, and given up in time.
            self.told_last(common, now, datagram);
            let hopeless = match refused {
                Outcome::Refused(Refusal::MessageTooLong) => true,
                // At once, for the sake of the messages behind it: what it would complete is full of holes already,
                // and as long as all wait for room there is none.
                Outcome::Refused(Refusal::Memory) => common.order.is_none(),
                _ => false,
            };
            if hopeless {
                let past = self.holes.is_past(seq);
                self.give_up(common, Span::of(seq, past));
            }
            return Err(refused);
        }
        self.arrive(common, now, datagram)?;
        let mut item = Item::new(self.id, seq, datagram.timestamp(), rescued, (index, count));
        item.coalesced = datagram.is_coalesced();
        common.store.put(&mut self.kept, item, datagram.payload());
        let (first, last) = item.message();
        if common.order.is_some() {
            common.work(self);
        } else if last <= self.window.highest() && self.window.next_missing(first, last).is_none() {
            self.next = first;
            common.work(self);
        }
        Ok(Verdict::Kept)
    }

    /// Whether a datagram can be kept. If not, it counts as not arrived.
    fn find_room(&mut self, common: &mut Common, datagram: &Datagram<'_>) -> Result<(), Outcome> {
        if common.is_too_long(datagram, &self.window) {
            return Err(Outcome::Refused(Refusal::MessageTooLong));
        }
        // At once, a message that is complete is handed on before the next one is begun.
        let taken = common.order.is_none() && self.next != 0;
        if !taken && common.has_room(&self.kept, datagram.payload().len()) {
            return Ok(());
        }
        // What is first in the way of all that is held back will be waited for no longer.
        if common.order.is_some()
            && let Some(span) = self.holes.take(|_| true)
        {
            self.give_up(common, span);
        }
        Err(Outcome::Refused(Refusal::Memory))
    }

    /// The next message that can be handed on, of those that were kept.
    pub(super) fn release(&mut self, common: &mut Common) -> Option<Ready> {
        if common.order.is_some() { self.release_in_order(common) } else { self.release_complete(common) }
    }

    fn release_complete(&mut self, common: &mut Common) -> Option<Ready> {
        let first = std::mem::replace(&mut self.next, 0);
        let mut at = self.kept.head;
        while first != 0 && at != NONE {
            let item = common.store.item(at);
            if item.message().0 == first {
                return common.gather(&mut self.kept, at);
            }
            at = common.store.after(at);
        }
        None
    }

    fn release_in_order(&mut self, common: &mut Common) -> Option<Ready> {
        loop {
            let head = self.kept.head;
            let highest = self.window.highest();
            let end = if head == NONE { highest.saturating_add(1) } else { common.store.item(head).seq };
            if let Some(missing) = self.window.next_missing(self.next, end - 1) {
                self.next = missing;
                return None;
            }
            self.next = self.next.max(end);
            if head == NONE {
                return None;
            }
            let item = *common.store.item(head);
            let (first, last) = item.message();
            if item.index > 0 {
                // What came before it was given up.
                self.next = item.seq.saturating_add(1);
                common.drop_part(&mut self.kept, head);
                continue;
            }
            if last > highest || self.window.next_missing(first, last).is_some() {
                self.next = first;
                return None;
            }
            self.next = last.saturating_add(1);
            let ready = common.gather(&mut self.kept, head);
            if ready.is_some() {
                return ready;
            }
        }
    }
}
