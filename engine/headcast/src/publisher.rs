//! The data thread: takes messages in, seals them where they lie, and sends each to all peers.

mod builder;
mod claim;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use headcast_proto::header::PATH_OFFSET;
use headcast_proto::{HEADER_LEN, Next, Schedule, Sequencer, Session};
use headcast_udp::Capabilities;
use mio::{Events, Poll, Token};

pub use builder::Builder;
pub use claim::Claim;

use crate::affinity;
use crate::clock::{Clock, nanos};
use crate::control::{Control, Intake, Monitor, Shared};
use crate::counters::PublisherCounters;
use crate::egress::{Egress, Fanout};
use crate::error::{PublishError, WaitError};
use crate::identity::Identity;
use crate::ingress::Ingress;
use crate::queue::{Handle, Queue};
use crate::ring::{Ring, Slot};
use crate::timer::Timer;

const WAKER: Token = Token(0);
const EGRESS: Token = Token(1);
const INGRESS: Token = Token(2);
const TIMER: Token = Token(3);

/// Passes that one turn sends before it looks at events again.
const PASSES_MAX: usize = 64;
/// Messages that one turn takes from other threads.
const QUEUE_MAX: usize = 256;
/// Receive calls that one turn makes on the local socket.
const RECEIVES_MAX: usize = 4;

/// Waits shorter than this are timed to the nanosecond; `epoll_wait` would round them up to milliseconds.
const TIMER_BELOW_NS: u64 = 10_000_000;

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
/// loop of his own, or by [`run`](Self::run).
pub struct Publisher {
    clock: Clock,
    sequencer: Sequencer,
    schedule: Schedule,
    ring: Ring,
    fanout: Box<Fanout>,
    egress: Egress,
    /// The copy that is going out.
    pass: Option<Pass>,
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
    framed: bool,
    copies: u8,
    backlog: Backlog,
    payload_max: usize,
    pin: Option<usize>,
    busy_poll: bool,
    capabilities: Capabilities,
    counters: Arc<PublisherCounters>,
    shared: Arc<Shared>,
    /// Last, so that it is stopped when everything else is gone.
    _control: Control,
    _identity: Identity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pass {
    seq: u64,
    copy: u8,
}

impl Publisher {
    /// Starts from the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Publishes a message: copies it into the ring and sends it to all peers at once.
    ///
    /// Later copies go out in later [`turn`](Self::turn)s. Returns the message's sequence.
    ///
    /// # Errors
    /// As [`claim`](Self::claim), and [`PublishError::Socket`].
    #[inline]
    pub fn publish(&mut self, payload: &[u8]) -> Result<u64, PublishError> {
        let mut claim = self.claim(payload.len())?;
        claim.copy_from_slice(payload);
        claim.commit()
    }

    /// Room for a message of `len` bytes in the ring itself, to be written and then committed.
    ///
    /// # Errors
    /// [`PublishError::TooLong`]; [`PublishError::Full`] when the backlog is full and the policy is to
    /// drop what comes last (to block, it waits here for room); [`PublishError::Socket`].
    #[inline]
    pub fn claim(&mut self, len: usize) -> Result<Claim<'_>, PublishError> {
        if len > self.payload_max {
            return Err(PublishError::TooLong { len, max: self.payload_max });
        }
        if !self.schedule.has_room() {
            self.make_room()?;
        }
        Ok(Claim::new(self, len))
    }

    #[cold]
    fn make_room(&mut self) -> Result<(), PublishError> {
        match self.backlog {
            Backlog::Block => {
                while !self.schedule.has_room() {
                    self.turn(None)?;
                }
            }
            Backlog::DropNewest => {
                self.turn(Some(Duration::ZERO))?;
                if !self.schedule.has_room() {
                    self.counters.dropped_newest.add(1);
                    return Err(PublishError::Full);
                }
            }
            Backlog::DropOldest => self.drop_oldest(),
        }
        Ok(())
    }

    /// Gives up the oldest datagram in the ring: its later copies, or all of it.
    #[cold]
    fn drop_oldest(&mut self) {
        if let Some(seq) = self.schedule.drop_oldest() {
            self.counters.dropped_oldest.add(1);
            self.pass = self.pass.filter(|pass| pass.seq != seq);
        } else {
            self.pass = self.pass.filter(|pass| pass.copy == 0);
        }
        self.counters.copies_shed.set(self.schedule.shed());
    }

    /// Seals the message that lies in the next slot, and has it sent.
    #[inline]
    fn take_in(&mut self, payload_len: usize) -> u64 {
        let seq = self.sequencer.last_seq() + 1;
        seal(&mut self.sequencer, &mut self.ring, self.framed, &self.clock, seq, payload_len);
        self.schedule.push();
        self.counters.messages.add(1);
        self.counters.message_bytes.add(payload_len as u64);
        seq
    }

    /// Does one round of whatever there is to do: takes over a new peer set, messages of other threads
    /// and of the local socket, sends what is due.
    ///
    /// If there is nothing to do it waits for something, at most for `timeout`; `None` is without end.
    /// Returns how many passes it sent.
    ///
    /// # Errors
    /// When a socket or the poll itself fails for good.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let due = self.send_due(PASSES_MAX)?;
        let timeout =
            if due.sent > 0 || due.more || self.ingress_can_go_on() { Some(Duration::ZERO) } else { timeout };
        self.wait(timeout, due.next_ns)?;
        self.adopt_peers();
        self.take_queue();
        self.take_ingress()?;
        Ok(due.sent + self.send_due(PASSES_MAX)?.sent)
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
            let now_ns = self.clock.mono_ns();
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
        if timeout != Some(Duration::ZERO) && !self.queue.may_sleep() {
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
            match event.token() {
                INGRESS => self.ingress_ready = true,
                EGRESS if event.is_readable() => self.egress.drain_strays(&self.counters),
                // The others only end the wait.
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes a new peer set over, between two passes.
    #[inline]
    fn adopt_peers(&mut self) {
        if self.pass.is_none() && self.intake.pending() {
            self.swap_peers();
        }
    }

    #[cold]
    fn swap_peers(&mut self) {
        if self.intake.swap_with(&mut self.fanout, Fanout::inherit) {
            self.peers_known = true;
            self.counters.peer_sets.add(1);
        }
    }

    /// Takes in what other threads have published.
    #[inline]
    fn take_queue(&mut self) {
        for _ in 0..QUEUE_MAX {
            if !self.schedule.has_room() && self.backlog != Backlog::DropOldest {
                // It waits in the queue; when that is full as well, the handles apply the policy.
                return;
            }
            let Some((mut slot, len)) = self.queue.pop() else { return };
            self.take_slot(&mut slot, len);
            self.queue.recycle(slot);
        }
    }

    /// Takes in a message that lies in a slot of its own, by exchanging that for the ring's.
    #[inline]
    fn take_slot(&mut self, slot: &mut Slot, len: usize) {
        if !self.schedule.has_room() {
            self.drop_oldest();
        }
        self.ring.exchange(self.sequencer.last_seq() + 1, slot);
        self.take_in(len);
    }

    #[inline]
    fn ingress_can_go_on(&self) -> bool {
        self.ingress_ready && (self.backlog != Backlog::Block || self.schedule.has_room())
    }

    /// Takes in what local applications have sent.
    #[inline]
    fn take_ingress(&mut self) -> io::Result<()> {
        for _ in 0..RECEIVES_MAX {
            if !self.ingress_can_go_on() {
                return Ok(());
            }
            if !self.schedule.has_room() {
                self.take_ingress_full()?;
                continue;
            }
            let Some(ingress) = &mut self.ingress else { return Ok(()) };
            let (schedule, sequencer, counters) = (&mut self.schedule, &mut self.sequencer, &self.counters);
            let (framed, clock, room) = (self.framed, &self.clock, schedule.room());
            let first = sequencer.last_seq() + 1;
            self.ingress_ready =
                ingress.receive(&mut self.ring, first, room, counters, |ring, seq, len| {
                    seal(sequencer, ring, framed, clock, seq, len);
                    schedule.push();
                    counters.messages.add(1);
                    counters.message_bytes.add(len as u64);
                })?;
        }
        Ok(())
    }

    /// Applies the policy to what local applications have sent while the ring is full.
    #[cold]
    fn take_ingress_full(&mut self) -> io::Result<()> {
        let Some(mut ingress) = self.ingress.take() else { return Ok(()) };
        let counters = Arc::clone(&self.counters);
        let received = ingress.receive_aside(&counters, |slot, len| {
            if self.backlog == Backlog::DropOldest {
                self.take_slot(slot, len);
            } else {
                self.counters.dropped_newest.add(1);
            }
        });
        self.ingress = Some(ingress);
        self.ingress_ready = received?;
        Ok(())
    }

    /// Sends what is due, at most `most` passes.
    #[inline]
    fn send_due(&mut self, most: usize) -> io::Result<Due> {
        let mut sent = 0;
        if !self.peers_known {
            return Ok(Due { sent, more: false, next_ns: u64::MAX });
        }
        while sent < most {
            let now_ns = self.clock.mono_ns();
            if self.pass.is_none() {
                match self.schedule.next(now_ns) {
                    Next::Send { seq, copy } => self.begin(Pass { seq, copy }, now_ns),
                    Next::At(next_ns) => return Ok(Due { sent, more: false, next_ns }),
                    Next::Idle => return Ok(Due { sent, more: false, next_ns: u64::MAX }),
                }
            }
            if !self.go_on(now_ns)? {
                return Ok(Due { sent, more: false, next_ns: u64::MAX });
            }
            sent += 1;
        }
        Ok(Due { sent, more: true, next_ns: u64::MAX })
    }

    /// Starts the pass of one copy to all peers.
    #[inline]
    fn begin(&mut self, pass: Pass, now_ns: u64) {
        self.adopt_peers();
        if self.framed {
            self.ring.datagram_mut(pass.seq)[PATH_OFFSET] = pass.copy;
        }
        self.egress.begin(&mut self.fanout, now_ns, &self.counters);
        self.pass = Some(pass);
    }

    /// Goes on with the running pass; returns whether it is done.
    #[inline]
    fn go_on(&mut self, now_ns: u64) -> io::Result<bool> {
        let Some(Pass { seq, copy }) = self.pass else { return Ok(true) };
        let datagram = self.ring.datagram_mut(seq);
        let bytes = if self.framed { &datagram[..] } else { &datagram[HEADER_LEN..] };
        let first = copy == 0;
        let registry = self.poll.registry();
        if !self.egress.flush(registry, &mut self.fanout, bytes, first, now_ns, &self.counters)? {
            return Ok(false);
        }
        self.pass = None;
        if first {
            self.counters.passes_first.add(1);
            if self.fanout.len() == 0 {
                self.counters.unheard.add(1);
            }
        } else {
            self.counters.passes_later.add(1);
        }
        self.schedule.sent(seq, copy, now_ns);
        self.counters.copies_shed.set(self.schedule.shed());
        Ok(true)
    }

    /// Waits until there are peers, and returns how many; sends and receives meanwhile.
    ///
    /// # Errors
    /// When `timeout` has passed, or the source has said at least once that there is nobody and
    /// `timeout` is zero. A failed lookup is waited out as well.
    pub fn wait_for_peers(&mut self, timeout: Duration) -> Result<usize, WaitError> {
        let deadline_ns = self.clock.mono_ns().saturating_add(nanos(timeout));
        loop {
            self.adopt_peers();
            if self.fanout.len() > 0 {
                return Ok(self.fanout.len());
            }
            let left_ns = deadline_ns.saturating_sub(self.clock.mono_ns());
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

    /// Sends everything that was accepted, all copies of it, then says that the publisher stops.
    ///
    /// Handles and the local socket are refused from now on; what they had handed over is sent. Gives
    /// up after `timeout`, and returns how many datagrams then still had copies to send.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn close(&mut self, timeout: Duration) -> io::Result<usize> {
        let deadline_ns = self.clock.mono_ns().saturating_add(nanos(timeout));
        self.queue.close();
        if let Some(ingress) = &self.ingress {
            ingress.refuse_more()?;
            // What has arrived is in the socket's buffer: look for it, whatever the poll has said.
            self.ingress_ready = true;
        }
        loop {
            let left_ns = deadline_ns.saturating_sub(self.clock.mono_ns());
            let drained = self.queue.is_drained() && !self.ingress_ready;
            if drained && self.schedule.backlog() == 0 {
                break;
            }
            if left_ns == 0 {
                return Ok(self.schedule.backlog());
            }
            // A thread that is still in `publish` cannot wake us: look again soon.
            let wait = if drained { Duration::from_nanos(left_ns) } else { Duration::from_millis(1) };
            self.turn(Some(wait))?;
        }
        // After this the path is gone: a local application learns that nobody listens.
        self.ingress = None;
        if self.framed && self.sequencer.last_seq() > 0 {
            self.say_end()?;
        }
        Ok(0)
    }

    /// The farewell, in as many copies as a message. It is not waited for: it only saves time.
    fn say_end(&mut self) -> io::Result<()> {
        let mut datagram = [0; HEADER_LEN];
        self.sequencer.end(&mut datagram, self.clock.now());
        let ends = PublisherCounters::default();
        for copy in 0..self.copies {
            datagram[PATH_OFFSET] = copy;
            let now_ns = self.clock.mono_ns();
            self.egress.begin(&mut self.fanout, now_ns, &ends);
            self.egress.flush(self.poll.registry(), &mut self.fanout, &datagram, true, now_ns, &ends)?;
        }
        Ok(())
    }

    /// Publishes from another thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(&self.queue)
    }

    /// Reads counters and peers from another thread.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor { counters: Arc::clone(&self.counters), shared: Arc::clone(&self.shared), clock: self.clock }
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

    /// The longest message, in bytes.
    #[must_use]
    pub fn payload_max(&self) -> usize {
        self.payload_max
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

/// What [`Publisher::send_due`] did and left.
struct Due {
    sent: usize,
    /// It stopped because it had sent enough.
    more: bool,
    /// When the next copy is due; `u64::MAX` for none, or one that waits for a socket.
    next_ns: u64,
}

/// Numbers the message in the slot of `seq`, and writes its header in place.
#[inline]
fn seal(
    sequencer: &mut Sequencer,
    ring: &mut Ring,
    framed: bool,
    clock: &Clock,
    seq: u64,
    payload_len: usize,
) {
    let datagram = ring.take_in(seq, payload_len);
    if framed {
        sequencer.seal(datagram, clock.now());
    } else {
        sequencer.count();
    }
}
