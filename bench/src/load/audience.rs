//! All receivers of a run, on one thread.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};

use super::Reader;
use super::books::{Books, Expected};
use super::outcome::Received;

const WAKER: Token = Token(usize::MAX);
/// How often it is seen whether this is the end, at least.
const LOOK: Duration = Duration::from_millis(20);

/// Receivers, and what they got.
pub struct Audience<R> {
    poll: Poll,
    control: Arc<Control>,
    readers: Vec<R>,
    books: Books,
    /// Those that may have more, though the kernel will not say so again.
    pending: Vec<usize>,
    is_pending: Vec<bool>,
}

/// From another thread: tells the audience how many messages were sent, after which it ends by itself.
#[derive(Debug)]
pub struct Control {
    /// One more than the number of measured messages that were sent; 0 while that is not known.
    sent: AtomicU64,
    waker: Waker,
}

impl Control {
    /// No more will be sent, and this many measured messages were.
    pub fn finish(&self, sent: u64) {
        self.sent.store(sent.saturating_add(1), SeqCst);
        // It looks by itself as well, a little later.
        let _ = self.waker.wake();
    }
}

impl<R: Reader> Audience<R> {
    /// Of these receivers, in the order in which the sender knows them.
    ///
    /// # Errors
    /// When they cannot be waited for.
    pub fn new(mut readers: Vec<R>, expected: Expected) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (at, reader) in readers.iter_mut().enumerate() {
            poll.registry().register(reader, Token(at), Interest::READABLE)?;
        }
        let control =
            Arc::new(Control { sent: AtomicU64::new(0), waker: Waker::new(poll.registry(), WAKER)? });
        let books = Books::new(readers.len(), expected);
        // What had come before they were registered is not announced.
        let (pending, is_pending) = ((0..readers.len()).collect(), vec![true; readers.len()]);
        Ok(Self { poll, control, readers, books, pending, is_pending })
    }

    /// To end it.
    #[must_use]
    pub fn control(&self) -> Arc<Control> {
        Arc::clone(&self.control)
    }

    /// Receives until everything that was sent has come to everybody, or nothing comes any more.
    ///
    /// # Errors
    /// When the receivers cannot be waited for.
    pub fn receive(mut self) -> io::Result<Received> {
        let mut events = Events::with_capacity(1024);
        let mut turn = Vec::new();
        loop {
            let wait = if self.pending.is_empty() { LOOK } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                polled => polled?,
            }
            for event in &events {
                if event.token() != WAKER {
                    self.mark(event.token().0);
                }
            }
            std::mem::swap(&mut turn, &mut self.pending);
            for at in turn.drain(..) {
                self.read(at);
            }
            if let Some(sent) = self.control.sent.load(SeqCst).checked_sub(1)
                && self.books.is_over(sent)
            {
                return Ok(self.settle(sent));
            }
        }
    }

    fn mark(&mut self, at: usize) {
        if !std::mem::replace(&mut self.is_pending[at], true) {
            self.pending.push(at);
        }
    }

    fn read(&mut self, at: usize) {
        self.is_pending[at] = false;
        if self.books.is_closed(at) {
            return;
        }
        let Self { readers, books, .. } = self;
        let mut arrivals = books.arrivals(at);
        let read = readers[at].read(&mut |payload| arrivals.take(payload));
        drop(arrivals);
        match read {
            Ok(true) => self.mark(at),
            Ok(false) => {}
            Err(error) => self.books.close(at, error.to_string()),
        }
    }

    fn settle(self, sent: u64) -> Received {
        let dropped: Vec<u64> = self.readers.iter().map(Reader::dropped).collect();
        let mut counters = BTreeMap::new();
        for (name, count) in self.readers.iter().flat_map(Reader::counters) {
            *counters.entry(name).or_default() += count;
        }
        self.books.settle(sent, &dropped, counters)
    }
}
