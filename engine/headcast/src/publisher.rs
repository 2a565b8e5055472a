//! The data thread: takes messages in, seals them where they lie, and sends each to all peers.

mod aside;
mod backend;
mod beating;
mod builder;
mod check;
mod claim;
mod closing;
mod cutting;
mod intake;
mod mode;
mod packing;
mod posting;
mod repairing;
mod sending;
mod sizes;
mod trains;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use headcast_proto::{HEADER_LEN, Heartbeat, Schedule, Sequencer, Session};
use headcast_udp::Capabilities;
use mio::{Events, Poll, Token};

use aside::Aside;
pub use backend::Backend;
pub use builder::Builder;
pub use claim::Claim;
use cutting::Cut;
pub use mode::Mode;
use repairing::Repairing;
pub(crate) use sizes::Sizes;
use trains::Trains;

use crate::affinity;
use crate::clock::{self, nanos};
use crate::control::{Control, Intake, Monitor, Shared};
use crate::counters::PublisherCounters;
use crate::egress::{Egress, Fanout};
use crate::error::{PublishError, WaitError};
use crate::identity::Identity;
use crate::ingress::Ingress;
use crate::queue::{Handle, Queue};
use crate::ring::Ring;
use crate::timer::Timer;

const WAKER: Token = Token(0);
const EGRESS: Token = Token(1);
const INGRESS: Token = Token(2);
const TIMER: Token = Token(3);
/// Of IPv4 and IPv6.
const ANSWERS: [Token; 2] = [Token(4), Token(5)];

/// Waits shorter than this are timed to the nanosecond; `epoll_wait` would round them up to milliseconds.
const TIMER_BELOW_NS: u64 = 10_000_000;

/// How often a turn looks for what came to the sockets that send. Until then it waits in their buffers.
const STRAYS_EVERY_NS: u64 = 1_000_000_000;

/// What to do with a message when the ring is full of messages that have not gone out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backlog {
    /// Wait. Nothing is dropped and no copy is left out; whoever publishes is slowed down.
    #[default]
    Block,
    /// Refuse the new message.
    DropNewest,
    /// Give up the oldest message.
    DropOldest,
}

/// Sends each message to every peer.
///
/// All memory is taken when it is built. It is driven by whoever owns it: by [`turn`](Self::turn) in a
/// loop of his own, or by [`run`](Self::run). Without turns later copies wait for the next message, who asks for
/// a repair is heard once in 64 messages, and there is no heartbeat.
pub struct Publisher {
    sequencer: Sequencer,
    schedule: Schedule,
    ring: Ring,
    aside: Aside,
    fanout: Box<Fanout>,
    egress: Egress,
    /// The copy that is going out.
    pass: Option<Pass>,
    /// Passes that a turn sends before it looks at events again.
    passes_max: usize,
    /// How many datagrams go out together.
    trains: Trains,
    /// Whether messages may share a datagram.
    packing: bool,
    /// Copies below this one begin with another peer than the last: the first one's pass rotates, or none.
    rotates_below: u8,
    /// What is going out instead that does not lie in the ring.
    beside: Option<Beside>,
    heartbeat: Heartbeat,
    /// The heartbeat, or the farewell, that went out last.
    beat: [u8; HEADER_LEN],
    /// When the publisher said that it stops.
    ended_ns: Option<u64>,
    /// In the modes with repairs.
    repairing: Option<Box<Repairing>>,
    /// The message that is being cut into datagrams.
    cut: Option<Cut>,
    /// Whether anybody has said who the peers are; until then messages wait.
    peers_known: bool,
    intake: Intake<Fanout>,
    ingress: Option<Ingress>,
    /// The local socket may have more, but there was no room for it or no time.
    ingress_ready: bool,
    queue: Arc<Queue>,
    poll: Poll,
    events: Events,
    timer: Timer,
    strays_due_ns: u64,
    framed: bool,
    mode: Mode,
    copies: u8,
    backlog: Backlog,
    sizes: Sizes,
    pin: Option<usize>,
    busy_poll: bool,
    capabilities: Capabilities,
    counters: Arc<PublisherCounters>,
    shared: Arc<Shared>,
    /// Last, so that it is stopped when everything else is gone.
    _control: Control,
    _identity: Identity,
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Handles outlive it: nobody would ever take what they hand over.
        self.queue.close();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pass {
    /// Of the first datagram.
    seq: u64,
    copy: u8,
    /// How many datagrams go out together.
    count: usize,
}

/// A pass whose datagram does not lie in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// This copy of datagrams that have lost their slots.
    Copy {
        copy: u8,
        count: usize,
    },
    Heartbeat,
}

impl Publisher {
    /// Starts from the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Publishes a message: copies it into the ring and sends it to all peers at once.
    ///
    /// A message that does not fit into one datagram is cut into several, which go out one after another.
    /// Later copies go out in later [`turn`](Self::turn)s. Returns the message's sequence, that of its first
    /// datagram, which small messages that had to wait share: see
    /// [`PublisherBuilder::packing`](crate::PublisherBuilder::packing).
    ///
    /// # Errors
    /// [`PublishError::TooLong`]; [`PublishError::Full`] when the backlog is full and the policy is to drop
    /// what comes last (to block, it waits here for room); [`PublishError::RingTooShort`] when it would have
    /// to be dropped whole and cannot be held whole; [`PublishError::Socket`].
    #[inline]
    pub fn publish(&mut self, payload: &[u8]) -> Result<u64, PublishError> {
        if payload.len() > self.sizes.payload_max {
            return self.publish_long(payload);
        }
        let mut claim = self.claim(payload.len())?;
        claim.copy_from_slice(payload);
        claim.commit()
    }

    /// Room for a message of `len` bytes in the ring itself, to be written and then committed.
    ///
    /// # Errors
    /// [`PublishError::TooLong`] when it does not fit into one datagram: what is cut has to be copied, so
    /// [`publish`](Self::publish) it. [`PublishError::Full`] when the backlog is full and the policy is to
    /// drop what comes last (to block, it waits here for room); [`PublishError::Socket`].
    #[inline]
    pub fn claim(&mut self, len: usize) -> Result<Claim<'_>, PublishError> {
        if len > self.sizes.payload_max {
            return Err(PublishError::TooLong { len, max: self.sizes.payload_max });
        }
        if self.packs(len) {
            return Ok(Claim::new(self, len, true));
        }
        if !self.schedule.has_room() {
            self.make_room(1)?;
        }
        Ok(Claim::new(self, len, false))
    }

    /// Does one round of whatever there is to do: takes over a new peer set, messages of other threads
    /// and of the local socket, requests for repairs, and sends what is due.
    ///
    /// If there is nothing to do it waits for something, at most for `timeout`; `None` is without end.
    /// Returns how many passes of messages it sent.
    ///
    /// # Errors
    /// When a socket or the poll itself fails for good.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let due = self.send(clock::mono_ns())?;
        let busy = due.sent > 0 || due.more || self.ingress_can_go_on() || self.is_asked();
        let next_ns = due.next_ns.min(self.egress.retry_ns());
        self.wait(if busy { Some(Duration::ZERO) } else { timeout }, next_ns)?;
        self.adopt_peers();
        self.take_queue();
        self.take_ingress()?;
        if self.is_asked() {
            self.take_requests();
        }
        let now_ns = clock::mono_ns();
        // Where requests are answered, whatever else comes is read along with them.
        if now_ns >= self.strays_due_ns && self.repairing.is_none() {
            self.strays_due_ns = now_ns + STRAYS_EVERY_NS;
            self.egress.drain_strays(&self.counters);
        }
        let sent = due.sent + self.send(now_ns)?.sent;
        if self.cut.is_some() {
            // So that it is done, or the ring is full: see `Cut`.
            self.cut_on();
        }
        Ok(sent)
    }

    /// Turns until a [`Handle`] says stop. Then everything that was accepted is still there to be sent:
    /// call [`close`](Self::close).
    ///
    /// # Errors
    /// As [`turn`](Self::turn); and when the core to pin to does not exist.
    pub fn run(&mut self) -> io::Result<()> {
        if let Some(core) = self.pin {
            affinity::pin(core)?;
        }
        let timeout = self.busy_poll.then_some(Duration::ZERO);
        let handle = self.handle();
        while !handle.is_closed() {
            self.turn(timeout)?;
        }
        Ok(())
    }

    /// Waits for events, and books them.
    fn wait(&mut self, timeout: Option<Duration>, next_ns: u64) -> io::Result<()> {
        let mut timeout = timeout;
        if timeout != Some(Duration::ZERO) {
            let now_ns = clock::mono_ns();
            let deadline_ns =
                timeout.map_or(u64::MAX, |timeout| now_ns.saturating_add(nanos(timeout))).min(next_ns);
            match deadline_ns.saturating_sub(now_ns) {
                0 => timeout = Some(Duration::ZERO),
                // Nothing is due, and the poll's own time-out is good enough, or there is none.
                left_ns if deadline_ns != next_ns && left_ns >= TIMER_BELOW_NS || deadline_ns == u64::MAX => {
                }
                _ => self.timer.arm(deadline_ns, now_ns)?,
            }
        }
        // A new peer set needs no look here: the control thread wakes us for it.
        // While the ring is full the queue cannot be emptied: then only what makes room is worth waking for.
        let takes = self.schedule.has_room() || self.backlog == Backlog::DropOldest;
        if timeout != Some(Duration::ZERO) && takes && !self.queue.may_sleep() {
            timeout = Some(Duration::ZERO);
        }
        let polled = self.poll.poll(&mut self.events, timeout);
        self.queue.awake();
        match polled {
            // A signal: whoever waits for it gets his turn.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            // The others only end the wait.
            self.ingress_ready |= event.token() == INGRESS;
            if let Some(repairing) = &mut self.repairing {
                repairing.answers.note(event.token());
            }
        }
        Ok(())
    }

    /// Waits until there are peers, and returns how many; sends and receives meanwhile.
    ///
    /// # Errors
    /// When `timeout` has passed, or the source has said at least once that there is nobody and
    /// `timeout` is zero; then a failed lookup is an error, too. When a [`Handle`] says stop.
    pub fn wait_for_peers(&mut self, timeout: Duration) -> Result<usize, WaitError> {
        let deadline_ns = clock::mono_ns().saturating_add(nanos(timeout));
        loop {
            self.adopt_peers();
            if self.fanout.len() > 0 {
                return Ok(self.fanout.len());
            }
            if self.queue.is_closed() {
                return Err(WaitError::Stopped);
            }
            let left_ns = deadline_ns.saturating_sub(clock::mono_ns());
            let outcome = self.shared.outcome();
            match outcome {
                Some(outcome) if left_ns == 0 && !self.intake.pending() => {
                    return Err(WaitError::NoPeers(outcome));
                }
                None if left_ns == 0 && timeout > Duration::ZERO => return Err(WaitError::NoAnswer),
                // The control thread wakes us after each lookup.
                _ => {
                    let wait =
                        if left_ns == 0 { Duration::from_millis(100) } else { Duration::from_nanos(left_ns) };
                    self.turn(Some(wait)).map_err(WaitError::Io)?;
                }
            }
        }
    }

    /// Publishes from another thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(&self.queue)
    }

    /// Reads counters and peers from another thread.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor { counters: Arc::clone(&self.counters), shared: Arc::clone(&self.shared) }
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> &PublisherCounters {
        &self.counters
    }

    /// Messages that handles dropped by the policy: the newest, the oldest.
    #[must_use]
    pub fn dropped_by_handles(&self) -> (u64, u64) {
        self.queue.dropped()
    }

    /// What the kernel offers and granted.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// How many peers the next message goes to.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.fanout.len()
    }

    /// Datagrams that still have copies to send.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.schedule.backlog()
    }

    /// The longest message that goes out in one datagram, in bytes.
    #[must_use]
    pub fn payload_max(&self) -> usize {
        self.sizes.payload_max
    }

    /// The longest message, in bytes.
    #[must_use]
    pub fn message_max(&self) -> usize {
        self.sizes.message_max
    }

    /// How messages are made to arrive.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The number that subscribers know this publisher by.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.sequencer.publisher()
    }

    /// Which run of the publisher this is.
    #[must_use]
    pub fn session(&self) -> Session {
        self.sequencer.session()
    }

    /// Where local applications send to, if that is a UDP address.
    #[must_use]
    pub fn ingress_address(&self) -> Option<std::net::SocketAddr> {
        self.ingress.as_ref().and_then(Ingress::address)
    }
}
