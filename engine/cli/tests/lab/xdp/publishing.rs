//! A publisher that sends numbered messages at a steady rate until it is told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use headcast::{Monitor, PublisherBuilder};

use super::SETTLED;
use crate::support::{Lab, SOON, now, until_within};

/// Between two messages: slow enough for a test machine that does other things as well.
const EVERY: Duration = Duration::from_micros(500);

pub(super) struct Publishing {
    stop: Arc<AtomicBool>,
    messages: Arc<AtomicU64>,
    monitor: Monitor,
    thread: JoinHandle<Done>,
}

/// What it has done.
pub(super) struct Done {
    /// How many messages, numbered from 0.
    pub(super) messages: u64,
    pub(super) counters: BTreeMap<&'static str, u64>,
}

impl Done {
    pub(super) fn count(&self, name: &str) -> u64 {
        self.counters[name]
    }
}

impl Publishing {
    pub(super) fn start(lab: &Lab, builder: PublisherBuilder) -> Self {
        let (stop, messages) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopping, published) = (Arc::clone(&stop), Arc::clone(&messages));
        let (tell, told) = std::sync::mpsc::channel();
        let thread = lab.thread("publisher", move || {
            let mut publisher = builder.build().expect("a publisher");
            publisher.wait_for_peers(SOON).expect("peers");
            tell.send(publisher.monitor()).expect("the test waits");
            let start = now();
            let mut number = 0u64;
            while !stopping.load(Relaxed) {
                let due = start + EVERY * u32::try_from(number).expect("a short test");
                publisher.turn(Some(due.saturating_duration_since(now()))).expect("a turn");
                if due <= now() {
                    publisher.publish(&number.to_le_bytes()).expect("published");
                    number += 1;
                    published.store(number, Relaxed);
                }
            }
            assert_eq!(publisher.close(SOON).expect("closed"), 0);
            let counters: BTreeMap<_, _> = publisher.counters().each().collect();
            let sent = ["sent_first", "sent_later", "sent_heartbeats"].map(|name| counters[name]);
            let lost = ["rejected", "transient", "quarantined"].map(|name| counters[name]);
            let booked = sent.iter().chain(&lost).sum::<u64>();
            assert_eq!(counters["offered"], booked, "the counters add up: {counters:?}");
            assert!(counters["sent_xdp"] <= sent.iter().sum(), "{counters:?}");
            Done { messages: number, counters }
        });
        let monitor = told.recv().expect("a publisher");
        Self { stop, messages, monitor, thread }
    }

    /// Messages so far.
    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }

    /// Datagrams that went as frames so far.
    pub(super) fn framed(&self) -> u64 {
        self.monitor.counters().sent_xdp.get()
    }

    /// Waits until so many peers are sent frames.
    pub(super) fn until_framed(&self, peers: usize) {
        until_within(&format!("frames go to {peers} peers"), SETTLED, || {
            self.monitor.status().frames.is_some_and(|frames| frames.peers == peers)
        });
    }

    /// Waits until so many peers are sent frames by this interface.
    pub(super) fn until_framed_by(&self, interface: &str, peers: usize) {
        until_within(&format!("frames go to {peers} peers by {interface}"), SETTLED, || {
            self.monitor
                .status()
                .frames
                .is_some_and(|frames| frames.peers == peers && frames.interface == interface)
        });
    }

    /// Waits until nobody is sent frames.
    pub(super) fn until_unframed(&self) {
        until_within("no frames", SETTLED, || self.monitor.status().frames.is_none());
    }

    /// Waits until so many datagrams have gone as frames.
    pub(super) fn until_framed_datagrams(&self, least: u64) {
        until_within("datagrams go as frames", 2 * SETTLED, || self.framed() >= least);
    }

    /// Waits until there were so many messages.
    pub(super) fn until_messages(&self, least: u64) {
        until_within("messages go out", 2 * SETTLED, || self.messages() >= least);
    }

    pub(super) fn stop(self) -> Done {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("no panic")
    }
}
