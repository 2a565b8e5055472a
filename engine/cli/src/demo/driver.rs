//! The thread that drives all pods: it receives, books what it got, and answers.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use headcast::Subscriber;
use mio::{Events, Interest, Poll, Token};

use super::message;
use super::pods::{SharedLedger, WAKER};
use super::recording::{ANSWERED, answer};
use crate::report;

/// At the end: so long without a datagram, and at most so long altogether.
const QUIET: Duration = Duration::from_millis(100);
const QUIET_MAX: Duration = Duration::from_secs(2);

/// A process of a pod.
pub(super) struct Pod {
    pub(super) token: usize,
    pub(super) subscriber: Box<Subscriber>,
    pub(super) ledger: SharedLedger,
    /// It answers something else than the others.
    pub(super) lies: bool,
}

pub(super) enum Command {
    Open(Pod),
    Close(usize),
    Finish,
}

/// What all pods together have seen.
#[derive(Clone)]
pub(super) struct Received {
    /// How long messages took, in ns.
    pub(super) latencies: Histogram<u64>,
    /// Messages that at least one pod has answered.
    pub(super) answered: HashSet<u64>,
}

/// One thread for all pods: a poll that knows each by its token.
pub(super) struct Driver {
    poll: Poll,
    commands: Receiver<Command>,
    session: Arc<AtomicU64>,
    /// By token; `None` when closed.
    pods: Vec<Option<Pod>>,
    received: Received,
}

impl Driver {
    pub(super) fn new(poll: Poll, commands: Receiver<Command>, session: Arc<AtomicU64>) -> io::Result<Self> {
        // 100 ns to a minute, to three digits.
        let latencies = Histogram::new_with_bounds(100, 60_000_000_000, 3).map_err(io::Error::other)?;
        Ok(Self {
            poll,
            commands,
            session,
            pods: Vec::new(),
            received: Received { latencies, answered: HashSet::new() },
        })
    }

    pub(super) fn run(&mut self) -> io::Result<Received> {
        let mut events = Events::with_capacity(256);
        let mut finish = None;
        loop {
            match self.poll.poll(&mut events, finish.map(|_| QUIET)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let quiet = events.is_empty();
            for event in &events {
                if event.token() != WAKER {
                    self.receive(event.token().0)?;
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    Command::Open(pod) => self.open(pod)?,
                    Command::Close(token) => self.close(token)?,
                    Command::Finish => finish = Some(report::now() + QUIET_MAX),
                }
            }
            if finish.is_some_and(|latest| quiet || report::now() >= latest) {
                return Ok(self.received.clone());
            }
        }
    }

    fn open(&mut self, mut pod: Pod) -> io::Result<()> {
        let token = pod.token;
        self.poll.registry().register(&mut *pod.subscriber, Token(token), Interest::READABLE)?;
        if self.pods.len() <= token {
            self.pods.resize_with(token + 1, || None);
        }
        self.pods[token] = Some(pod);
        Ok(())
    }

    /// Takes what is there before the socket is closed.
    fn close(&mut self, token: usize) -> io::Result<()> {
        self.receive(token)?;
        if let Some(mut pod) = self.pods.get_mut(token).and_then(Option::take) {
            self.poll.registry().deregister(&mut *pod.subscriber)?;
        }
        Ok(())
    }

    /// Takes everything that is there for one pod.
    fn receive(&mut self, token: usize) -> io::Result<()> {
        let Some(Some(Pod { subscriber, ledger, lies, .. })) = self.pods.get_mut(token) else {
            return Ok(());
        };
        let mut buffer = [0; message::LEN_MAX];
        while let Some(message) = subscriber.try_recv()? {
            let Some(origin) = message.origin else { continue };
            if origin.session.to_bits() != self.session.load(Relaxed) {
                continue;
            }
            let right = message.payload == message::write(origin.seq, &mut buffer);
            ledger.lock().delivered(origin.seq, origin.rescued, right);
            if origin.seq % ANSWERED == 0 && message.respond(answer(origin.seq, *lies).as_bytes()).is_ok() {
                self.received.answered.insert(origin.seq);
            }
            // A clock that was set back in between counts as no time at all.
            self.received.latencies.saturating_record(unix_ns().saturating_sub(origin.timestamp_ns));
        }
        Ok(())
    }
}

/// Nanoseconds since the Unix epoch, as in the headers.
#[expect(clippy::disallowed_methods, reason = "the programs are an edge where time is read")]
fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
