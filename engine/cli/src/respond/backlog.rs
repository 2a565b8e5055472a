//! Messages that wait for a worker.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::answer::{Job, WAITING_BYTES_MAX};
use crate::report;

/// A queue with two bounds, which also knows how many of its jobs are being worked on.
pub(super) struct Backlog<S> {
    state: Mutex<State<S>>,
    /// There is a job, or there will be no more.
    more: Condvar,
    /// All jobs are done.
    idle: Condvar,
    /// How many may wait.
    max: usize,
}

struct State<S> {
    waiting: VecDeque<Job<S>>,
    /// Of the payloads of those.
    bytes: usize,
    under_way: usize,
    closed: bool,
}

impl<S> Backlog<S> {
    /// Room for `max` jobs beside those that are under way.
    pub(super) fn new(max: usize) -> Self {
        let state = State { waiting: VecDeque::new(), bytes: 0, under_way: 0, closed: false };
        Self { state: Mutex::new(state), more: Condvar::new(), idle: Condvar::new(), max }
    }

    /// Puts a job at the end, or gives it back if there is no room. Never waits for a worker.
    pub(super) fn offer(&self, job: Job<S>) -> Result<(), Job<S>> {
        let mut state = self.lock();
        let bytes = state.bytes + job.payload.len();
        if state.closed || state.waiting.len() >= self.max || bytes > WAITING_BYTES_MAX {
            return Err(job);
        }
        state.bytes = bytes;
        state.waiting.push_back(job);
        drop(state);
        self.more.notify_one();
        Ok(())
    }

    /// The next job, once there is one; `None` when there will be none any more. Whoever takes one says when
    /// it is [`done`](Self::done).
    pub(super) fn take(&self) -> Option<Job<S>> {
        let nothing = |state: &mut State<S>| state.waiting.is_empty() && !state.closed;
        let state = self.more.wait_while(self.lock(), nothing);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let job = state.waiting.pop_front()?;
        state.bytes -= job.payload.len();
        state.under_way += 1;
        Some(job)
    }

    /// A job that was taken is done.
    pub(super) fn done(&self) {
        let mut state = self.lock();
        state.under_way -= 1;
        if state.left() == 0 {
            self.idle.notify_all();
        }
    }

    /// Takes no more jobs; those that wait are still handed out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_all();
    }

    /// Takes everything that waits.
    pub(super) fn clear(&self) -> VecDeque<Job<S>> {
        let mut state = self.lock();
        state.bytes = 0;
        std::mem::take(&mut state.waiting)
    }

    /// Waits until nothing is left to do, and no longer than until `end`; returns how many jobs are left.
    pub(super) fn wait_idle(&self, end: Instant) -> usize {
        let left = end.saturating_duration_since(report::now());
        let waited = self.idle.wait_timeout_while(self.lock(), left, |state| state.left() > 0);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.left()
    }

    /// How many jobs wait or are under way.
    pub(super) fn left(&self) -> usize {
        self.lock().left()
    }

    /// The state is right after every statement that changes it, wherever somebody may have panicked.
    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> State<S> {
    fn left(&self) -> usize {
        self.waiting.len() + self.under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: u8) -> Job<u8> {
        Job { subject: number, payload: Box::new([number; 10]) }
    }

    #[test]
    fn what_is_beyond_the_bound_is_given_back_and_the_rest_comes_in_order() {
        let backlog = Backlog::new(2);
        assert!(backlog.offer(job(1)).is_ok() && backlog.offer(job(2)).is_ok());
        assert_eq!(backlog.offer(job(3)).err().map(|job| job.subject), Some(3));
        assert_eq!(backlog.take().map(|job| job.subject), Some(1));
        assert!(backlog.offer(job(4)).is_ok(), "what is under way takes no room");
        backlog.close();
        assert!(backlog.offer(job(5)).is_err());
        assert_eq!((backlog.take().map(|job| job.subject), backlog.left()), (Some(2), 3));
        assert_eq!(backlog.take().map(|job| job.subject), Some(4));
        assert!(backlog.take().is_none());
        assert_eq!(backlog.wait_idle(report::now()), 3);
        (0..3).for_each(|_| backlog.done());
        assert_eq!(backlog.wait_idle(report::now()), 0);
    }

    #[test]
    fn long_messages_fill_it_by_their_bytes() {
        let backlog = Backlog::new(1_000_000);
        let long = || Job { subject: (), payload: vec![0; WAITING_BYTES_MAX / 2].into_boxed_slice() };
        assert!(backlog.offer(long()).is_ok() && backlog.offer(long()).is_ok());
        assert!(backlog.offer(Job { subject: (), payload: Box::new([0]) }).is_err());
        drop(backlog.take());
        assert!(backlog.offer(Job { subject: (), payload: Box::new([0]) }).is_ok());
        assert_eq!(backlog.clear().len(), 2);
        assert!(backlog.offer(long()).is_ok());
    }
}
