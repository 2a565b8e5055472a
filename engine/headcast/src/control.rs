//! The control thread: asks who the peers are, prepares the batch for them, and passes it over.
//!
//! Everything that may block, allocate or log happens here.

mod assembling;
mod watching;
mod ways;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use headcast_peers::handoff::handoff;
use headcast_peers::{Outcome, Report, Stop, Watcher};
use headcast_udp::{Failure, Peers};

use assembling::Assembler;
use watching::Watch;
pub(crate) use ways::{Framing, Ways};

use crate::clock;
use crate::counters::PublisherCounters;
use crate::egress::{Fanout, Plan};
use crate::queue::Queue;

pub(crate) use headcast_peers::handoff::Intake;

/// How long after an offer the set that it replaced is collected.
const COLLECT_AFTER: Duration = Duration::from_millis(50);

/// What the control thread knows, for any thread to read.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Times the source was asked.
    lookups: AtomicU64,
    /// Those among them that brought nothing to rely on.
    lookups_failed: AtomicU64,
    /// When the set was last known to be what the source says, on the monotonic clock; 0 = never.
    confirmed_ns: AtomicU64,
    /// Somebody has said who the peers are, be it nobody.
    known: AtomicBool,
    latest: Mutex<Latest>,
}

#[derive(Debug, Default)]
struct Latest {
    peers: [Option<Arc<Peers>>; 2],
    /// Those that the sockets send to while others are sent frames.
    others: [Option<Arc<Peers>>; 2],
    frames: Option<FrameStatus>,
    ttl: Option<Duration>,
    outcome: Option<Outcome>,
    over_limit: usize,
}

impl Shared {
    fn latest(&self) -> MutexGuard<'_, Latest> {
        // Whoever panicked while holding it left a value that is whole: each field is set at once.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the source said last.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.latest().outcome.clone()
    }
}

/// The running control thread.
pub(crate) struct Control {
    _watch: Option<Watch>,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Starts asking, and with `ways` watching them. The data thread takes what comes from the [`Intake`], and is woken through `queue`.
    pub(crate) fn start(
        watcher: Watcher,
        plan: Plan,
        ways: Option<Ways>,
        queue: &Arc<Queue>,
    ) -> io::Result<(Self, Intake<Fanout>, Arc<Shared>)> {
        let (offer, intake) = handoff();
        let shared = Arc::new(Shared {
            lookups: AtomicU64::new(0),
            lookups_failed: AtomicU64::new(0),
            confirmed_ns: AtomicU64::new(0),
            known: AtomicBool::new(false),
            latest: Mutex::default(),
        });
        let stop = Stop::new();
        let watched = ways.is_some();
        let assembler = Assembler::new(offer, plan, Arc::clone(queue), Arc::clone(&shared), ways);
        let watch = if watched { Some(Watch::start(&assembler)?) } else { None };
        let refresher =
            Refresher { watcher, assembler, stop: stop.clone(), shared: Arc::clone(&shared), said: None };
        let thread =
            std::thread::Builder::new().name("headcast-control".into()).spawn(move || refresher.run())?;
        Ok((Self { _watch: watch, stop, thread: Some(thread) }, intake, shared))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; there is nothing left to do about it here.
            let _ = thread.join();
        }
    }
}

struct Refresher {
    watcher: Watcher,
    assembler: Assembler,
    stop: Stop,
    shared: Arc<Shared>,
    /// What was logged last, so that a lasting failure is said once.
    said: Option<String>,
}

impl Refresher {
    fn run(mut self) {
        loop {
            let asked_ns = clock::mono_ns();
            let report = self.watcher.refresh(clock::instant(), &self.stop);
            if self.stop.is_stopped() {
                return;
            }
            let next = report.next;
            self.log(&report);
            self.publish(report, asked_ns);
            // The data thread takes a new set at once, and may have to wait for this before it takes another.
            let soon = COLLECT_AFTER.min(next);
            if self.stop.wait(soon) {
                return;
            }
            self.assembler.lock().collect();
            if self.stop.wait(next - soon) {
                return;
            }
        }
    }

    fn publish(&mut self, report: Report, asked_ns: u64) {
        self.shared.lookups.fetch_add(1, Relaxed);
        if !report.outcome.is_current() {
            self.shared.lookups_failed.fetch_add(1, Relaxed);
        }
        if report.outcome.is_current() {
            self.shared.confirmed_ns.store(asked_ns, Relaxed);
        }
        let answered = report.changed || report.outcome.is_current();
        let first = answered && !self.shared.known.load(Relaxed);
        let Report { changed, outcome, ttl, over_limit, .. } = report;
        if changed || first {
            self.assembler.lock().offer(self.watcher.peers());
            self.shared.known.store(true, Relaxed);
        }
        // After the set: whoever hears of the outcome finds it.
        {
            let mut latest = self.shared.latest();
            latest.ttl = ttl;
            latest.outcome = Some(outcome);
            latest.over_limit = over_limit;
        }
        // Whoever waits for peers wants to hear of a failure as well.
        self.assembler.lock().wake();
    }

    fn log(&mut self, report: &Report) {
        if report.changed {
            tracing::info!(
                peers = self.watcher.peers().len(),
                added = ?Few(&report.added),
                removed = ?Few(&report.removed),
                "peer set changed"
            );
        }
        let healthy = matches!(report.outcome, Outcome::Fresh | Outcome::Unchanged);
        let trouble = (!healthy).then(|| report.outcome.to_string());
        match (&trouble, &self.said) {
            (Some(new), Some(old)) if new == old && !report.changed => {}
            (Some(new), _) if self.watcher.peers().is_empty() => tracing::warn!("there are no peers: {new}"),
            (Some(new), _) => {
                tracing::warn!(peers = self.watcher.peers().len(), "keeping the last known peers: {new}")
            }
            (None, Some(_)) => {
                tracing::info!(peers = self.watcher.peers().len(), "the source of the peers answers again")
            }
            (None, None) => {}
        }
        if report.over_limit > 0 {
            tracing::warn!(
                excess = report.over_limit,
                "more peers than the limit allows: the excess receives nothing"
            );
        }
        self.said = trouble;
    }
}

/// The first few of many addresses, for a log line of bounded length.
struct Few<'a>(&'a [SocketAddr]);

impl std::fmt::Debug for Few<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MOST: usize = 8;
        let mut list = f.debug_list();
        list.entries(self.0.iter().take(MOST));
        if self.0.len() > MOST {
            list.entry(&format_args!("and {} more", self.0.len() - MOST));
        }
        list.finish()
    }
}

/// Reads what a publisher does, from any thread, without disturbing it.
#[derive(Clone)]
pub struct Monitor {
    pub(crate) counters: Arc<PublisherCounters>,
    pub(crate) shared: Arc<Shared>,
}

/// Who is sent frames by AF_XDP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameStatus {
    /// The name of the interface that they go out by.
    pub interface: String,
    /// How many of the peers.
    pub peers: usize,
}

/// Who the peers are and how sure that is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The peers, IPv4 first, each family in order.
    pub peers: Vec<SocketAddr>,
    /// Those that the kernel refused to send to since they have been peers.
    pub failures: Vec<Failure>,
    /// How long ago the source last confirmed the set; `None` if it never did.
    pub age: Option<Duration>,
    /// For how long the last answer said that it may be used.
    pub ttl: Option<Duration>,
    /// How often the source was asked, and how often that brought nothing to rely on.
    pub lookups: (u64, u64),
    /// What the source said last.
    pub outcome: Option<Outcome>,
    /// Peers beyond the limit, which receive nothing.
    pub over_limit: usize,
    /// Who is sent frames by AF_XDP; `None` if nobody is.
    pub frames: Option<FrameStatus>,
}

impl Monitor {
    /// The counters.
    #[must_use]
    pub fn counters(&self) -> &PublisherCounters {
        &self.counters
    }

    /// Who the peers are, as of the last answer.
    #[must_use]
    pub fn status(&self) -> Status {
        let failures = self.failures();
        let latest = self.shared.latest();
        let tables = || latest.peers.iter().flatten();
        let confirmed_ns = self.shared.confirmed_ns.load(Relaxed);
        let age_ns = clock::mono_ns().saturating_sub(confirmed_ns);
        Status {
            peers: tables().flat_map(|peers| peers.addresses()).copied().collect(),
            failures,
            age: (confirmed_ns > 0).then(|| Duration::from_nanos(age_ns)),
            ttl: latest.ttl,
            lookups: (self.shared.lookups.load(Relaxed), self.shared.lookups_failed.load(Relaxed)),
            outcome: latest.outcome.clone(),
            over_limit: latest.over_limit,
            frames: latest.frames.clone(),
        }
    }

    /// The peers that the kernel refused to send to.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        let latest = self.shared.latest();
        let tables = latest.peers.iter().chain(&latest.others).flatten();
        let mut failures: Vec<Failure> = Vec::new();
        for failure in tables.flat_map(|peers| peers.failures()) {
            // A peer that frames do not go to stands in a table of its own as well.
            match failures.iter_mut().find(|known| known.peer == failure.peer) {
                Some(known) => {
                    known.rejected += failure.rejected;
                    known.quarantined |= failure.quarantined;
                }
                None => failures.push(failure),
            }
        }
        failures
    }
}
