//! The settings of a publisher, their defaults and their ranges.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headcast_peers::{Limits, PeerSet, Source, Watcher};
use headcast_proto::schedule::{Lagging, Schedule};
use headcast_proto::{HEADER_LEN, Sequencer, Session};
use headcast_udp::Capabilities;
use mio::{Events, Poll, Waker};

use super::{Backlog, EGRESS, INGRESS, Publisher, TIMER, WAKER};
use crate::affinity;
use crate::clock::{self, nanos};
use crate::control::Control;
use crate::counters::PublisherCounters;
use crate::egress::{Egress, Fanout};
use crate::error::BuildError;
use crate::identity::Identity;
use crate::ingress::{Ingress, Listen};
use crate::limits;
use crate::queue::Queue;
use crate::ring::{Ring, Slot, memory};
use crate::timer::Timer;

/// Builds a [`Publisher`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    source: Option<Source>,
    limits: Limits,
    raw: bool,
    copies: Option<usize>,
    spacing: Duration,
    stream: u16,
    publisher_id: Option<u32>,
    datagram_max: usize,
    ring: usize,
    queue: usize,
    backlog: Backlog,
    listen: Option<Listen>,
    send_buffer: usize,
    receive_buffer: usize,
    send_batch: usize,
    busy_poll: bool,
    pin: Option<usize>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            source: None,
            limits: Limits::default(),
            raw: false,
            copies: None,
            spacing: Duration::from_millis(2),
            stream: 0,
            publisher_id: None,
            datagram_max: limits::DATAGRAM_DEFAULT,
            ring: limits::RING_DEFAULT,
            queue: 1024,
            backlog: Backlog::Block,
            listen: None,
            send_buffer: 4 << 20,
            receive_buffer: 4 << 20,
            send_batch: headcast_udp::CALL_MAX,
            busy_poll: false,
            pin: None,
        }
    }
}

impl Builder {
    /// Sends to the pods behind `NAME:PORT`, asked of DNS again and again; or to the one address
    /// `IP:PORT`.
    ///
    /// # Errors
    /// [`BuildError::Target`] when it is neither.
    pub fn to(self, target: &str) -> Result<Self, BuildError> {
        Ok(self.source(Source::from_target(target)?))
    }

    /// Sends to these peers.
    pub fn peers(self, peers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.source(Source::Static(peers.into_iter().collect::<PeerSet>()))
    }

    /// Sends to the peers that a file lists, one a line, and watches the file. Lines without a port
    /// mean `default_port`.
    pub fn peers_file(self, path: impl Into<PathBuf>, default_port: u16) -> Self {
        self.source(Source::File { path: path.into(), default_port })
    }

    /// Sends to whom this source names.
    pub fn source(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// Addresses that are never peers, such as this pod's own.
    pub fn exclude(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.limits.exclude.extend(addresses);
        self
    }

    /// The most peers; 100,000 by default and at most.
    pub fn max_peers(mut self, peers: usize) -> Self {
        self.limits.max_peers = peers;
        self
    }

    /// Leaves the header out, for plain UDP receivers. They cannot tell a copy from a new message, so
    /// there is one copy unless [`copies`](Self::copies) says otherwise.
    pub fn raw(mut self, raw: bool) -> Self {
        self.raw = raw;
        self
    }

    /// How often each message is sent, 1 to 7: 2 by default.
    pub fn copies(mut self, copies: usize) -> Self {
        self.copies = Some(copies);
        self
    }

    /// How long after the first copy the second goes out; the third follows after three times that,
    /// the fourth after seven. 2 ms by default, at most a minute.
    pub fn spacing(mut self, spacing: Duration) -> Self {
        self.spacing = spacing;
        self
    }

    /// The stream within the publisher; 0 by default.
    pub fn stream(mut self, stream: u16) -> Self {
        self.stream = stream;
        self
    }

    /// The number that subscribers know this publisher by, the same after every restart. By default it
    /// comes from the host's name.
    pub fn publisher_id(mut self, id: u32) -> Self {
        self.publisher_id = Some(id);
        self
    }

    /// The largest datagram in bytes, header included: 1,392 by default. What does not fit into one
    /// Ethernet frame is fragmented by IP, and lost when any part of it is.
    pub fn datagram_max(mut self, bytes: usize) -> Self {
        self.datagram_max = bytes;
        self
    }

    /// How many sent datagrams are kept: a power of two from 16 to 1,048,576; 8,192 by default. It is
    /// also how many may wait to be sent.
    pub fn ring(mut self, datagrams: usize) -> Self {
        self.ring = datagrams;
        self
    }

    /// How many messages of other threads may wait; 1,024 by default.
    pub fn queue(mut self, messages: usize) -> Self {
        self.queue = messages;
        self
    }

    /// What to do when the backlog is full.
    pub fn backlog(mut self, backlog: Backlog) -> Self {
        self.backlog = backlog;
        self
    }

    /// Publishes every datagram that arrives here.
    pub fn listen(mut self, listen: Listen) -> Self {
        self.listen = Some(listen);
        self
    }

    /// The send buffer to ask the kernel for, in bytes; 4 MiB by default.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = bytes;
        self
    }

    /// The receive buffer of [`listen`](Self::listen) to ask the kernel for, in bytes; 4 MiB by default.
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = bytes;
        self
    }

    /// The most datagrams in one system call, 1 to 1,024; 1 turns `sendmmsg` off.
    pub fn send_batch(mut self, datagrams: usize) -> Self {
        self.send_batch = datagrams;
        self
    }

    /// Makes [`Publisher::run`] never sleep: a core for the last microseconds.
    pub fn busy_poll(mut self, busy_poll: bool) -> Self {
        self.busy_poll = busy_poll;
        self
    }

    /// Makes [`Publisher::run`] keep its thread on this core.
    pub fn pin(mut self, core: usize) -> Self {
        self.pin = Some(core);
        self
    }

    /// Bytes that the ring and the queue will take.
    #[must_use]
    pub fn memory(&self) -> usize {
        let payload_max = self.payload_max();
        memory(self.ring.saturating_add(self.queue), payload_max)
    }

    /// The longest message, once the settings are known to be in their ranges.
    fn payload_max(&self) -> usize {
        self.datagram_max.saturating_sub(if self.raw { 0 } else { HEADER_LEN })
    }

    /// Whether all settings are within their ranges, without taking anything yet; [`build`](Self::build) asks
    /// as well.
    ///
    /// # Errors
    /// [`BuildError::Setting`] for the first that is not.
    pub fn check(&self) -> Result<(), BuildError> {
        let wrong = |what: String| Err(BuildError::Setting(what));
        let copies = self.copies.unwrap_or(1);
        if !(1..=limits::COPIES_MAX).contains(&copies) {
            return wrong(format!("{copies} copies are not possible: 1 to {} are", limits::COPIES_MAX));
        }
        if self.spacing > Duration::from_secs(60) {
            return wrong(format!("a spacing of {:?} is too long: at most 60 s", self.spacing));
        }
        let datagram_min = if self.raw { 1 } else { HEADER_LEN + 1 };
        if !(datagram_min..=limits::DATAGRAM_MAX).contains(&self.datagram_max) {
            let (given, most) = (self.datagram_max, limits::DATAGRAM_MAX);
            return wrong(format!(
                "a datagram of {given} bytes is not possible: {datagram_min} to {most} are"
            ));
        }
        if !self.ring.is_power_of_two() || !(16..=limits::RING_MAX).contains(&self.ring) {
            let (given, most) = (self.ring, limits::RING_MAX);
            return wrong(format!(
                "a ring of {given} datagrams is not possible: a power of two from 16 to {most} is"
            ));
        }
        if !(1..=limits::RING_MAX).contains(&self.queue) {
            return wrong(format!(
                "a queue of {} messages is not possible: 1 to {} are",
                self.queue,
                limits::RING_MAX
            ));
        }
        if !(1..=limits::PEERS_MAX).contains(&self.limits.max_peers) {
            let (given, most) = (self.limits.max_peers, limits::PEERS_MAX);
            return wrong(format!("at most {given} peers are not possible: 1 to {most} are"));
        }
        if !(1..=headcast_udp::CALL_MAX).contains(&self.send_batch) {
            let (given, most) = (self.send_batch, headcast_udp::CALL_MAX);
            return wrong(format!("{given} datagrams a call are not possible: 1 to {most} are"));
        }
        if let Some(core) = self.pin
            && !affinity::allowed(core)
        {
            return wrong(format!("core {core} is not one that this process may run on"));
        }
        Ok(())
    }

    /// Opens the sockets, takes all memory and starts to look for the peers.
    ///
    /// # Errors
    /// A setting out of its range, a source that cannot have peers, a socket that cannot be had.
    pub fn build(self) -> Result<Publisher, BuildError> {
        self.check()?;
        let payload_max = self.payload_max();
        let os = |what| move |error| BuildError::Os(what, error);
        let source = self
            .source
            .ok_or_else(|| BuildError::Setting("no peers: name a service, addresses or a file".into()))?;
        let watcher = Watcher::new(source, self.limits).map_err(BuildError::Source)?;

        let copies = self.copies.unwrap_or(if self.raw { 1 } else { 2 });
        let identity = match self.publisher_id {
            Some(id) => Identity::given(id),
            None => Identity::of_host().map_err(os("find a number for this publisher"))?,
        };
        let random = getrandom::u32()
            .map_err(|error| BuildError::Os("draw a session", std::io::Error::other(error)))?;
        let session = Session::new(clock::unix_ns() / 1_000_000, random);

        let poll = Poll::new().map_err(os("start the event loop"))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(os("start the event loop"))?;
        let timer = Timer::new(poll.registry(), TIMER).map_err(os("make a timer"))?;
        let send_batch = Capabilities::probe_send_batch(self.send_batch);
        let mut capabilities = Capabilities { send_batch: Some(send_batch), ..Capabilities::default() };
        let egress = Egress::open(EGRESS, self.send_buffer, &mut capabilities)
            .map_err(os("open a socket to send by"))?;
        let ingress = match &self.listen {
            Some(listen) => {
                let (ingress, buffer) = Ingress::open(listen, self.receive_buffer, payload_max)?;
                ingress.register(poll.registry(), INGRESS).map_err(os("watch the local socket"))?;
                capabilities.receive_buffer = Some(buffer);
                Some(ingress)
            }
            None => None,
        };

        let queue = Queue::new(self.queue, payload_max, self.backlog, waker);
        let (control, intake, shared) =
            Control::start(watcher, send_batch, &queue).map_err(os("start a thread"))?;
        let lagging = if self.backlog == Backlog::Block { Lagging::Send } else { Lagging::Shed };
        Ok(Publisher {
            sequencer: Sequencer::new(identity.id(), session, self.stream),
            schedule: Schedule::new(self.ring, copies, nanos(self.spacing), lagging),
            ring: Ring::new(self.ring, payload_max),
            aside: Slot::new(payload_max),
            aside_copy: None,
            fanout: Box::new(Fanout::new(&PeerSet::default(), send_batch)),
            egress,
            pass: None,
            peers_known: false,
            intake,
            ingress,
            ingress_ready: false,
            queue,
            poll,
            events: Events::with_capacity(16),
            timer,
            strays_due_ns: 0,
            framed: !self.raw,
            // At most 7: `check` has seen to it.
            copies: u8::try_from(copies).unwrap_or(1),
            backlog: self.backlog,
            payload_max,
            pin: self.pin,
            busy_poll: self.busy_poll,
            capabilities,
            counters: Arc::new(PublisherCounters::default()),
            shared,
            _control: control,
            _identity: identity,
        })
    }
}
