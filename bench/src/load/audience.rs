//! All receivers of a run, on one thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use headcast::clock::mono_ns;
use mio::{Events, Interest, Poll, Token, Waker};
use serde::{Deserialize, Serialize};

use super::ledger::{Account, Entry, Ledger};
use super::outcome::{Interval, Received, Receiver};
use super::{Latencies, Reader, Spread, Stamp};

const WAKER: Token = Token(usize::MAX);
/// Without an arrival for so long after the last message was sent, what is missing does not come any more.
const QUIET_NS: u64 = 500_000_000;
/// However much still comes, it ends so long after the last message was sent.
const DRAIN_NS: u64 = 5_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// What the receivers have to know of a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Expected {
    /// The run that stamps name.
    pub run: u32,
    /// How many messages there are at most, the warm-up's included.
    pub messages: u64,
    /// How many of them, from the first on, are not measured.
    pub warm_up: u64,
}

/// Receivers, and what they got.
pub struct Audience<R> {
    poll: Poll,
    control: Arc<Control>,
    readers: Vec<R>,
    books: Vec<Book>,
    tally: Tally,
    /// Those that may have more, though the kernel will not say so again.
    pending: Vec<usize>,
}

/// Of one receiver.
struct Book {
    ledger: Ledger,
    latencies: Latencies,
    is_pending: bool,
    /// Why nothing comes any more.
    closed: Option<String>,
}

/// Of all receivers.
struct Tally {
    expected: Expected,
    all: Latencies,
    spread: Spread,
    received: u64,
    /// Messages of the warm-up that came.
    warm_up: u64,
    last_ns: u64,
    interval: Latencies,
    interval_ns: u64,
    series: Vec<Interval>,
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
    /// Of these receivers, which are registered in their order.
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
        let book = || Book {
            ledger: Ledger::new(expected.messages - expected.warm_up),
            latencies: Latencies::new(),
            is_pending: false,
            closed: None,
        };
        Ok(Self {
            books: readers.iter().map(|_| book()).collect(),
            tally: Tally {
                expected,
                all: Latencies::new(),
                spread: Spread::new(readers.len()),
                received: 0,
                warm_up: 0,
                last_ns: 0,
                interval: Latencies::new(),
                interval_ns: 0,
                series: Vec::new(),
            },
            poll,
            control,
            readers,
            pending: Vec::new(),
        })
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
        // What had come before they were registered is not announced.
        for at in 0..self.readers.len() {
            self.mark(at);
        }
        let mut events = Events::with_capacity(1024);
        let mut ending_ns = None;
        loop {
            let wait = if self.pending.is_empty() { Duration::from_millis(20) } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                polled => polled?,
            }
            for event in &events {
                if event.token() != WAKER {
                    self.mark(event.token().0);
                }
            }
            for at in std::mem::take(&mut self.pending) {
                self.read(at);
            }
            if let Some(sent) = self.control.sent.load(SeqCst).checked_sub(1) {
                let now_ns = mono_ns();
                let since_ns = *ending_ns.get_or_insert(now_ns);
                let complete = self.books.iter().all(|book| book.ledger.received() >= sent);
                let quiet = now_ns.saturating_sub(self.tally.last_ns.max(since_ns)) > QUIET_NS;
                if complete || quiet || now_ns - since_ns > DRAIN_NS {
                    return Ok(self.settle(sent));
                }
            }
        }
    }

    fn mark(&mut self, at: usize) {
        if let Some(book) = self.books.get_mut(at)
            && !std::mem::replace(&mut book.is_pending, true)
        {
            self.pending.push(at);
        }
    }

    fn read(&mut self, at: usize) {
        let (book, tally) = (&mut self.books[at], &mut self.tally);
        book.is_pending = false;
        if book.closed.is_some() {
            return;
        }
        let more = self.readers[at].read(&mut |payload| tally.take(book, payload));
        match more {
            Ok(true) => self.mark(at),
            Ok(false) => {}
            Err(error) => self.books[at].closed = Some(error.to_string()),
        }
    }

    fn settle(mut self, sent: u64) -> Received {
        let tally = &mut self.tally;
        tally.end_interval(mono_ns());
        tally.spread.finish(sent);
        let receivers = self.readers.iter().zip(&self.books).map(|(reader, book)| Receiver {
            account: book.ledger.account(sent),
            latency: book.latencies.summary(),
            socket_dropped: reader.dropped(),
            closed: book.closed.clone(),
        });
        let receivers: Vec<Receiver> = receivers.collect();
        let mut counters = std::collections::BTreeMap::new();
        for (name, count) in self.readers.iter().flat_map(Reader::counters) {
            *counters.entry(name).or_default() += count;
        }
        let Tally { all, spread, warm_up, last_ns, series, .. } = self.tally;
        Received {
            total: Account {
                received: receivers.iter().map(|receiver| receiver.account.received).sum(),
                lost: receivers.iter().map(|receiver| receiver.account.lost).sum(),
                duplicates: receivers.iter().map(|receiver| receiver.account.duplicates).sum(),
                reordered: receivers.iter().map(|receiver| receiver.account.reordered).sum(),
                longest_gap: receivers.iter().map(|receiver| receiver.account.longest_gap).max().unwrap_or(0),
                foreign: receivers.iter().map(|receiver| receiver.account.foreign).sum(),
            },
            warm_up,
            latency: all,
            first: spread.first,
            median: spread.median,
            last: spread.last,
            width: spread.width,
            incomplete: spread.incomplete,
            last_ns,
            receivers,
            series,
            counters,
        }
    }
}

impl Tally {
    #[inline]
    fn take(&mut self, book: &mut Book, payload: &[u8]) {
        let Some(stamp) = Stamp::read(payload).filter(|stamp| stamp.run == self.expected.run) else {
            book.ledger.enter_foreign();
            return;
        };
        let Some(seq) = stamp.seq.checked_sub(self.expected.warm_up) else {
            self.warm_up += 1;
            return;
        };
        let now_ns = mono_ns();
        if book.ledger.enter(seq) != Entry::First {
            return;
        }
        // Another machine's clock may be anything; a time below zero is none.
        let ns = now_ns.saturating_sub(stamp.due_ns);
        book.latencies.record(ns);
        self.spread.reach(seq, ns);
        self.received += 1;
        self.last_ns = now_ns;
        if now_ns - self.interval_ns >= SECOND_NS {
            self.end_interval(now_ns);
        }
        self.interval.record(ns);
    }

    /// Ends an interval of the series, and begins the next one at the second that is now.
    fn end_interval(&mut self, now_ns: u64) {
        if self.interval.count() > 0 {
            let at_s = self.interval_ns as f64 / 1e9;
            self.series.push(Interval::of(at_s, (now_ns - self.interval_ns) as f64 / 1e9, &self.interval));
            self.all.add(&self.interval);
            self.interval.clear();
        }
        self.interval_ns = now_ns;
    }
}
