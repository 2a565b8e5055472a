//! Nobody sleeps through a message: the interleavings of publishing threads and the data thread, by loom.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test -p headcast --no-default-features --release --test doorbell_loom
//! ```
//!
//! loom sees neither into crossbeam's queue nor into the eventfd behind mio's waker, so this is a model. It
//! has the four operations that matter, in their order and with their orderings:
//!
//! | | `src/queue.rs`, `src/bell.rs` | here |
//! |---|---|---|
//! | data thread | `lie_down`: `sleeping.store(true, SeqCst)` | `Doorbell::may_sleep` |
//! | | `may_sleep`: `full.is_empty()`, which loads the queue's tail SeqCst | the load of `tail` |
//! | publisher | `publish`: `full.push`, which moves the tail by a SeqCst compare-exchange | the addition to `tail` |
//! | | `ring`: `sleeping.load`, `sleeping.swap(false)`, both SeqCst, then the waker | `Doorbell::publish` |
//!
//! loom takes SeqCst on a load or a store for acquire and release. What it adds to them, a place in one order
//! of all, loom honours on fences alone. So where the real code relies on it, between a write of one location
//! and a read of the other, the model has a SeqCst fence; `Variant::Relaxed` is the model without.
//!
//! Nor does loom know that nothing comes between what an exchange reads and what it writes. It would let a
//! publisher read its own `false` after the data thread's later `true`, so the model raises the flag by an
//! exchange as well, with the ordering of a store.
#![cfg(loom)]

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use loom::model::Builder;
use loom::sync::atomic::{AtomicBool, AtomicUsize, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// What the model does differently from the real thing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    Faithful,
    /// No single order of the four operations.
    Relaxed,
    /// The data thread looks at the queue first and raises the flag afterwards.
    LooksFirst,
    /// The publisher looks at the flag first and pushes afterwards.
    RingsFirst,
}

struct Doorbell {
    variant: Variant,
    /// Messages ever pushed: the tail of the queue.
    tail: AtomicUsize,
    sleeping: AtomicBool,
    /// The eventfd: it remembers that it was rung until somebody waits for it.
    rung: Mutex<bool>,
    ring: Condvar,
}

impl Doorbell {
    fn new(variant: Variant) -> Self {
        Self {
            variant,
            tail: AtomicUsize::new(0),
            sleeping: AtomicBool::new(false),
            rung: Mutex::new(false),
            ring: Condvar::new(),
        }
    }

    fn order(&self) {
        if self.variant != Variant::Relaxed {
            fence(SeqCst);
        }
    }

    /// `Queue::publish`, from the push on.
    fn publish(&self) {
        if self.variant == Variant::RingsFirst {
            self.wake_if_asleep();
            self.tail.fetch_add(1, AcqRel);
        } else {
            self.tail.fetch_add(1, AcqRel);
            self.order();
            self.wake_if_asleep();
        }
    }

    fn wake_if_asleep(&self) {
        if self.sleeping.load(Acquire) && self.sleeping.swap(false, AcqRel) {
            *self.rung.lock().expect("no panic while held") = true;
            self.ring.notify_one();
        }
    }

    /// `Queue::may_sleep`.
    fn may_sleep(&self, taken: usize) -> bool {
        if self.variant == Variant::LooksFirst {
            let empty = self.tail.load(Acquire) == taken;
            self.order();
            self.sleeping.swap(true, Release);
            return empty;
        }
        self.sleeping.swap(true, Release);
        self.order();
        self.tail.load(Acquire) == taken
    }

    /// `Poll::poll` without a timeout; the event is there until it has been polled.
    fn poll(&self) {
        let mut rung = self.rung.lock().expect("no panic while held");
        while !*rung {
            rung = self.ring.wait(rung).expect("no panic while held");
        }
        *rung = false;
    }

    /// `Publisher::wait`, then `Publisher::take_queue`; returns how many messages have been taken in all.
    fn turn(&self, taken: usize) -> usize {
        if self.may_sleep(taken) {
            self.poll();
        }
        self.sleeping.store(false, Relaxed);
        self.tail.load(Acquire)
    }
}

/// Publishers push `messages` each while the data thread turns until it has taken all of them. If it sleeps
/// while one waits, it sleeps for good, and loom says that there is a deadlock.
fn check(variant: Variant, publishers: usize, messages: usize) {
    let mut model = Builder::new();
    // With three threads all interleavings would take hours; few defects need more than three preemptions.
    model.preemption_bound = (publishers > 1).then_some(3);
    model.check(move || {
        let bell = Arc::new(Doorbell::new(variant));
        let threads: Vec<_> = (0..publishers)
            .map(|_| {
                let bell = Arc::clone(&bell);
                thread::spawn(move || (0..messages).for_each(|_| bell.publish()))
            })
            .collect();
        let mut taken = 0;
        while taken < publishers * messages {
            taken = bell.turn(taken);
        }
        for thread in threads {
            thread.join().expect("no panic in a publisher");
        }
    });
}

#[test]
fn a_message_wakes_the_data_thread_however_it_falls_asleep() {
    check(Variant::Faithful, 1, 1);
}

#[test]
fn a_second_message_wakes_it_again() {
    check(Variant::Faithful, 1, 2);
}

#[test]
fn two_publishers_wake_it_though_only_one_of_them_rings() {
    check(Variant::Faithful, 2, 1);
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_one_order_of_all_a_message_is_slept_through() {
    check(Variant::Relaxed, 1, 1);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_data_thread_that_looks_before_it_raises_the_flag_sleeps_through_a_message() {
    check(Variant::LooksFirst, 1, 1);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_publisher_that_rings_before_it_pushes_is_slept_through() {
    check(Variant::RingsFirst, 1, 1);
}
