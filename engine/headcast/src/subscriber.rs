//! The receiving end: many datagrams a call, each message handed on once.

mod builder;
mod events;
mod judging;
mod message;
mod parts;
mod polling;
mod timing;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use headcast_proto::{Now, Receiver};
use headcast_udp::{Capabilities, Errno, Inbox, RECEIVE_MAX};

pub use builder::Builder;
pub use events::Event;
pub use message::{Message, Origin};

use crate::clock::{self, nanos};
use crate::counters::{Refusals, SubscriberCounters};
use crate::responder::Responder;
use crate::timer::Timer;
use events::Pending;
use parts::Parts;

/// Full batches in a row after which what is due is done although more is there: more than any socket's
/// buffer holds.
const BEHIND_MAX: u32 = 256;

/// Decides by a datagram's bytes whether it is dropped before anything else sees it.
type Impairment = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// Receives each message once.
///
/// As a mio event source it is edge-triggered: after an event call [`try_recv`](Self::try_recv) or
/// [`try_next`](Self::try_next) until it says `None`. It wakes the poll for its own timers as well: repairs are
/// asked for, and gaps given up, in those calls.
pub struct Subscriber {
    socket: UdpSocket,
    mailbox: Mailbox,
    /// What comes before the next datagram.
    before: Before,
    /// An event, and the message that it came before.
    pending: Pending,
    /// The message that is handed on, of those that share a datagram.
    parts: Parts,
    /// The last batch left nothing behind in the socket, and the socket was not looked at since.
    drained: bool,
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
    /// There is more to ask about a datagram than its header: it is raw, or may be dropped on purpose.
    unusual: bool,
    capabilities: Capabilities,
    counters: Arc<SubscriberCounters>,
    refusals: Arc<Refusals>,
}

/// Where messages lie, and who answers them.
struct Mailbox {
    inbox: Inbox,
    responder: Option<Responder>,
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
                Ready::Nothing => self.wait(None)?,
                Ready::Event => {}
                ready => return Ok(self.message(ready)),
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
                Ready::Nothing if !self.wait_until(deadline_ns)? => return Ok(None),
                Ready::Nothing | Ready::Event => {}
                ready => return Ok(Some(self.message(ready))),
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
                Ready::Nothing => return Ok(None),
                Ready::Event => {}
                ready => return Ok(Some(self.message(ready))),
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
                Ready::Nothing if !self.wait_until(deadline_ns)? => return Ok(None),
                Ready::Nothing => {}
                ready => return Ok(Some(self.event(ready))),
            }
        }
    }

    /// The next message, gap or change of a publisher that is there already.
    ///
    /// # Errors
    /// When the socket fails.
    #[inline]
    pub fn try_next(&mut self) -> io::Result<Option<Event<'_>>> {
        Ok(match self.advance()? {
            Ready::Nothing => None,
            ready => Some(self.event(ready)),
        })
    }

    /// Judges datagrams, and does what is due, until there is something to hand on.
    // Always: as a function it costs a tenth more instructions for each datagram.
    #[expect(clippy::inline_always, reason = "measured")]
    #[inline(always)]
    fn advance(&mut self) -> io::Result<Ready> {
        loop {
            match self.before {
                Before::Nothing => {}
                Before::Part => {
                    self.next_part();
                    return Ok(Ready::Part);
                }
                Before::Event => {
                    let ready = self.next_pending();
                    if ready != Ready::Nothing {
                        return Ok(ready);
                    }
                    continue;
                }
            }
            while self.next_datagram() {
                if self.take_next() {
                    return Ok(Ready::Whole);
                }
                let ready = self.judge();
                if self.receiver.has_more() {
                    // What happened before this message is told before it.
                    self.pending.after = (ready, self.before);
                    self.before = Before::Event;
                    break;
                }
                if ready != Ready::Nothing {
                    return Ok(ready);
                }
            }
            if self.before == Before::Nothing && !self.receive()? && !self.keep_time()? {
                return Ok(Ready::Nothing);
            }
        }
    }

    /// Goes on to the next datagram of the batch; returns whether there is one.
    #[inline]
    fn next_datagram(&mut self) -> bool {
        let inbox = &mut self.mailbox.inbox;
        if inbox.next_segment() {
            return true;
        }
        let Some(opened) = inbox.next_buffer() else { return false };
        self.counters.bytes.add(opened.bytes as u64);
        if opened.datagrams > 1 {
            self.counters.datagrams.add(opened.datagrams as u64 - 1);
        }
        true
    }

    /// Receives the next batch; returns whether there was any.
    // Once in a batch: apart from what is done for each datagram, and not in its way.
    #[inline(never)]
    fn receive(&mut self) -> io::Result<bool> {
        if self.receiver.deadline_ns() <= self.now.mono_ns {
            self.ask();
        }
        if self.drained {
            return Ok(false);
        }
        let received = match self.mailbox.inbox.receive(self.socket.as_fd()) {
            Ok(count) => count,
            Err(Errno::EAGAIN) => 0,
            Err(errno) => return Err(errno.into()),
        };
        if received > 0 {
            self.now = clock::now();
            // The call stopped because the socket was empty, so another one now would only say so. What comes later
            // announces itself: each arrival makes even an edge-triggered poll return once more. So does an error
            // that ended the call early, which the kernel keeps for the next call (`do_recvmmsg`, `net/socket.c`): it
            // came up after the first datagram, and a socket wakes its polls for an error as for a datagram.
            self.drained = received < RECEIVE_MAX;
            self.counters.receives.add(received as u64);
            self.counters.datagrams.add(received as u64);
            if let Some(dropped) = self.mailbox.inbox.dropped(received - 1) {
                self.counters.socket_dropped.set(dropped.into());
            }
            if self.behind < BEHIND_MAX {
                self.behind += 1;
            } else {
                self.tick();
            }
        }
        Ok(received > 0)
    }

    /// What is ready, and is a message.
    #[inline]
    fn message(&self, ready: Ready) -> Message<'_> {
        match ready {
            Ready::Whole => Message::whole(&self.mailbox),
            Ready::Part => Message::part(&self.mailbox, &self.parts),
            Ready::Raw => Message::raw(&self.mailbox),
            _ => self.kept_message(),
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

/// What comes before the next datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// Something pending.
    Event,
    /// Another message of the datagram at hand.
    Part,
}

/// What can be handed on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ready {
    Nothing,
    /// The datagram at hand, which was judged to be a whole message.
    Whole,
    /// A message of the datagram at hand, which has several.
    Part,
    /// The datagram at hand, without a header.
    Raw,
    /// The message that lies in the receiver.
    Kept,
    /// What is pending, and is no message.
    Event,
}
