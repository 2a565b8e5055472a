//! The primitives of the handoff, or those that the loom model checker puts in their place.

#[cfg(not(loom))]
pub(super) use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

#[cfg(loom)]
pub(super) use loom::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Room for one box, exchanged as a whole: a read-modify-write with acquire and release.
#[cfg(not(loom))]
pub(super) struct Mailbox<T>(crossbeam::atomic::AtomicCell<Option<Box<T>>>);

#[cfg(not(loom))]
impl<T: Send> Mailbox<T> {
    pub(super) fn new() -> Self {
        // A box or none is one pointer, whatever is in it. Were it wider, the cell would take a global lock.
        const { assert!(crossbeam::atomic::AtomicCell::<Option<Box<()>>>::is_lock_free()) };
        Self(crossbeam::atomic::AtomicCell::new(None))
    }

    pub(super) fn exchange(&self, value: Option<Box<T>>) -> Option<Box<T>> {
        self.0.swap(value)
    }
}

/// loom does not see into crossbeam's cell. A mutex held for nothing but the exchange allows the same
/// interleavings and makes the same happen before: each exchange sees all that came before the previous one.
#[cfg(loom)]
pub(super) struct Mailbox<T>(loom::sync::Mutex<Option<Box<T>>>);

#[cfg(loom)]
impl<T: Send> Mailbox<T> {
    pub(super) fn new() -> Self {
        Self(loom::sync::Mutex::new(None))
    }

    pub(super) fn exchange(&self, value: Option<Box<T>>) -> Option<Box<T>> {
        std::mem::replace(&mut *self.0.lock().expect("no panic while held"), value)
    }
}
