//! Every interleaving of the two threads, by loom.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use loom::{model::Builder, thread};

use super::*;

loom::thread_local! {
    static ON_DATA_THREAD: Cell<bool> = Cell::new(false);
}

/// A value that refuses to be dropped on the data thread and counts where else it is.
struct Value {
    number: u32,
    dropped: std::sync::Arc<AtomicUsize>,
}

impl Drop for Value {
    fn drop(&mut self) {
        ON_DATA_THREAD
            .with(|flag| assert!(!flag.get(), "value {} was dropped on the data thread", self.number));
        self.dropped.fetch_add(1, SeqCst);
    }
}

/// Offers 1 to `offers` while the data thread looks `looks` times, whichever way the two are interleaved;
/// then the rest in order. No value may be lost, dropped twice, or dropped on the data thread, and the newest
/// must win.
fn check(offers: u32, looks: usize, collects: usize) {
    Builder::new().check(move || {
        let dropped = std::sync::Arc::new(AtomicUsize::new(0));
        let value = {
            let dropped = dropped.clone();
            move |number| Box::new(Value { number, dropped: dropped.clone() })
        };
        let (mut offer, mut intake) = handoff();
        let mut current = value(0);
        let data = thread::spawn(move || {
            ON_DATA_THREAD.with(|flag| flag.set(true));
            for _ in 0..looks {
                let before = current.number;
                let swapped = intake.swap(&mut current);
                assert_eq!(
                    swapped,
                    current.number > before,
                    "a swap brings a newer value, and nothing else does"
                );
            }
            ON_DATA_THREAD.with(|flag| flag.set(false));
            (intake, current)
        });
        for number in 1..=offers {
            offer.offer(value(number));
        }
        for _ in 0..collects {
            offer.collect();
        }
        let (mut intake, mut current) = data.join().expect("no failure on the data thread");

        // Whatever happened, one collection makes room, and then the newest is taken unless it was.
        offer.collect();
        let taken = intake.swap(&mut current);
        assert_eq!(current.number, offers);
        assert!(!intake.swap(&mut current), "nothing newer is left");
        assert_eq!(offer.collect(), taken, "the predecessor came back");
        assert_eq!(dropped.load(SeqCst), offers as usize, "all but the current value were freed by now");
        drop((offer, intake, current));
        assert_eq!(dropped.load(SeqCst), offers as usize + 1);
    });
}

#[test]
fn one_offer_reaches_the_data_thread_and_its_predecessor_comes_back() {
    check(1, 2, 1);
}

#[test]
fn no_value_is_lost_when_an_offer_meets_a_swap() {
    check(2, 2, 1);
}

#[test]
fn three_offers_and_three_looks_end_with_the_newest() {
    check(3, 3, 0);
}

/// Takes an offer back while the data thread looks: it comes back, or was taken, and never both or neither.
#[test]
fn an_offer_that_does_not_come_back_was_taken() {
    Builder::new().check(|| {
        let dropped = std::sync::Arc::new(AtomicUsize::new(0));
        let value = |number| Box::new(Value { number, dropped: dropped.clone() });
        let (mut offer, mut intake) = handoff();
        let mut current = value(0);
        offer.offer(value(1));
        let data = thread::spawn(move || {
            ON_DATA_THREAD.with(|flag| flag.set(true));
            let swapped = intake.swap(&mut current);
            ON_DATA_THREAD.with(|flag| flag.set(false));
            (intake, current, swapped)
        });
        let back = offer.take_back();
        // What was not taken goes into the next offer.
        let expected = if back.is_some() { 0 } else { 1 };
        offer.offer(value(2));
        let (mut intake, mut current, swapped) = data.join().expect("no failure on the data thread");
        assert!(current.number == expected || current.number == 2, "{} of {expected}", current.number);
        assert_eq!(swapped, current.number > 0);
        offer.collect();
        intake.swap(&mut current);
        assert_eq!(current.number, 2, "the newest is taken in the end");
        drop((offer, intake, current, back));
        assert_eq!(dropped.load(SeqCst), 3);
    });
}
