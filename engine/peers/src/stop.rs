use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A request to stop, shared by its clones, that wakes who sleeps on it. It cannot be taken back.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Not stopped yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everyone who holds a clone to stop.
    pub fn stop(&self) {
        *self.lock() = true;
        self.0.changed.notify_all();
    }

    /// Whether [`stop`](Self::stop) was called.
    pub fn is_stopped(&self) -> bool {
        *self.lock()
    }

    /// Sleeps for `timeout`, or less if stopped. Returns whether it is stopped.
    pub fn wait(&self, timeout: Duration) -> bool {
        let wait = self.0.changed.wait_timeout_while(self.lock(), timeout, |stopped| !*stopped);
        *wait.unwrap_or_else(PoisonError::into_inner).0
    }

    /// A flag cannot be half written: a panic elsewhere does not make it wrong.
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_woken_by_stop() {
        let stop = Stop::new();
        assert!(!stop.wait(Duration::ZERO));
        let sleeper = std::thread::spawn({
            let stop = stop.clone();
            move || stop.wait(Duration::from_secs(3600))
        });
        stop.stop();
        assert!(sleeper.join().unwrap());
        assert!(stop.is_stopped() && stop.wait(Duration::from_secs(3600)));
    }
}
