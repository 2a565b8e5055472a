//! The data thread: receives, checks, hands over, acknowledges. It never waits for the database.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, TryRecvError};
use headcast::{BuildError, clock};
use headcast_proto::response::{self, ACK_LEN};
use headcast_proto::{Datagram, Refusal};
use headcast_udp::Errno;
use mio::unix::SourceFd;
use mio::{Interest, Token};

use super::reading::read;
use super::writing::Report;
use super::{RecordError, Recorder, State};
use crate::{Receipt, Responder};

/// The waker's token: the writer has something to tell, or the recorder is to stop.
pub(super) const WRITER: Token = Token(0);
const SOCKET: Token = Token(1);
const READY: Token = Token(2);

/// Calls to receive between two looks at the writer.
const RECEIVES_MAX: usize = 64;
/// A commit that takes longer means that the database is slow.
const SLOW_NS: u64 = 2_000_000_000;
/// How often something that recurs is logged.
const SAY_EVERY_NS: u64 = 1_000_000_000;
/// How often to look whether it is.
const LOOK: Duration = Duration::from_millis(250);
/// How long to wait for an address that the recorder before may still have.
const BIND_PATIENCE_NS: u64 = 2_000_000_000;
const BIND_LOOK: Duration = Duration::from_millis(20);
/// How long the last commit may take when the recorder stops.
const LAST_COMMIT_NS: u64 = 5_000_000_000;

impl Recorder {
    /// Stores what it receives, until it is told to stop: then what has been taken is committed and acknowledged.
    ///
    /// # Errors
    /// When the database cannot be used and that will not pass, or the socket cannot be had. Nothing is acknowledged then
    /// that is not stored.
    pub fn run(&mut self) -> Result<(), RecordError> {
        let mut more = false;
        while !self.shared.stop.load(SeqCst) {
            self.wait(more)?;
            self.hear()?;
            more = self.is_writer() && self.receive()?;
            self.hand_over();
            self.look();
        }
        self.finish()
    }

    /// Whether what arrives is ours to store.
    fn is_writer(&self) -> bool {
        matches!(self.shared.state(), State::Ready | State::Failing)
    }

    /// Waits until something happens or is due.
    fn wait(&mut self, more: bool) -> Result<(), RecordError> {
        let timeout = if more {
            Some(Duration::ZERO)
        } else if self.spare.is_none() || self.is_unannounced() {
            Some(LOOK)
        } else if self.filling.is_empty() {
            None
        } else {
            let due_ns = self.since_ns.saturating_add(self.commit_wait_ns);
            Some(Duration::from_nanos(due_ns.saturating_sub(clock::mono_ns())))
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => result.map_err(RecordError::Io)?,
        }
        if let Some(ready) =
            self.ready.as_mut().filter(|_| self.events.iter().any(|event| event.token() == READY))
        {
            ready.accept();
        }
        Ok(())
    }

    /// Hears what the writer tells.
    fn hear(&mut self) -> Result<(), RecordError> {
        loop {
            match self.from_writer.try_recv() {
                Ok(Report::Fatal(error)) => return Err(RecordError::Store(error)),
                Ok(report) => self.heard(report)?,
                Err(TryRecvError::Empty) => return Ok(()),
                // It ends when it is told to stop, perhaps before we know.
                Err(TryRecvError::Disconnected) if self.shared.stop.load(SeqCst) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(RecordError::Writer),
            }
        }
    }

    fn heard(&mut self, report: Report) -> Result<(), RecordError> {
        let counters = &self.counters;
        match report {
            Report::State(State::Ready) => self.take_over()?,
            Report::State(state) => self.enter(state),
            Report::Failed => counters.failures.add(1),
            Report::Stored { batch, tally, receipts } => {
                counters.commits.add(1);
                counters.stored.add(tally.stored);
                counters.duplicates.add(tally.duplicates);
                counters.ahead.add(tally.ahead);
                counters.rows.add(tally.rows);
                counters.divergent.add(tally.divergent);
                counters.result_bytes.add(tally.bytes);
                counters.skipped.add(tally.skipped);
                if tally.skipped > 0 {
                    self.note_skipped();
                }
                // The writer goes on at once; then those are told that wait for it.
                self.get_back(batch);
                self.hand_over();
                for receipt in &receipts {
                    self.acknowledge(receipt);
                }
                if self.shared.state() == State::Failing {
                    self.enter(State::Ready);
                }
            }
            Report::GivenBack(batch) => {
                counters.given_back.add(batch.len() as u64);
                self.get_back(batch);
            }
            Report::Fatal(error) => return Err(RecordError::Store(error)),
        }
        Ok(())
    }

    /// Says, once a second at most, that another database has what this one lacks.
    #[cold]
    fn note_skipped(&mut self) {
        let now_ns = clock::mono_ns();
        if now_ns >= self.skipped_said_ns {
            self.skipped_said_ns = now_ns + SAY_EVERY_NS;
            let skipped = self.counters.skipped.get();
            tracing::warn!(
                skipped,
                "responders no longer hold responses that are not in this database: another one acknowledged them"
            );
        }
    }

    fn get_back(&mut self, mut batch: crate::Batch) {
        batch.clear();
        self.spare = Some(batch);
    }

    /// From now on this is the recorder that writes.
    fn take_over(&mut self) -> Result<(), RecordError> {
        let deadline_ns = clock::mono_ns().saturating_add(BIND_PATIENCE_NS);
        while self.socket.is_none() {
            match self.bind() {
                Ok(()) => {}
                // The one before is gone, but its socket may be closed a moment later than its lock.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && clock::mono_ns() < deadline_ns => {
                    std::thread::sleep(BIND_LOOK);
                }
                Err(error) => {
                    let address = self.listen;
                    return Err(RecordError::Bind(BuildError::Bind { address, error }));
                }
            }
        }
        self.enter(State::Ready);
        Ok(())
    }

    /// Opens the socket, unless it is open.
    pub(super) fn bind(&mut self) -> io::Result<()> {
        let (socket, buffer) = headcast_udp::ingress(self.listen, self.receive_buffer)?;
        self.poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), SOCKET, Interest::READABLE)?;
        (self.socket, self.buffer) = (Some(socket), Some(buffer));
        Ok(())
    }

    fn enter(&mut self, state: State) {
        let before = self.shared.set_state(state);
        if before == state {
            return;
        }
        tracing::info!(was = before.name(), "{}", state.name());
        if !self.is_writer() {
            self.give_back();
        }
        let Some(ready) = &mut self.ready else { return };
        if state != State::Ready {
            ready.close();
        } else if let Err(error) = ready.open(self.poll.registry(), READY) {
            tracing::warn!("cannot say on {} yet that the recorder is ready: {error}", ready.address());
        }
    }

    /// Whether it is ready and could not say so: the one before may still have the port.
    fn is_unannounced(&self) -> bool {
        self.shared.state() == State::Ready && self.ready.as_ref().is_some_and(|ready| !ready.is_open())
    }

    /// Receives what is there, within bounds; returns whether there may be more.
    fn receive(&mut self) -> Result<bool, RecordError> {
        for _ in 0..RECEIVES_MAX {
            let Some(socket) = &self.socket else { return Ok(false) };
            let count = match self.inbox.receive(socket.as_fd()) {
                Ok(count) => count,
                Err(Errno::EAGAIN) => return Ok(false),
                Err(errno) => return Err(RecordError::Io(errno.into())),
            };
            let now = clock::now();
            if self.filling.is_empty() {
                self.since_ns = now.mono_ns;
            }
            self.counters.datagrams.add(count as u64);
            if let Some(dropped) = self.inbox.dropped(count - 1) {
                self.counters.socket_dropped.set(dropped.into());
            }
            for at in 0..count {
                self.take(at, now.unix_ns);
            }
            if self.spare.is_some() || !self.from_writer.is_empty() {
                // The writer is idle, or about to be: what is there goes to it first.
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Takes one datagram of the last call, if it is a response and there is room.
    fn take(&mut self, at: usize, received_ns: u64) {
        let (bytes, truncated) = self.inbox.datagram(at);
        self.counters.bytes.add(bytes.len() as u64);
        if self.impairment.as_mut().is_some_and(|drop| drop(bytes)) {
            self.counters.impaired.add(1);
            return;
        }
        if truncated {
            self.counters.truncated.add(1);
            return;
        }
        let response = Datagram::parse(bytes).and_then(|datagram| {
            // Only a Unix socket has no source.
            let source = self.inbox.source(at).ok_or(Refusal::Unexpected)?;
            read(&datagram, source, received_ns)
        });
        match response {
            Ok(response) if self.filling.push(&response) => self.counters.responses.add(1),
            Ok(_) => self.counters.backlog.add(1),
            Err(refusal) => self.refusals.count(refusal),
        }
    }

    /// Gives the writer what has been filled, if it is idle and that has waited long enough.
    fn hand_over(&mut self) {
        if self.filling.is_empty() || !self.is_writer() {
            return;
        }
        let now_ns = clock::mono_ns();
        let waited = now_ns.saturating_sub(self.since_ns) >= self.commit_wait_ns;
        if !waited && !self.filling.is_full() {
            return;
        }
        let (Some(spare), Some(to_writer)) = (self.spare.take(), &self.to_writer) else { return };
        let filled = std::mem::replace(&mut self.filling, spare);
        (self.handed, self.handed_ns) = (filled.len(), now_ns);
        // The writer is idle, so there is room, unless it is gone: that is noticed when it is heard.
        if let Err(error) = to_writer.try_send(filled) {
            let batch = error.into_inner();
            self.counters.given_back.add(batch.len() as u64);
            self.get_back(batch);
        }
    }

    /// Notices a database that is slow, and a port that is free at last.
    fn look(&mut self) {
        if self.is_unannounced()
            && let Some(ready) = &mut self.ready
        {
            // It was logged when it failed for the first time.
            let _ = ready.open(self.poll.registry(), READY);
        }
        let is_slow = self.spare.is_none() && clock::mono_ns().saturating_sub(self.handed_ns) > SLOW_NS;
        if is_slow && self.shared.state() == State::Ready {
            tracing::warn!("a commit has taken more than {} s", SLOW_NS / 1_000_000_000);
            self.enter(State::Failing);
        }
    }

    /// Tells a responder what is stored.
    fn acknowledge(&mut self, receipt: &Receipt) {
        let Some(socket) = &self.socket else { return };
        let mut datagram = [0; ACK_LEN];
        let Responder { publisher, session } = receipt.responder;
        let stored = (receipt.next, receipt.bitmap);
        response::seal_ack(&mut self.sequencer, &mut datagram, clock::now(), (publisher, session), stored);
        if self.impairment.as_mut().is_some_and(|drop| drop(&datagram)) {
            return;
        }
        let to = match receipt.source {
            SocketAddr::V4(v4) if self.ipv6 => {
                SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
            }
            other => other,
        };
        match socket.send_to(&datagram, to) {
            Ok(_) => self.counters.acknowledgements.add(1),
            // The responder sends again, and is told again.
            Err(_) => self.counters.acknowledgements_failed.add(1),
        }
    }

    /// Commits and acknowledges what has been taken.
    fn finish(&mut self) -> Result<(), RecordError> {
        let deadline_ns = clock::mono_ns().saturating_add(LAST_COMMIT_NS);
        // Nobody is told that a recorder is ready that stops.
        self.ready = None;
        self.commit_wait_ns = 0;
        let mut is_given_up = false;
        loop {
            if is_given_up || !self.is_writer() {
                self.give_back();
            } else {
                self.hand_over();
            }
            if self.filling.is_empty() && self.spare.is_some() {
                break;
            }
            let left_ns = deadline_ns.saturating_sub(clock::mono_ns());
            match self.from_writer.recv_timeout(Duration::from_nanos(left_ns)) {
                Ok(report) => {
                    // Whoever is told to stop while it fails gives back what it has.
                    is_given_up |= matches!(report, Report::GivenBack(_));
                    self.heard(report)?;
                }
                // Out of time, or the writer is gone, and with it what it had not looked at yet.
                Err(error) => {
                    if error == RecvTimeoutError::Disconnected && self.spare.is_none() {
                        self.counters.given_back.add(self.handed as u64);
                    }
                    self.give_back();
                    is_given_up = true;
                    break;
                }
            }
        }
        if is_given_up {
            tracing::warn!("the database did not take the last responses; their responders keep them");
        }
        Ok(())
    }

    /// Gives up what has been taken and not handed over: its responders keep it.
    fn give_back(&mut self) {
        self.counters.given_back.add(self.filling.len() as u64);
        self.filling.clear();
    }
}
