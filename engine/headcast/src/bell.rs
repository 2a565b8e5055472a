//! Wakes a thread that sleeps, and costs nothing while it does not.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};

/// A bell that is rung only when the thread it belongs to sleeps.
///
/// Whoever has something for the thread puts it where the thread looks, then calls [`ring`](Self::ring). The
/// thread calls [`lie_down`](Self::lie_down), then looks once more, and only then sleeps. Either sets its own
/// word before it looks at the other's, all of it `SeqCst`: one of the two always sees the other.
pub(crate) struct Bell {
    waker: mio::Waker,
    /// The thread is about to wait, or waits.
    sleeping: AtomicBool,
}

impl Bell {
    pub(crate) fn new(waker: mio::Waker) -> Self {
        Self { waker, sleeping: AtomicBool::new(false) }
    }

    /// Wakes the thread if it sleeps.
    #[inline]
    pub(crate) fn ring(&self) -> io::Result<()> {
        if self.sleeping.load(SeqCst) && self.sleeping.swap(false, SeqCst) {
            self.waker.wake()?;
        }
        Ok(())
    }

    /// Wakes the thread whatever it does.
    pub(crate) fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }

    /// Says that the thread is about to wait.
    #[inline]
    pub(crate) fn lie_down(&self) {
        self.sleeping.store(true, SeqCst);
    }

    /// Says that the thread is awake.
    #[inline]
    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Relaxed);
    }
}
