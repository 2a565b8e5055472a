//! Long messages never take more memory than they may, nor more boxes than there are places for on the way
//! back: the interleavings of publishing threads and the data thread, by loom.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test -p headcast --no-default-features --release --test long_loom
//! ```
//!
//! loom does not see into crossbeam's queues, so this is a model of `src/queue/long.rs`: the charge, a queue of
//! messages and a queue of spent boxes, each of them a list behind a lock.
#![cfg(loom)]

use std::sync::atomic::Ordering::Relaxed;

use loom::sync::atomic::AtomicUsize;
use loom::sync::{Arc, Mutex};
use loom::thread;

/// What may be charged in all, and so how many boxes of a charge of 1 there are places for.
const MOST: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    Faithful,
    /// A box counts as gone when it is handed back, not when it is freed.
    FreesEarly,
    /// The charge is looked at and then added, in two steps.
    LooksFirst,
}

struct Long {
    variant: Variant,
    charged: AtomicUsize,
    full: Mutex<usize>,
    spent: Mutex<usize>,
}

impl Long {
    /// `publish`: reclaims, charges, hands over.
    fn publish(&self) -> bool {
        self.reclaim();
        let taken = if self.variant == Variant::LooksFirst {
            let charged = self.charged.load(Relaxed);
            charged < MOST && {
                self.charged.fetch_add(1, Relaxed);
                true
            }
        } else {
            self.charged
                .fetch_update(Relaxed, Relaxed, |charged| Some(charged + 1).filter(|c| *c <= MOST))
                .is_ok()
        };
        if taken {
            *self.full.lock().expect("no panic") += 1;
        }
        taken
    }

    /// The data thread takes a message and passes its box back.
    fn send(&self) {
        let mut full = self.full.lock().expect("no panic");
        if *full == 0 {
            return;
        }
        *full -= 1;
        drop(full);
        let mut spent = self.spent.lock().expect("no panic");
        *spent += 1;
        assert!(*spent <= MOST, "there is a place for every box that comes back");
        drop(spent);
        if self.variant == Variant::FreesEarly {
            self.charged.fetch_sub(1, Relaxed);
        }
    }

    fn reclaim(&self) {
        let freed = std::mem::take(&mut *self.spent.lock().expect("no panic"));
        if freed > 0 && self.variant != Variant::FreesEarly {
            self.charged.fetch_sub(freed, Relaxed);
        }
    }
}

/// Two threads publish twice each, the data thread sends what it finds.
fn run(variant: Variant) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let long = Arc::new(Long {
            variant,
            charged: AtomicUsize::new(0),
            full: Mutex::new(0),
            spent: Mutex::new(0),
        });
        let publishers = [(); 2].map(|()| {
            let long = Arc::clone(&long);
            thread::spawn(move || usize::from(long.publish()) + usize::from(long.publish()))
        });
        for _ in 0..3 {
            long.send();
        }
        let published: usize =
            publishers.map(|publisher| publisher.join().expect("no panic")).into_iter().sum();
        for _ in 0..published {
            long.send();
        }
        long.reclaim();
        assert_eq!(long.charged.load(Relaxed), 0, "what was taken is given back");
    });
}

#[test]
fn there_are_never_more_boxes_than_places() {
    run(Variant::Faithful);
}

#[test]
#[should_panic(expected = "a place for every box")]
fn the_model_fails_if_a_box_counts_as_gone_too_early() {
    run(Variant::FreesEarly);
}

#[test]
#[should_panic(expected = "a place for every box")]
fn the_model_fails_if_the_charge_is_looked_at_first() {
    run(Variant::LooksFirst);
}
