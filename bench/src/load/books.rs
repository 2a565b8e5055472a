//! Everything that the receivers of a run got, written down by one thread.

use std::collections::BTreeMap;

use headcast::clock::mono_ns;
use serde::{Deserialize, Serialize};

use super::ledger::{Account, Entry, Ledger};
use super::outcome::{Interval, Received, Receiver};
use super::{Latencies, Spread, Stamp};

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

/// The books of all receivers.
#[derive(Debug)]
pub struct Books {
    expected: Expected,
    books: Vec<Book>,
    spread: Spread,
    all: Latencies,
    /// Messages of the warm-up that came.
    warm_up: u64,
    /// When the last measured message came.
    last_ns: u64,
    /// When anything of this run came, repeated or of the warm-up, as well.
    heard_ns: u64,
    interval: Latencies,
    interval_ns: u64,
    series: Vec<Interval>,
    /// When it was first asked whether this is the end.
    ending_ns: Option<u64>,
}

/// Of one receiver.
#[derive(Debug)]
struct Book {
    ledger: Ledger,
    latencies: Latencies,
    /// Why nothing comes any more.
    closed: Option<String>,
}

impl Books {
    /// Empty, for so many receivers.
    #[must_use]
    pub fn new(receivers: usize, expected: Expected) -> Self {
        let book = || Book {
            ledger: Ledger::new(expected.messages.saturating_sub(expected.warm_up)),
            latencies: Latencies::new(),
            closed: None,
        };
        Self {
            expected,
            books: std::iter::repeat_with(book).take(receivers).collect(),
            spread: Spread::new(receivers),
            all: Latencies::new(),
            warm_up: 0,
            last_ns: 0,
            heard_ns: 0,
            interval: Latencies::new(),
            interval_ns: mono_ns(),
            series: Vec::new(),
            ending_ns: None,
        }
    }

    /// Writes down that `payload` has just come to a receiver.
    ///
    /// # Panics
    /// If there is no such receiver.
    #[inline]
    pub fn take(&mut self, receiver: usize, payload: &[u8]) {
        let book = &mut self.books[receiver];
        let Some(stamp) = Stamp::read(payload).filter(|stamp| stamp.run == self.expected.run) else {
            book.ledger.enter_foreign();
            return;
        };
        let now_ns = mono_ns();
        self.heard_ns = now_ns;
        let Some(seq) = stamp.seq.checked_sub(self.expected.warm_up) else {
            self.warm_up += 1;
            return;
        };
        if book.ledger.enter(seq) != Entry::First {
            return;
        }
        // Another machine's clock may be anything; a time below zero is none.
        let ns = now_ns.saturating_sub(stamp.due_ns);
        book.latencies.record(ns);
        self.spread.reach(seq, ns);
        self.last_ns = now_ns;
        if now_ns - self.interval_ns >= SECOND_NS {
            self.end_interval(now_ns);
        }
        self.interval.record(ns);
    }

    /// Nothing comes to a receiver any more; says why.
    ///
    /// # Panics
    /// If there is no such receiver.
    pub fn close(&mut self, receiver: usize, why: String) {
        self.books[receiver].closed.get_or_insert(why);
    }

    /// Whether nothing comes to a receiver any more.
    ///
    /// # Panics
    /// If there is no such receiver.
    #[must_use]
    pub fn is_closed(&self, receiver: usize) -> bool {
        self.books[receiver].closed.is_some()
    }

    /// Whether everything has come of the `sent` measured messages, now that no more are sent, or will not come.
    pub fn is_over(&mut self, sent: u64) -> bool {
        let now_ns = mono_ns();
        let since_ns = *self.ending_ns.get_or_insert(now_ns);
        let complete = self.books.iter().all(|book| book.closed.is_some() || book.ledger.received() >= sent);
        let quiet = now_ns.saturating_sub(self.heard_ns.max(since_ns)) > QUIET_NS;
        complete || quiet || now_ns - since_ns > DRAIN_NS
    }

    /// What it came to, when `sent` measured messages were sent; `dropped` are the datagrams that each receiver's socket
    /// dropped, as far as that is known, and `counters` what the receiving systems count by themselves.
    #[must_use]
    pub fn settle(mut self, sent: u64, dropped: &[u64], counters: BTreeMap<String, u64>) -> Received {
        self.end_interval(mono_ns());
        self.spread.finish(sent);
        let receiver = |(at, book): (usize, Book)| Receiver {
            account: book.ledger.account(sent),
            latency: book.latencies.summary(),
            socket_dropped: dropped.get(at).copied().unwrap_or(0),
            closed: book.closed,
        };
        let receivers: Vec<Receiver> = self.books.into_iter().enumerate().map(receiver).collect();
        let sum =
            |count: fn(&Account) -> u64| receivers.iter().map(|receiver| count(&receiver.account)).sum();
        Received {
            total: Account {
                received: sum(|account| account.received),
                lost: sum(|account| account.lost),
                duplicates: sum(|account| account.duplicates),
                reordered: sum(|account| account.reordered),
                longest_gap: receivers.iter().map(|receiver| receiver.account.longest_gap).max().unwrap_or(0),
                foreign: sum(|account| account.foreign),
            },
            warm_up: self.warm_up,
            latency: self.all,
            first: self.spread.first,
            median: self.spread.median,
            last: self.spread.last,
            width: self.spread.width,
            incomplete: self.spread.incomplete,
            last_ns: self.last_ns,
            receivers,
            series: self.series,
            counters,
        }
    }

    /// Ends an interval of the series; the next one begins now.
    fn end_interval(&mut self, now_ns: u64) {
        if self.interval.count() > 0 {
            let at_s = self.interval_ns as f64 / 1e9;
            let length_s = now_ns.saturating_sub(self.interval_ns) as f64 / 1e9;
            self.series.push(Interval::of(at_s, length_s, &self.interval));
            self.all.add(&self.interval);
            self.interval.clear();
        }
        self.interval_ns = now_ns;
    }
}
