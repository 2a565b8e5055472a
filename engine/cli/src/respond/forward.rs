//! Answers by the application that messages are handed on to: it receives a datagram, and sends its answer to where
//! that came from. Nothing in a payload says which message is meant; the line by which it was handed on does.
//!
//! The subscriber's thread hands messages on itself while lines are free. Another thread takes the replies, and
//! hands on what had to wait. Whoever holds the lock sends, so messages keep their order.

mod line;
mod lines;
mod pool;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headcast::Listen;
use mio::{Events, Poll, Token, Waker};

use super::answer::{Outbox, Subject};
use crate::report;
use line::Application;
use lines::Lines;
use pool::{Limits, Pool};

/// The token of what wakes the thread; no line has it.
const WAKE: Token = Token(usize::MAX);
/// How many lines the kernel tells of at a time.
const EVENTS_MAX: usize = 256;

/// An application that answers, and the messages that wait for it.
pub(super) struct Forward<S> {
    shared: Arc<Shared<S>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<S> {
    pool: Mutex<Pool<S>>,
    /// Nothing waits any more.
    idle: Condvar,
    waker: Waker,
    stopped: AtomicBool,
}

impl<S: Subject> Forward<S> {
    /// Starts the thread: `concurrency` messages are under way at once and wait for at most `timeout`, and `backlog`
    /// may wait beside them.
    ///
    /// # Errors
    /// A thread or what it waits with cannot be had.
    pub(super) fn start(
        to: &Listen,
        concurrency: usize,
        timeout: Duration,
        backlog: usize,
        outbox: Outbox<S>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let limits = Limits { concurrency, backlog, timeout };
        let lines = Lines::new(Application::from(to), poll.registry().try_clone()?);
        let pool = Pool::new(lines, limits, outbox);
        let shared = Arc::new(Shared {
            pool: Mutex::new(pool),
            idle: Condvar::new(),
            waker: Waker::new(poll.registry(), WAKE)?,
            stopped: AtomicBool::new(false),
        });
        let thread = std::thread::Builder::new().name("headcast-replies".into());
        let thread = thread.spawn({
            let shared = Arc::clone(&shared);
            move || {
                if let Err(error) = shared.run(poll) {
                    tracing::error!("replies of the application cannot be received any more: {error}");
                }
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands a message on to be answered. If too many wait, it or an older one is handed on without.
    pub(super) fn ask(&self, subject: S, payload: &[u8]) {
        let mut pool = self.shared.lock();
        let before = pool.next_due();
        pool.offer(subject, payload, report::now());
        let due = pool.next_due();
        drop(pool);
        // The thread sleeps until the time that it knew of.
        if due.is_some_and(|due| before.is_none_or(|before| due < before)) {
            self.shared.wake();
        }
    }

    /// How many messages wait for their turn or their answer.
    pub(super) fn left(&self) -> usize {
        self.shared.lock().left()
    }

    /// Waits for replies until `end`; then there will be none.
    pub(super) fn finish(&self, end: Instant) {
        let left = end.saturating_duration_since(report::now());
        let waited = self.shared.idle.wait_timeout_while(self.shared.lock(), left, |pool| pool.left() > 0);
        let (mut pool, _) = waited.unwrap_or_else(PoisonError::into_inner);
        pool.stop(report::now());
    }
}

impl<S> Drop for Forward<S> {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; there is nothing left to do about it here.
            let _ = thread.join();
        }
    }
}

impl<S> Shared<S> {
    fn wake(&self) {
        // The poll is there as long as the thread, and afterwards nobody waits.
        let _ = self.waker.wake();
    }

    /// A panic elsewhere has been printed; what is left of the pool still serves those that wait.
    fn lock(&self) -> MutexGuard<'_, Pool<S>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subject> Shared<S> {
    fn run(&self, mut poll: Poll) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.stopped.load(SeqCst) {
            let due = self.lock().next_due();
            let timeout = due.map(|due| due.saturating_duration_since(report::now()));
            match poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            let now = report::now();
            let mut pool = self.lock();
            for event in &events {
                if event.token() != WAKE {
                    pool.readable(event.token().0, now);
                }
            }
            pool.turn(now);
            if pool.left() == 0 {
                self.idle.notify_all();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
