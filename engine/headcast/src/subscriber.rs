//! The receiving end: many datagrams a call, each message handed on once.

mod builder;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use headcast_proto::{Datagram, Now, Receiver, Session, Verdict};
use headcast_udp::{Capabilities, Errno, ReceiveBatch};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use builder::Builder;

use crate::clock::{self, nanos};
use crate::counters::{Refusals, SubscriberCounters};

/// Decides by a datagram's bytes whether it is dropped before anything else sees it.
type Impairment = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// A message, borrowed from the receive buffer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Message<'a> {
    /// What was published.
    pub payload: &'a [u8],
    /// Where the datagram came from.
    pub source: Option<SocketAddr>,
    /// What the header says of it; `None` in raw mode.
    pub origin: Option<Origin>,
}

/// Where a message stands in what its publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The publisher's number.
    pub publisher: u32,
    /// Which run of it.
    pub session: Session,
    /// Which of its streams.
    pub stream: u16,
    /// The sequence within session and stream.
    pub seq: u64,
    /// When it was published, by the publisher's clock, in nanoseconds since the Unix epoch.
    pub timestamp_ns: u64,
    /// The first copy did not get here before this one.
    pub rescued: bool,
}

/// Receives each message once.
///
/// As a mio event source it is edge-triggered: after an event call [`try_recv`](Self::try_recv) until
/// it says `None`.
pub struct Subscriber {
    socket: UdpSocket,
    batch: ReceiveBatch,
    buffers: Box<[Box<[u8]>]>,
    /// Datagrams of the last batch: how many there are, and how many have been judged.
    filled: usize,
    judged: usize,
    /// When the last batch was received.
    now: Now,
    receiver: Receiver,
    raw: bool,
    impairment: Option<Impairment>,
    capabilities: Capabilities,
    counters: Arc<SubscriberCounters>,
    refusals: Arc<Refusals>,
}

impl Subscriber {
    /// Starts from the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The next message, waited for without end.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn recv(&mut self) -> io::Result<Message<'_>> {
        loop {
            if let Some(found) = self.advance()? {
                return Ok(self.message(found));
            }
            self.wait(None)?;
        }
    }

    /// The next message, waited for as long as `timeout`; `None` if there was none.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn recv_timeout(&mut self, timeout: Duration) -> io::Result<Option<Message<'_>>> {
        let deadline_ns = clock::mono_ns().saturating_add(nanos(timeout));
        loop {
            if let Some(found) = self.advance()? {
                return Ok(Some(self.message(found)));
            }
            let left_ns = deadline_ns.saturating_sub(clock::mono_ns());
            if left_ns == 0 {
                return Ok(None);
            }
            self.wait(Some(Duration::from_nanos(left_ns)))?;
        }
    }

    /// The next message that is there already.
    ///
    /// # Errors
    /// When the socket fails.
    #[inline]
    pub fn try_recv(&mut self) -> io::Result<Option<Message<'_>>> {
        Ok(self.advance()?.map(|found| self.message(found)))
    }

    /// Judges datagrams until one is to be handed on.
    #[inline]
    fn advance(&mut self) -> io::Result<Option<Found>> {
        loop {
            while self.judged < self.filled {
                let at = self.judged;
                self.judged += 1;
                if let Some(found) = self.judge(at) {
                    self.counters.delivered.add(1);
                    return Ok(Some(found));
                }
            }
            if !self.receive()? {
                return Ok(None);
            }
        }
    }

    /// Receives the next batch; returns whether there was any.
    #[inline]
    fn receive(&mut self) -> io::Result<bool> {
        (self.filled, self.judged) = (0, 0);
        match self.batch.receive(self.socket.as_fd(), &mut self.buffers, 0) {
            Ok(count) => self.filled = count,
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
        if self.filled > 0 {
            self.now = clock::now();
            if let Some(dropped) = self.batch.meta(self.filled - 1).dropped {
                self.counters.socket_dropped.set(dropped.into());
            }
        }
        Ok(self.filled > 0)
    }

    /// Judges one datagram: `Some` if its payload is to be handed on.
    #[inline]
    fn judge(&mut self, at: usize) -> Option<Found> {
        let meta = self.batch.meta(at);
        self.counters.datagrams.add(1);
        self.counters.bytes.add(meta.len as u64);
        let bytes = &self.buffers[at][..meta.len];
        if let Some(impairment) = &mut self.impairment
            && impairment(bytes)
        {
            self.counters.impaired.add(1);
            return None;
        }
        if meta.truncated {
            self.counters.truncated.add(1);
            return None;
        }
        if self.raw {
            return Some(Found { at, payload: 0, origin: None });
        }
        let datagram = match Datagram::parse(bytes) {
            Ok(datagram) => datagram,
            Err(refusal) => {
                self.refusals.count(refusal);
                return None;
            }
        };
        let verdict = self.receiver.accept(self.now, &datagram);
        self.counters.lost.set(self.receiver.lost());
        match verdict {
            Verdict::Deliver { rescued, opened } => {
                self.counters.rescued.add(rescued.into());
                self.counters.sessions.add(opened.into());
                let origin = Origin {
                    publisher: datagram.publisher(),
                    session: datagram.session(),
                    stream: datagram.stream(),
                    seq: datagram.seq(),
                    timestamp_ns: datagram.timestamp(),
                    rescued,
                };
                let payload = meta.len - datagram.payload().len();
                return Some(Found { at, payload, origin: Some(origin) });
            }
            Verdict::Duplicate => self.counters.duplicates.add(1),
            Verdict::Ended => {
                self.counters.notes.add(1);
                self.counters.ended.add(1);
            }
            Verdict::Noted => self.counters.notes.add(1),
            Verdict::Refused(refusal) => self.refusals.count(refusal),
        }
        None
    }

    #[inline]
    fn message(&self, found: Found) -> Message<'_> {
        let meta = self.batch.meta(found.at);
        let payload = &self.buffers[found.at][found.payload..meta.len];
        Message { payload, source: meta.from, origin: found.origin }
    }

    /// Waits until something is there, at most for `timeout`; a signal ends the wait as well.
    fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = match timeout {
            // Rounded up: not to return a moment too early and spin.
            Some(timeout) => {
                let ms = timeout.as_nanos().div_ceil(1_000_000);
                PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Has the kernel refuse what is sent from now on; what has arrived can still be received.
    ///
    /// A socket that is connected accepts only what its peer sends (`udp(7)`), so it is connected to
    /// itself.
    ///
    /// # Errors
    /// When that cannot be, e.g. without a loopback interface.
    pub fn refuse_more(&mut self) -> io::Result<()> {
        self.socket.connect(self.socket.local_addr()?)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What happened so far; may be read from any thread.
    #[must_use]
    pub fn counters(&self) -> &Arc<SubscriberCounters> {
        &self.counters
    }

    /// Why datagrams were refused; may be read from any thread.
    #[must_use]
    pub fn refusals(&self) -> &Arc<Refusals> {
        &self.refusals
    }

    /// Messages that have not arrived, but may still.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.receiver.missing()
    }

    /// What the kernel granted.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
}

/// A datagram of the batch that is to be handed on.
struct Found {
    at: usize,
    /// Where its payload begins; it ends with the datagram, for nothing sealed is accepted.
    payload: usize,
    origin: Option<Origin>,
}

impl mio::event::Source for Subscriber {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).deregister(registry)
    }
}
