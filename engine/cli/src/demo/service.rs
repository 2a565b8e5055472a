//! The service: which pods are ready, and who is told when that changes.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::account::{Owed, Totals};
use super::dns::NameServer;
use super::driver::Received;
use super::pods::{Books, Network, Pods};
use super::publishing::Progress;
use super::script::{Change, LINGER, Script};
use crate::failure::Failure;

/// A pod that has been ready for so long must have been found: several lookups, on a busy machine.
const FOUND_MAX: Duration = Duration::from_secs(5);
/// How many addresses a line names.
const NAMED_MAX: usize = 5;

/// The pods behind the name, past and present.
pub(super) struct Service {
    dns: NameServer,
    pods: Pods,
    network: Network,
    changes: VecDeque<(Duration, Change)>,
    stays: Vec<Stay>,
}

/// One process of a pod, from ready to closed.
pub(super) struct Stay {
    pod: usize,
    pub(super) ip: Ipv4Addr,
    pub(super) lifetime: Lifetime,
    pub(super) books: Books,
    closed: bool,
    /// From here on it is owed messages, whether or not any reached it.
    owed_from: Option<u64>,
    /// What was out in all copies when it left.
    owed_to: Option<u64>,
}

/// When a process was ready, in time since the first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// `None`: from the start.
    pub(super) came: Option<Duration>,
    /// `None`: to the end.
    pub(super) left: Option<Duration>,
    /// It had been there before.
    pub(super) again: bool,
}

impl Service {
    /// Makes those pods ready that are so from the start.
    pub(super) fn start(
        dns: NameServer,
        pods: Pods,
        network: Network,
        script: Script,
    ) -> Result<Self, Failure> {
        let mut service = Self { dns, pods, network, changes: script.changes.into(), stays: Vec::new() };
        for pod in 0..script.start {
            // Found before the first message, so that is owed as well.
            service.open(pod, None, Some(1))?;
        }
        service.tell();
        Ok(service)
    }

    pub(super) fn expect(&self, session: headcast::Session) {
        self.pods.expect(session);
    }

    pub(super) fn stays(&self) -> &[Stay] {
        &self.stays
    }

    /// How many pods are ready.
    pub(super) fn ready(&self) -> usize {
        self.stays.iter().filter(|stay| stay.is_ready()).count()
    }

    /// Does what is due at `now`, time since the first message; says what it did, a line for each thing.
    pub(super) fn go_on(
        &mut self,
        now: Duration,
        progress: &Progress,
        peers: &[SocketAddr],
    ) -> Result<Vec<String>, Failure> {
        for stay in &mut self.stays {
            let since = now.saturating_sub(stay.lifetime.came.unwrap_or_default());
            if stay.is_ready() && stay.owed_from.is_none() && since >= FOUND_MAX {
                stay.owed_from = Some(progress.published() + 1);
            }
        }
        let mut said = self.close_those_that_left(now);
        while self.changes.front().is_some_and(|(at, change)| *at <= now && self.can_be(change, peers)) {
            let Some((_, change)) = self.changes.pop_front() else { break };
            said.push(format!("{change} {}", self.named(change.pods().iter().copied())));
            self.change(&change, now, progress)?;
        }
        Ok(said)
    }

    /// A pod comes back when its old process is gone and forgotten: else the publisher would take the new
    /// one for the old one that it is about to drop.
    fn can_be(&self, change: &Change, peers: &[SocketAddr]) -> bool {
        let Change::Return(pods) = change else { return true };
        let gone = |pod: &usize| {
            let ip = IpAddr::V4(self.network.ip(*pod));
            let running = self.stays.iter().any(|stay| stay.pod == *pod && !stay.closed);
            !running && peers.iter().all(|peer| peer.ip() != ip)
        };
        pods.iter().all(gone)
    }

    fn change(&mut self, change: &Change, now: Duration, progress: &Progress) -> Result<(), Failure> {
        match change {
            Change::Join(pods) | Change::Return(pods) => {
                for &pod in pods {
                    self.open(pod, Some(now), None)?;
                }
            }
            Change::Leave(pods) => {
                for stay in self.stays.iter_mut().filter(|stay| stay.is_ready() && pods.contains(&stay.pod)) {
                    stay.lifetime.left = Some(now);
                    stay.owed_to = Some(progress.out());
                }
            }
        }
        self.tell();
        Ok(())
    }

    fn open(&mut self, pod: usize, came: Option<Duration>, owed_from: Option<u64>) -> Result<(), Failure> {
        let again = self.stays.iter().any(|stay| stay.pod == pod);
        let books = self.pods.open(pod)?;
        let lifetime = Lifetime { came, left: None, again };
        let ip = self.network.ip(pod);
        self.stays.push(Stay { pod, ip, lifetime, books, closed: false, owed_from, owed_to: None });
        Ok(())
    }

    fn close_those_that_left(&mut self, now: Duration) -> Vec<String> {
        let mut closed = Vec::new();
        for stay in &mut self.stays {
            if !stay.closed && stay.lifetime.left.is_some_and(|left| now >= left + LINGER) {
                stay.closed = true;
                self.pods.close(&stay.books);
                closed.push(stay.pod);
            }
        }
        if closed.is_empty() {
            return Vec::new();
        }
        vec![format!("{} closed: {}", pods(closed.len()), self.named(closed.into_iter()))]
    }

    /// Tells the DNS who is ready.
    fn tell(&self) {
        self.dns.serve(self.stays.iter().filter(|stay| stay.is_ready()).map(|stay| stay.ip));
    }

    fn named(&self, pods: impl ExactSizeIterator<Item = usize>) -> String {
        let more = pods.len().saturating_sub(NAMED_MAX);
        let names: Vec<_> = pods.take(NAMED_MAX).map(|pod| self.network.ip(pod).to_string()).collect();
        let names = names.join(", ");
        if more == 0 { names } else { format!("{names} and {more} more") }
    }

    /// Closes everything, once nothing comes any more.
    pub(super) fn finish(self) -> Result<(Vec<Stay>, Received), Failure> {
        Ok((self.stays, self.pods.finish()?))
    }
}

impl Stay {
    fn is_ready(&self) -> bool {
        self.lifetime.left.is_none()
    }

    /// What became of what it is owed, if the last message that is out in all copies is `last`.
    pub(super) fn settle(&self, last: u64) -> Totals {
        let ledger = std::mem::take(&mut *self.books.ledger.lock());
        ledger.close(Owed { from: self.owed_from, to: self.owed_to.unwrap_or(last) })
    }
}

/// So many pods.
pub(super) fn pods(count: usize) -> String {
    if count == 1 { "1 pod".into() } else { format!("{count} pods") }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let linger = LINGER.as_secs_f64();
        let one = self.pods().len() == 1;
        let pods = pods(self.pods().len());
        match self {
            Self::Join(_) => write!(f, "{pods} {}:", if one { "joins" } else { "join" }),
            Self::Leave(_) => {
                let (leave, receive) = if one { ("leaves", "receives") } else { ("leave", "receive") };
                write!(f, "{pods} {leave} the DNS and still {receive} for {linger} s:")
            }
            Self::Return(_) => write!(f, "{pods} {} back, as a new process:", if one { "is" } else { "are" }),
        }
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |at: Duration| format!("{} s", (at.as_secs_f64() * 10.0).round() / 10.0);
        match (self.came, self.left) {
            (None, None) => f.write_str("all the time"),
            (None, Some(left)) => write!(f, "left at {}", s(left)),
            (Some(came), Some(left)) => write!(f, "{} to {}", s(came), s(left)),
            (Some(came), None) if self.again => write!(f, "back at {}", s(came)),
            (Some(came), None) => write!(f, "joined at {}", s(came)),
        }
    }
}
