//! The receiving end: many datagrams a call, each message handed on once.

mod builder;
mod events;
mod timing;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use headcast_proto::{Datagram, Now, Receiver, Session, Verdict};
use headcast_udp::{Capabilities, Errno, ReceiveBatch};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

pub use builder::Builder;
pub use events::Event;

use crate::clock::{self, nanos};
use crate::counters::{Refusals, SubscriberCounters};
use crate::timer::Timer;

/// Full batches in a row after which what is due is done although more is there: more than any socket's
/// buffer holds.
const BEHIND_MAX: u32 = 256;

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
/// As a mio event source it is edge-triggered: after an event call [`try_recv`](Self::try_recv) or
/// [`try_next`](Self::try_next) until it says `None`. It wakes the poll for its own timers as well: repairs are
/// asked for, and gaps given up, in those calls.
pub struct Subscriber {
    socket: UdpSocket,
    batch: ReceiveBatch,
    buffers: Box<[Box<[u8]>]>,
    /// Datagrams of the last batch: how many there are, and how many have been judged.
    filled: usize,
    judged: usize,
    /// The message that comes after the events.
    found: Option<Found>,
    /// When the last batch was received.
    now: Now,
    /// Batches since the socket was empty.
    behind: u32,
    receiver: Receiver,
    /// Where requests for each place of the receiver's go.
    sources: Box<[Option<SocketAddr>]>,
    timer: Timer,
    /// Nothing is waited for any more.
    finishing: bool,
    /// The socket is of IPv6.
    ipv6: bool,
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

    /// The next message, waited for without end. Other events are passed over; see [`next`](Self::next).
    ///
    /// # Errors
    /// When the socket fails.
    pub fn recv(&mut self) -> io::Result<Message<'_>> {
        loop {
            match self.advance()? {
                Some(Ready::Message(found)) => return Ok(self.message(found)),
                Some(Ready::Other(_)) => {}
                None => self.wait(None)?,
            }
        }
    }

    /// The next message, waited for as long as `timeout`; `None` if there was none. Other events are passed
    /// over; see [`next`](Self::next).
    ///
    /// # Errors
    /// When the socket fails.
    pub fn recv_timeout(&mut self, timeout: Duration) -> io::Result<Option<Message<'_>>> {
        let deadline_ns = clock::mono_ns().saturating_add(nanos(timeout));
        loop {
            match self.advance()? {
                Some(Ready::Message(found)) => return Ok(Some(self.message(found))),
                Some(Ready::Other(_)) => {}
                None if !self.wait_until(deadline_ns)? => return Ok(None),
                None => {}
            }
        }
    }

    /// The next message that is there already. Other events are passed over; see [`try_next`](Self::try_next).
    ///
    /// # Errors
    /// When the socket fails.
    #[inline]
    pub fn try_recv(&mut self) -> io::Result<Option<Message<'_>>> {
        loop {
            match self.advance()? {
                Some(Ready::Message(found)) => return Ok(Some(self.message(found))),
                Some(Ready::Other(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// The next message, gap or change of a publisher, waited for as long as `timeout`; `None` if there was
    /// none.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn next(&mut self, timeout: Duration) -> io::Result<Option<Event<'_>>> {
        let deadline_ns = clock::mono_ns().saturating_add(nanos(timeout));
        loop {
            match self.advance()? {
                Some(ready) => return Ok(Some(self.event(ready))),
                None if !self.wait_until(deadline_ns)? => return Ok(None),
                None => {}
            }
        }
    }

    /// The next message, gap or change of a publisher that is there already.
    ///
    /// # Errors
    /// When the socket fails.
    #[inline]
    pub fn try_next(&mut self) -> io::Result<Option<Event<'_>>> {
        Ok(self.advance()?.map(|ready| self.event(ready)))
    }

    /// Judges datagrams, and does what is due, until there is something to hand on.
    #[inline]
    fn advance(&mut self) -> io::Result<Option<Ready>> {
        loop {
            if let Some(ready) = self.next_event() {
                return Ok(Some(ready));
            }
            if let Some(found) = self.found.take() {
                return Ok(Some(Ready::Message(found)));
            }
            while self.judged < self.filled {
                let at = self.judged;
                self.judged += 1;
                let found = self.judge(at);
                if let Some(ready) = self.next_event() {
                    // What happened before this message is told before it.
                    self.found = found;
                    return Ok(Some(ready));
                }
                if let Some(found) = found {
                    return Ok(Some(Ready::Message(found)));
                }
            }
            if !self.receive()? && !self.keep_time()? {
                return Ok(None);
            }
        }
    }

    /// Receives the next batch; returns whether there was any.
    #[inline]
    fn receive(&mut self) -> io::Result<bool> {
        if self.receiver.deadline_ns() <= self.now.mono_ns {
            self.ask();
        }
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
            if self.behind < BEHIND_MAX {
                self.behind += 1;
            } else {
                self.tick();
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
            self.counters.delivered.add(1);
            return Some(Found::Received { at, payload: 0, origin: None });
        }
        let datagram = match Datagram::parse(bytes) {
            Ok(datagram) => datagram,
            Err(refusal) => {
                self.refusals.count(refusal);
                return None;
            }
        };
        let verdict = self.receiver.accept(self.now, &datagram);
        if let Some(place) = self.receiver.noticed() {
            self.sources[place] = meta.from;
        }
        match verdict {
            Verdict::Deliver { rescued, .. } => {
                self.counters.delivered.add(1);
                self.counters.rescued.add(rescued.into());
                let origin = Origin {
                    publisher: datagram.publisher(),
                    session: datagram.session(),
                    stream: datagram.stream(),
                    seq: datagram.seq(),
                    timestamp_ns: datagram.timestamp(),
                    rescued,
                };
                let payload = meta.len - datagram.payload().len();
                return Some(Found::Received { at, payload, origin: Some(origin) });
            }
            Verdict::Kept => self.counters.kept.add(1),
            Verdict::Duplicate => self.counters.duplicates.add(1),
            Verdict::Ended | Verdict::Noted => self.counters.notes.add(1),
            Verdict::Refused(refusal) => self.refusals.count(refusal),
        }
        None
    }

    #[inline]
    fn message(&self, found: Found) -> Message<'_> {
        match found {
            Found::Received { at, payload, origin } => {
                let meta = self.batch.meta(at);
                Message { payload: &self.buffers[at][payload..meta.len], source: meta.from, origin }
            }
            Found::Kept { len, place, origin } => {
                let source = self.sources.get(place).copied().flatten();
                Message { payload: self.receiver.payload(len), source, origin: Some(origin) }
            }
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

    /// Gives up what is missing, as there will be no more: what waits for it comes next, without it.
    pub fn give_up(&mut self) {
        self.finishing = true;
    }

    /// Sequences that have not arrived, but may still.
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

/// What can be handed on.
enum Ready {
    Message(Found),
    Other(Event<'static>),
}

/// Where a message lies.
#[derive(Clone, Copy)]
enum Found {
    /// In the buffers of the batch, from `payload` on; it ends with the datagram, for nothing sealed is
    /// accepted.
    Received { at: usize, payload: usize, origin: Option<Origin> },
    /// In the receiver. It is from the publisher of this place.
    Kept { len: usize, place: usize, origin: Origin },
}

impl mio::event::Source for Subscriber {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.timer.as_fd().as_raw_fd()).register(registry, token, Interest::READABLE)?;
        SourceFd(&self.socket.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.timer.as_fd().as_raw_fd()).reregister(registry, token, Interest::READABLE)?;
        SourceFd(&self.socket.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.timer.as_fd().as_raw_fd()).deregister(registry)?;
        SourceFd(&self.socket.as_raw_fd()).deregister(registry)
    }
}
