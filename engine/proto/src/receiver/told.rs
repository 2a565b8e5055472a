//! What a receiver has to tell besides messages, in the order in which it happened.

use std::collections::VecDeque;

use super::{Event, StreamId};
use crate::Session;

#[derive(Clone, Copy, Debug)]
pub(super) enum Told {
    /// These, and no others: `base + i` for each set bit i of `mask`.
    Lost {
        id: StreamId,
        base: u64,
        mask: u64,
    },
    /// All of these.
    LostRange {
        id: StreamId,
        from: u64,
        to: u64,
    },
    /// What a session that is over had waiting is handed on first.
    Leaving,
    Opened {
        id: StreamId,
        seq: u64,
        from: u64,
        before: Option<Session>,
    },
    Ended(StreamId),
    Silent(StreamId),
}

/// A bounded queue of what is to be told.
#[derive(Debug)]
pub(super) struct Tidings(VecDeque<Told>);

impl Tidings {
    pub(super) fn new(len: usize) -> Self {
        Self(VecDeque::with_capacity(len))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether so many more fit.
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.0.capacity() - self.0.len() >= more
    }

    /// Adds one. There is room for all that one datagram can cause, if what came before has been taken;
    /// whoever does not take it loses the oldest.
    pub(super) fn push(&mut self, told: Told) {
        if !self.has_room(1) {
            self.0.pop_front();
        }
        self.0.push_back(told);
    }

    /// Whether what waits of a session that is over comes next.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.0.front(), Some(Told::Leaving))
    }

    /// Nothing of it is left.
    pub(super) fn leave(&mut self) {
        self.0.pop_front();
    }

    pub(super) fn pop(&mut self) -> Option<Event<'static>> {
        Some(match self.0.pop_front()? {
            Told::Leaving => return self.pop(),
            Told::Opened { id, seq, from, before } => Event::Opened { id, seq, from, before },
            Told::Ended(id) => Event::Ended { id },
            Told::Silent(id) => Event::Silent { id },
            Told::LostRange { id, from, to } => self.gap(id, from, to),
            Told::Lost { id, base, mask } => {
                let skip = mask.trailing_zeros();
                let run = (mask >> skip).trailing_ones();
                let rest = mask & !run_of_ones(skip, run);
                let from = base + u64::from(skip);
                let to = from + u64::from(run - 1);
                if rest == 0 {
                    return Some(self.gap(id, from, to));
                }
                self.0.push_front(Told::Lost { id, base, mask: rest });
                Event::Gap { id, from, to }
            }
        })
    }

    /// A gap, together with what follows it without a break.
    fn gap(&mut self, id: StreamId, from: u64, mut to: u64) -> Event<'static> {
        while let Some(next) = to.checked_add(1) {
            match self.0.front_mut() {
                Some(Told::LostRange { id: other, from, to: end }) if *other == id && *from == next => {
                    to = *end;
                    self.0.pop_front();
                }
                Some(Told::Lost { id: other, base, mask })
                    if *other == id && *base + u64::from(mask.trailing_zeros()) == next =>
                {
                    let skip = mask.trailing_zeros();
                    let run = (*mask >> skip).trailing_ones();
                    to += u64::from(run);
                    *mask &= !run_of_ones(skip, run);
                    if *mask != 0 {
                        break;
                    }
                    self.0.pop_front();
                }
                _ => break,
            }
        }
        Event::Gap { id, from, to }
    }
}

fn run_of_ones(skip: u32, run: u32) -> u64 {
    (u64::MAX >> (64 - run)) << skip
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: StreamId = StreamId { publisher: 1, session: Session::from_bits(1), stream: 0 };

    fn gaps(tidings: &mut Tidings) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| tidings.pop())
            .map(|event| match event {
                Event::Gap { from, to, .. } => (from, to),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn what_follows_without_a_break_is_one_gap() {
        let mut tidings = Tidings::new(8);
        tidings.push(Told::Lost { id: ID, base: 64, mask: 0b1011 | 1 << 63 });
        tidings.push(Told::Lost { id: ID, base: 128, mask: u64::MAX });
        tidings.push(Told::LostRange { id: ID, from: 192, to: 300 });
        tidings.push(Told::Lost { id: ID, base: 256, mask: 1 << 45 | 1 << 47 });
        assert_eq!(gaps(&mut tidings), [(64, 65), (67, 67), (127, 301), (303, 303)]);
    }

    #[test]
    fn gaps_of_different_streams_stay_apart() {
        let other = StreamId { stream: 1, ..ID };
        let mut tidings = Tidings::new(8);
        tidings.push(Told::LostRange { id: ID, from: 1, to: 2 });
        tidings.push(Told::LostRange { id: other, from: 3, to: 4 });
        assert_eq!(gaps(&mut tidings), [(1, 2), (3, 4)]);
    }
}
