//! A value from the control thread to the data thread, and its predecessor back.
//!
//! The data thread owns the current value and reads it without asking anybody. Now and then the control
//! thread has a better one. Two mailboxes, each with room for one box, carry the new one there and the old
//! one back, so that the data thread neither allocates nor frees, and neither ever waits for the other:
//!
//! ```text
//!   control thread                                            data thread
//!   Offer::offer ───────> [ incoming ] + fresh flag ────────> Intake::swap ──┐
//!      frees an offer                                            takes it    │ current
//!      that was not taken                                                    │
//!   Offer::take_back <─── [ incoming ]                                       │
//!      has it again, if it was not taken                                     │
//!   Offer::collect <───── [ retired  ] <──────────────────────── puts <──────┘
//!      frees it                                                  the old one
//! ```
//!
//! Both threads put into a mailbox only what they own, and look by exchanging: what comes out is theirs.
//! `incoming` may be overwritten, for the offer that nobody took is the control thread's again, which frees
//! it. `retired` must not: the data thread would be left with a box in its hands. That can happen, since the
//! control thread collects before it offers, and the data thread may retire in between:
//!
//! ```text
//!   control              data                 incoming   retired
//!   offer(1)                                     1          -
//!   offer(2): collect                            1          -
//!                        swap: takes 1           -          0
//!   offer(2): put                                2          0
//!                        swap: declines          2          0
//!   collect: frees 0                             2          -
//!                        swap: takes 2           -          1
//! ```
//!
//! So the data thread declines while `retired` is occupied, and takes the offer in a later turn. The control
//! thread must therefore [`collect`](Offer::collect) from time to time even when it has nothing to offer.

mod sync;

use self::sync::{Arc, AtomicBool, Mailbox, Ordering};

/// The ends of a handoff: `Offer` for the control thread, `Intake` for the data thread.
pub fn handoff<T: Send>() -> (Offer<T>, Intake<T>) {
    let shared =
        Arc::new(Shared { incoming: Mailbox::new(), retired: Mailbox::new(), fresh: AtomicBool::new(false) });
    (Offer(Arc::clone(&shared)), Intake(shared))
}

struct Shared<T> {
    incoming: Mailbox<T>,
    retired: Mailbox<T>,
    /// `incoming` was filled since the data thread last emptied it.
    fresh: AtomicBool,
}

/// The control thread's end.
pub struct Offer<T>(Arc<Shared<T>>);

impl<T: Send> Offer<T> {
    /// Puts `value` there for the data thread to take. Frees here what was retired, and an earlier offer that
    /// was not taken yet.
    pub fn offer(&mut self, value: Box<T>) {
        self.collect();
        let not_taken = self.0.incoming.exchange(Some(value));
        self.0.fresh.store(true, Ordering::Release);
        drop(not_taken);
    }

    /// Takes back the offer, if it was not taken: what is in it can go into the next one.
    pub fn take_back(&mut self) -> Option<Box<T>> {
        self.0.incoming.exchange(None)
    }

    /// Frees the value that the data thread retired, if there is one; returns whether there was.
    pub fn collect(&mut self) -> bool {
        self.0.retired.exchange(None).is_some()
    }
}

/// The data thread's end.
///
/// What is still in the mailboxes when both ends are gone is freed by the thread that drops the second end:
/// drop this one first, or after the data thread's work.
pub struct Intake<T>(Arc<Shared<T>>);

impl<T: Send> Intake<T> {
    /// Whether a new value may be waiting: one load of an atomic flag.
    pub fn pending(&self) -> bool {
        self.0.fresh.load(Ordering::Acquire)
    }

    /// Replaces `current` by the offered value, if there is one and the previous one was collected. Returns
    /// whether it did. Never blocks, allocates or frees.
    pub fn swap(&mut self, current: &mut Box<T>) -> bool {
        self.swap_with(current, |_, _| ())
    }

    /// As [`swap`](Self::swap); before that, the new value (first) may take from the old one (second) what is to stay.
    pub fn swap_with(&mut self, current: &mut Box<T>, inherit: impl FnOnce(&mut T, &mut T)) -> bool {
        if !self.pending() {
            return false;
        }
        // The mailbox has no way to look without taking. Only this thread fills `retired`, so putting back
        // meets nothing.
        if let Some(waiting) = self.0.retired.exchange(None) {
            self.retire(waiting);
            return false;
        }
        // Down before the taking: an offer made after it puts the flag up again.
        self.0.fresh.store(false, Ordering::Relaxed);
        let Some(mut new) = self.0.incoming.exchange(None) else { return false };
        inherit(&mut new, current);
        self.retire(std::mem::replace(current, new));
        true
    }

    fn retire(&mut self, value: Box<T>) {
        let occupant = self.0.retired.exchange(Some(value));
        debug_assert!(occupant.is_none(), "only the data thread fills this mailbox, and it was empty");
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offer_is_taken_and_the_old_value_comes_back() {
        let (mut offer, mut intake) = handoff();
        let mut current = Box::new(0);
        assert!(!intake.pending() && !intake.swap(&mut current));
        offer.offer(Box::new(1));
        offer.offer(Box::new(2));
        assert!(intake.pending() && intake.swap(&mut current));
        assert_eq!(*current, 2);
        assert!(!intake.pending() && !intake.swap(&mut current));
        assert!(offer.collect() && !offer.collect());
    }

    #[test]
    fn an_offer_waits_while_the_retired_value_was_not_collected() {
        let (mut offer, mut intake) = handoff();
        let mut current = Box::new(0);
        offer.offer(Box::new(1));
        assert!(intake.swap(&mut current));
        // What an offer does after it collected too early.
        offer.0.incoming.exchange(Some(Box::new(2)));
        offer.0.fresh.store(true, Ordering::Release);
        assert!(!intake.swap(&mut current) && intake.pending());
        assert_eq!(*current, 1);
        assert!(offer.collect());
        assert!(intake.swap(&mut current));
        assert_eq!(*current, 2);
    }

    #[test]
    fn an_offer_that_was_not_taken_can_be_taken_back() {
        let (mut offer, mut intake) = handoff();
        let mut current = Box::new(0);
        offer.offer(Box::new(1));
        assert_eq!(offer.take_back().as_deref(), Some(&1));
        assert!(!intake.swap(&mut current) && !intake.pending());
        offer.offer(Box::new(2));
        assert!(intake.swap(&mut current));
        assert_eq!((*current, offer.take_back()), (2, None));
    }
}

#[cfg(all(test, loom))]
mod model;
