//! What came of it all, and whether the promise was kept.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::account::Totals;
use super::loss::Loss;
use super::recording::Recorded;
use super::service::{Lifetime, Stay};

/// Everything that is told at the end.
pub(super) struct Results {
    pub(super) loss: Loss,
    pub(super) dns_server: SocketAddr,
    pub(super) interrupted: bool,
    /// For how long messages were published.
    pub(super) elapsed: Duration,
    /// Messages per second that were asked for.
    pub(super) rate: f64,
    pub(super) published: u64,
    /// Messages that did not go out in all copies.
    pub(super) unsent: u64,
    pub(super) lookups: (u64, u64),
    pub(super) peer_sets: u64,
    pub(super) rows: Vec<Row>,
    pub(super) traffic: Traffic,
    /// From the header's timestamp to the delivery, in ns.
    pub(super) latencies: Histogram<u64>,
    pub(super) recorded: Recorded,
}

/// What became of one process of a pod.
pub(super) struct Row {
    pub(super) ip: Ipv4Addr,
    pub(super) lifetime: Lifetime,
    pub(super) totals: Totals,
}

/// Datagrams that got to the pods.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) datagrams: u64,
    pub(super) dropped_on_purpose: u64,
    pub(super) duplicates: u64,
    pub(super) socket_dropped: u64,
}

impl Traffic {
    pub(super) fn of(stays: &[Stay]) -> Self {
        stays.iter().fold(Self::default(), |sum, stay| {
            let counters = &stay.books.counters;
            Self {
                datagrams: sum.datagrams + counters.datagrams.get(),
                dropped_on_purpose: sum.dropped_on_purpose + counters.impaired.get(),
                duplicates: sum.duplicates + counters.duplicates.get(),
                socket_dropped: sum.socket_dropped + counters.socket_dropped.get(),
            }
        })
    }
}

impl Results {
    pub(super) fn totals(&self) -> Totals {
        self.rows.iter().fold(Totals::default(), |mut sum, row| {
            sum += row.totals;
            sum
        })
    }

    /// Messages per second.
    pub(super) fn achieved(&self) -> f64 {
        #[expect(clippy::cast_precision_loss)]
        let published = self.published as f64;
        if self.elapsed.is_zero() { 0.0 } else { published / self.elapsed.as_secs_f64() }
    }

    /// Whether clearly fewer messages were published than the rate asks for.
    pub(super) fn is_behind(&self) -> bool {
        let due = self.elapsed.as_secs_f64() * self.rate;
        #[expect(clippy::cast_precision_loss)]
        let published = self.published as f64;
        published < due * 0.99 - 1.0
    }

    /// In which way the promise was broken, if it was.
    pub(super) fn broken(&self) -> Option<String> {
        let totals = self.totals();
        let mut ways = Vec::new();
        let mut count = |count: u64, one: &str, many: &str| match count {
            0 => {}
            1 => ways.push(format!("1 message {one}")),
            count => ways.push(format!("{count} messages {many}")),
        };
        count(totals.lost_otherwise, "was lost that had to arrive", "were lost that had to arrive");
        count(totals.twice, "was handed on twice", "were handed on twice");
        count(totals.wrong, "was altered", "were altered");
        count(self.unsent, "was not sent", "were not sent");
        ways.extend(self.recorded.broken());
        if ways.is_empty() {
            return None;
        }
        let mut said = ways.join(", ");
        if self.traffic.socket_dropped > 0 {
            said += &format!(
                "; the kernel dropped {} datagrams because the pods did not empty their sockets in time: try a lower --rate or fewer --peers",
                self.traffic.socket_dropped
            );
        }
        Some(said)
    }

    /// One object with these members:
    ///
    /// - `promise_kept`: every message arrived at every pod that was owed it, once and unaltered, unless both
    ///   its copies were dropped on purpose. If false the exit code is 1.
    /// - `interrupted`: a signal ended it early.
    /// - `dns_server`, `name`: what the publisher asked, and for whom.
    /// - `seed`, `loss_percent`: which datagrams were dropped on purpose.
    /// - `seconds`, `rate_asked`, `rate_achieved`, `published`: for how long messages were published, how many
    ///   per second, and how many altogether; `unsent`: those not sent in all copies.
    /// - `copies`: how often each was sent.
    /// - `pods_at_start`, `pods_joined`, `pods_left`, `pods_back`: how many pods came and went.
    /// - `lookups`, `lookups_failed`, `peer_sets`: what the publisher asked DNS, and how often another set of
    ///   peers resulted.
    /// - `datagrams`, `dropped_on_purpose`, `duplicates`, `socket_dropped`: datagrams that got to the pods;
    ///   of these those dropped on purpose and those dropped as duplicates; and those that the kernel
    ///   dropped at full sockets.
    /// - `owed`, `delivered`, `rescued`, `lost_on_purpose`, `lost_otherwise`: messages, each counted once for
    ///   each pod. `owed` is the sum of `delivered`, `lost_on_purpose` and `lost_otherwise`; `rescued` is the
    ///   part of `delivered` that the second copy brought.
    /// - `lost_on_purpose_expected`: `owed` times the square of the loss.
    /// - `delivered_besides`: handed on though not owed, while a pod was just coming or going.
    /// - `delivered_twice`, `altered`: must be 0.
    /// - `recorder`: what became of the pods' answers, see below.
    /// - `latency_us`: from publishing to delivery, in microseconds: `p50`, `p90`, `p99`, `p99_9`, `max`;
    ///   null if nothing was delivered.
    pub(super) fn json(&self) -> Value {
        let totals = self.totals();
        let pods = |which: fn(&Lifetime) -> bool| self.rows.iter().filter(|row| which(&row.lifetime)).count();
        json!({
            "promise_kept": self.broken().is_none(),
            "interrupted": self.interrupted,
            "dns_server": self.dns_server.to_string(),
            "name": super::dns::SERVICE,
            "seed": self.loss.seed(),
            "loss_percent": self.loss.percent(),
            "seconds": self.elapsed.as_secs_f64(),
            "rate_asked": self.rate,
            "rate_achieved": self.achieved(),
            "published": self.published,
            "unsent": self.unsent,
            "copies": super::COPIES,
            "pods_at_start": pods(|lifetime| lifetime.came.is_none()),
            "pods_joined": pods(|lifetime| lifetime.came.is_some() && !lifetime.again),
            "pods_left": pods(|lifetime| lifetime.left.is_some()),
            "pods_back": pods(|lifetime| lifetime.again),
            "lookups": self.lookups.0,
            "lookups_failed": self.lookups.1,
            "peer_sets": self.peer_sets,
            "datagrams": self.traffic.datagrams,
            "dropped_on_purpose": self.traffic.dropped_on_purpose,
            "duplicates": self.traffic.duplicates,
            "socket_dropped": self.traffic.socket_dropped,
            "owed": totals.owed,
            "delivered": totals.delivered,
            "rescued": totals.rescued,
            "lost_on_purpose": totals.lost_on_purpose,
            "lost_on_purpose_expected": self.loss.expected(totals.owed),
            "lost_otherwise": totals.lost_otherwise,
            "delivered_besides": totals.besides,
            "delivered_twice": totals.twice,
            "altered": totals.wrong,
            "recorder": self.recorded.json(),
            "latency_us": self.latency_json(),
        })
    }

    fn latency_json(&self) -> Value {
        if self.latencies.is_empty() {
            return Value::Null;
        }
        #[expect(clippy::cast_precision_loss)]
        let us = |ns: u64| ns as f64 / 1000.0;
        let at = |quantile: f64| us(self.latencies.value_at_quantile(quantile));
        json!({
            "p50": at(0.5),
            "p90": at(0.9),
            "p99": at(0.99),
            "p99_9": at(0.999),
            "max": us(self.latencies.max()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(totals: Totals, socket_dropped: u64) -> Results {
        let lifetime = Lifetime { came: None, left: None, again: false };
        Results {
            loss: Loss::new(3.0, 1),
            dns_server: (Ipv4Addr::LOCALHOST, 53).into(),
            interrupted: false,
            elapsed: Duration::from_secs(2),
            rate: 1000.0,
            published: 2000,
            unsent: 0,
            lookups: (2, 0),
            peer_sets: 1,
            rows: vec![Row { ip: Ipv4Addr::LOCALHOST, lifetime, totals }],
            traffic: Traffic { socket_dropped, ..Traffic::default() },
            latencies: Histogram::new(3).unwrap(),
            recorded: Recorded::default(),
        }
    }

    #[test]
    fn what_is_lost_on_purpose_breaks_no_promise() {
        let totals = Totals { owed: 9, delivered: 8, lost_on_purpose: 1, besides: 5, ..Totals::default() };
        let results = results(totals, 0);
        assert_eq!(results.broken(), None);
        assert_eq!(results.json()["promise_kept"], true);
    }

    #[test]
    fn what_is_lost_otherwise_comes_twice_or_altered_breaks_the_promise() {
        let broken = [
            (Totals { lost_otherwise: 1, ..Totals::default() }, "1 message was lost"),
            (Totals { twice: 2, ..Totals::default() }, "2 messages were handed on twice"),
            (Totals { wrong: 3, ..Totals::default() }, "3 messages were altered"),
        ];
        for (totals, how) in broken {
            let said = results(totals, 0).broken().expect("it is broken");
            assert!(said.contains(how) && !said.contains("kernel"), "{said}");
            let said = results(totals, 70).broken().expect("it is broken");
            assert!(said.contains("the kernel dropped 70 datagrams"), "{said}");
        }
    }

    #[test]
    fn a_rate_that_was_not_reached_is_told() {
        let mut results = results(Totals::default(), 0);
        assert!(!results.is_behind());
        results.rate = 1100.0;
        assert!(results.is_behind());
        (results.rate, results.published) = (0.001, 1);
        assert!(!results.is_behind());
    }
}
