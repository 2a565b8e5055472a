//! The recorder: responses in, rows committed, acknowledgements out.
//!
//! ```text
//!   data thread                                       writer's thread
//!   recvmmsg -> check -> batch being filled
//!                             |  whenever the writer is idle
//!                             +--------- batch -------> one transaction, committed
//!   sendto <- receipts <------+--------- batch -------- what is stored of each responder
//! ```
//!
//! There are two batches, and no more memory than they take: one is filled while the other is written. That
//! is also what groups commits: whatever comes during a commit goes into the next one. When both are full,
//! responses are not taken; nobody acknowledges them, and their responders send them again.

mod builder;
mod reading;
mod ready;
mod receiving;
mod state;
mod writing;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use headcast::counters::Refusals;
use headcast::{BuildError, clock};
use headcast_proto::Sequencer;
use headcast_udp::{Buffer, Inbox};
use mio::{Events, Poll, Waker};

pub use builder::Builder;
pub use state::State;

use crate::counters::RecorderCounters;
use crate::{Batch, StoreError};
use ready::Ready;
use state::Shared;
use writing::Report;

/// How long the writer may take to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Decides by a datagram's bytes whether it is dropped on purpose.
type Impairment = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// Stores responses until it is told to stop.
pub struct Recorder {
    poll: Poll,
    events: Events,
    listen: SocketAddr,
    /// `None` while another process has the address.
    socket: Option<UdpSocket>,
    /// What the kernel granted.
    buffer: Option<Buffer>,
    /// The socket is of IPv6.
    ipv6: bool,
    receive_buffer: usize,
    inbox: Inbox,
    sequencer: Sequencer,
    filling: Batch,
    /// Since when something has been waiting in it, on the monotonic clock.
    since_ns: u64,
    /// The other batch, while the writer is idle.
    spare: Option<Batch>,
    /// How many responses the writer has, and since when.
    handed: usize,
    handed_ns: u64,
    commit_wait_ns: u64,
    /// When it may be logged again that something was skipped.
    skipped_said_ns: u64,
    ready: Option<Ready>,
    impairment: Option<Impairment>,
    to_writer: Option<Sender<Batch>>,
    from_writer: Receiver<Report>,
    writer: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    counters: Arc<RecorderCounters>,
    refusals: Arc<Refusals>,
}

/// Asks a recorder to stop, from any thread.
#[derive(Clone)]
pub struct Stopper {
    asked: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stopper {
    /// Lets [`Recorder::run`] commit what it has taken, and return.
    pub fn stop(&self) {
        self.asked.store(true, SeqCst);
        // The eventfd behind it lives as long as the waker.
        let _ = self.waker.wake();
    }
}

/// Why a recorder ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecordError {
    /// The database cannot be used, and that will not pass by itself.
    Store(StoreError),
    /// The address to listen on cannot be had.
    Bind(BuildError),
    /// The socket or the event loop failed.
    Io(io::Error),
    /// The writer's thread is gone; why has been printed.
    Writer,
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Bind(error) => error.fmt(f),
            Self::Io(error) => write!(f, "cannot receive: {error}"),
            Self::Writer => f.write_str("the thread that writes to the database is gone"),
        }
    }
}

impl std::error::Error for RecordError {}

impl Recorder {
    /// Starts from the defaults.
    pub fn builder(database: crate::Database) -> Builder {
        Builder::new(database)
    }

    /// Where it listens; `None` while it stands by for a process that has the address.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.as_ref().and_then(|socket| socket.local_addr().ok())
    }

    /// What the kernel granted of the receive buffer; `None` as long as there is no socket.
    #[must_use]
    pub fn receive_buffer(&self) -> Option<Buffer> {
        self.buffer
    }

    /// Where it answers connections while it is ready, if it was asked to.
    #[must_use]
    pub fn ready_addr(&self) -> Option<SocketAddr> {
        self.ready.as_ref().map(Ready::address)
    }

    /// What happened so far; may be read from any thread.
    #[must_use]
    pub fn counters(&self) -> &Arc<RecorderCounters> {
        &self.counters
    }

    /// Why datagrams were refused; may be read from any thread.
    #[must_use]
    pub fn refusals(&self) -> &Arc<Refusals> {
        &self.refusals
    }

    /// Reads how it stands, from any thread.
    pub fn watch(&self) -> impl Fn() -> State + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.state()
    }

    /// Asks it to stop, from any thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper { asked: Arc::clone(&self.shared.stop), waker: Arc::clone(&self.shared.waker) }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        // Without a sender the writer ends, unless a server keeps it waiting for ever: then it is left behind.
        self.to_writer = None;
        let deadline = clock::instant() + PATIENCE;
        loop {
            match self.from_writer.recv_deadline(deadline) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(writer) = self.writer.take() {
            // A panic over there has been printed; there is nothing left to do about it here.
            let _ = writer.join();
        }
    }
}
