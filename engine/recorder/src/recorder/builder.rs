//! The settings of a recorder, their defaults and their ranges.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::bounded;
use headcast::counters::Refusals;
use headcast::limits::{DATAGRAM_MAX, RECORDER_PORT_DEFAULT, RESULT_MAX};
use headcast::{BuildError, clock, host_publisher_id};
use headcast_proto::{Sequencer, Session};
use headcast_udp::Inbox;
use mio::{Events, Poll, Waker};

use super::ready::Ready;
use super::receiving::WRITER;
use super::state::Shared;
use super::{Impairment, Recorder, writing};
use crate::counters::RecorderCounters;
use crate::{Batch, Database, Durability, Options};

/// The most responses in one transaction.
const ROWS_MAX: usize = 1 << 20;
/// The most bytes of results in one.
const BYTES_MAX: usize = 1 << 30;
/// With PostgreSQL, whose largest allocation is 1 GiB: the results of a batch are one array.
const POSTGRES_BYTES_MAX: usize = 256 << 20;
/// The longest that a response can wait for others.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Builds a [`Recorder`].
#[must_use]
pub struct Builder {
    database: Database,
    listen: SocketAddr,
    ready: Option<SocketAddr>,
    keep_all: bool,
    durability: Durability,
    commit_rows: usize,
    commit_bytes: usize,
    commit_wait: Duration,
    receive_buffer: usize,
    impairment: Option<Impairment>,
}

impl Builder {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            listen: (Ipv4Addr::UNSPECIFIED, RECORDER_PORT_DEFAULT).into(),
            ready: None,
            keep_all: false,
            durability: Durability::Power,
            commit_rows: 16_384,
            commit_bytes: 16 << 20,
            commit_wait: Duration::ZERO,
            receive_buffer: 4 << 20,
            impairment: None,
        }
    }

    /// Where to receive responses; 0.0.0.0:12001 by default.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Where to accept TCP connections, and close them at once, as long as responses are being stored: for probes. By
    /// default nowhere.
    pub fn ready(mut self, address: SocketAddr) -> Self {
        self.ready = Some(address);
        self
    }

    /// Keeps every response in a row of its own, beside the one row for each message.
    pub fn keep_all(mut self, keep_all: bool) -> Self {
        self.keep_all = keep_all;
        self
    }

    /// What an acknowledged response survives; a power cut by default.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The most responses in one transaction, 16,384 by default, and the most bytes of their results, 16 MiB by default.
    /// Twice as much memory is taken.
    pub fn commit(mut self, rows: usize, bytes: usize) -> Self {
        (self.commit_rows, self.commit_bytes) = (rows, bytes);
        self
    }

    /// How long a response may wait for others before they are committed together; not at all by default.
    pub fn commit_wait(mut self, wait: Duration) -> Self {
        self.commit_wait = wait;
        self
    }

    /// The receive buffer to ask the kernel for, in bytes; 4 MiB by default.
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = bytes;
        self
    }

    /// Drops, on purpose, the responses that arrive and the acknowledgements that go out for which `drop` says `true`:
    /// for trying out what loss does.
    pub fn impair(mut self, drop: impl FnMut(&[u8]) -> bool + Send + 'static) -> Self {
        self.impairment = Some(Box::new(drop));
        self
    }

    /// Bytes of memory that are taken for responses.
    #[must_use]
    pub fn memory(&self) -> usize {
        2 * (self.commit_bytes + self.commit_rows * Batch::ENTRY_BYTES)
    }

    /// Opens the socket, takes all memory, and starts the thread that writes.
    ///
    /// # Errors
    /// A setting out of its range, or an address that cannot be had. That another process listens there is none yet: it
    /// may be the recorder that this one stands by for.
    pub fn build(self) -> Result<Recorder, BuildError> {
        self.check()?;
        let os = |what| move |error| BuildError::Os(what, error);
        let poll = Poll::new().map_err(os("start the event loop"))?;
        let waker = Waker::new(poll.registry(), WRITER).map_err(os("start the event loop"))?;
        let ready = self
            .ready
            .map(|address| Ready::new(address).map_err(|error| BuildError::Bind { address, error }));
        let ready = ready.transpose()?;
        let random =
            getrandom::u32().map_err(|error| BuildError::Os("draw a session", io::Error::other(error)))?;
        let session = Session::new(clock::unix_ns() / 1_000_000, random);
        let id = host_publisher_id().map_err(os("find a number for this recorder"))?;
        let shared = Shared::new(waker);
        let (to_writer, batches) = bounded(1);
        // One report is under way for each batch, and one for each change of state; the writer waits for room.
        let (reports, from_writer) = bounded(4);
        let options = Options { keep_all: self.keep_all, durability: self.durability };
        let writer = writing::Writer::new(self.database, options, batches, reports, Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("headcast-writer".into());
        let mut recorder = Recorder {
            poll,
            events: Events::with_capacity(16),
            listen: self.listen,
            socket: None,
            buffer: None,
            ipv6: self.listen.is_ipv6(),
            receive_buffer: self.receive_buffer,
            inbox: Inbox::new(DATAGRAM_MAX + 1),
            sequencer: Sequencer::new(id, session, 0),
            filling: Batch::new(self.commit_rows, self.commit_bytes),
            since_ns: 0,
            spare: Some(Batch::new(self.commit_rows, self.commit_bytes)),
            handed: 0,
            handed_ns: 0,
            commit_wait_ns: u64::try_from(self.commit_wait.as_nanos()).unwrap_or(u64::MAX),
            skipped_said_ns: 0,
            ready,
            impairment: self.impairment,
            to_writer: Some(to_writer),
            from_writer,
            writer: None,
            shared,
            counters: Arc::new(RecorderCounters::default()),
            refusals: Arc::new(Refusals::default()),
        };
        match recorder.bind() {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                return Err(BuildError::Bind { address: self.listen, error });
            }
            _ => {}
        }
        recorder.writer = Some(thread.spawn(move || writer.run()).map_err(os("start a thread"))?);
        Ok(recorder)
    }

    fn check(&self) -> Result<(), BuildError> {
        let wrong = |what: String| Err(BuildError::Setting(what));
        if !(1..=ROWS_MAX).contains(&self.commit_rows) {
            let given = self.commit_rows;
            return wrong(format!("transactions of {given} responses are not possible: 1 to {ROWS_MAX} are"));
        }
        let most = match self.database {
            Database::Sqlite(_) => BYTES_MAX,
            Database::Postgres(_) => POSTGRES_BYTES_MAX,
        };
        if !(RESULT_MAX..=most).contains(&self.commit_bytes) {
            let given = self.commit_bytes;
            return wrong(format!(
                "transactions of {given} bytes are not possible: {RESULT_MAX}, which is the longest result, to {most} are"
            ));
        }
        if self.commit_wait > WAIT_MAX {
            return wrong(format!("to wait longer than {WAIT_MAX:?} for a commit is not possible"));
        }
        Ok(())
    }
}
