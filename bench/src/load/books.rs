//! Everything that the receivers of a run got, written down by one thread.

mod arrivals;

use std::collections::BTreeMap;

use headcast::clock::mono_ns;
use serde::{Deserialize, Serialize};

use super::ledger::{Account, Ledger};
use super::outcome::{Interval, Received, Receiver};
use super::{Latencies, Spread, Stamp, Tally};

pub use arrivals::Arrivals;

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
    books: Vec<Book>,
    common: Common,
    /// When it was first asked whether this is the end.
    ending_ns: Option<u64>,
}

/// Of one receiver.
#[derive(Debug)]
struct Book {
    ledger: Ledger,
    latencies: Tally,
    /// Why nothing comes any more.
    closed: Option<String>,
}

/// Of all receivers together.
#[derive(Debug)]
struct Common {
    /// What the payloads of this run begin with.
    front: u64,
    /// How many messages, from the first on, are not measured.
    unmeasured: u64,
    spread: Spread,
    all: Latencies,
    /// Messages of the warm-up that came.
    warm_up: u64,
    /// When the last measured message came.
    last_ns: u64,
    /// When anything of this run came, repeated or of the warm-up, as well.
    heard_ns: u64,
    interval: Tally,
    interval_ns: u64,
    series: Vec<Interval>,
}

impl Books {
    /// Empty, for so many receivers.
    #[must_use]
    pub fn new(receivers: usize, expected: Expected) -> Self {
        let book = || Book {
            ledger: Ledger::new(expected.messages.saturating_sub(expected.warm_up)),
            latencies: Tally::new(),
            closed: None,
        };
        let common = Common {
            front: Stamp::front(expected.run),
            unmeasured: expected.warm_up,
            spread: Spread::new(receivers),
            all: Latencies::new(),
            warm_up: 0,
            last_ns: 0,
            heard_ns: 0,
            interval: Tally::new(),
            interval_ns: mono_ns(),
            series: Vec::new(),
        };
        Self { books: std::iter::repeat_with(book).take(receivers).collect(), common, ending_ns: None }
    }

    /// For what a receiver is about to read.
    ///
    /// # Panics
    /// If there is no such receiver.
    #[inline]
    pub fn arrivals(&mut self, receiver: usize) -> Arrivals<'_> {
        Arrivals::new(&mut self.books[receiver], &mut self.common)
    }

    /// Writes down that `payload` has just come to a receiver, alone.
    ///
    /// # Panics
    /// If there is no such receiver.
    pub fn take(&mut self, receiver: usize, payload: &[u8]) {
        self.arrivals(receiver).take(payload);
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
        let quiet = now_ns.saturating_sub(self.common.heard_ns.max(since_ns)) > QUIET_NS;
        complete || quiet || now_ns - since_ns > DRAIN_NS
    }

    /// What it came to, when `sent` measured messages were sent; `dropped` are the datagrams that each receiver's socket
    /// dropped, as far as that is known, and `counters` what the receiving systems count by themselves.
    #[must_use]
    pub fn settle(self, sent: u64, dropped: &[u64], counters: BTreeMap<String, u64>) -> Received {
        let mut common = self.common;
        common.end_interval(mono_ns());
        common.spread.finish(sent);
        let receiver = |(at, book): (usize, Book)| Receiver {
            account: book.ledger.account(sent),
            latency: book.latencies.latencies().summary(),
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
            warm_up: common.warm_up,
            latency: common.all,
            first: common.spread.first,
            median: common.spread.median,
            last: common.spread.last,
            width: common.spread.width,
            incomplete: common.spread.incomplete,
            last_ns: common.last_ns,
            receivers,
            series: common.series,
            counters,
        }
    }
}

impl Common {
    /// Ends an interval of the series; the next one begins now.
    fn end_interval(&mut self, now_ns: u64) {
        let latencies = self.interval.latencies();
        if latencies.count() > 0 {
            let at_s = self.interval_ns as f64 / 1e9;
            let length_s = now_ns.saturating_sub(self.interval_ns) as f64 / 1e9;
            self.series.push(Interval::of(at_s, length_s, &latencies));
            self.all.add(&latencies);
            self.interval.clear();
        }
        self.interval_ns = now_ns;
    }
}
