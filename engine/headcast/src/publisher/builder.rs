//! The settings of a publisher, their defaults and their ranges.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headcast_peers::{Limits, PeerSet, Source, Watcher};
use headcast_proto::repair::{ANSWER_MAX, Policy, Repairs};
use headcast_proto::schedule::{Lagging, Schedule};
use headcast_proto::{HEADER_LEN, Heartbeat, Sequencer, Session};
use headcast_udp::{Capabilities, TRAIN_BYTES_MAX};
use mio::{Events, Poll, Waker};

use super::aside::Aside;
use super::repairing::Repairing;
use super::sending::PASSES_MAX;
use super::trains::Trains;
use super::{ANSWERS, Backend, Backlog, EGRESS, INGRESS, Mode, Publisher, TIMER, WAKER};
use crate::clock::{self, nanos};
use crate::control::{Control, Framing};
use crate::counters::PublisherCounters;
use crate::egress::{Answers, Egress, Fanout, Plan};
use crate::error::BuildError;
use crate::identity::Identity;
use crate::ingress::{Ingress, Listen};
use crate::limits;
use crate::queue::Queue;
use crate::ring::Ring;
use crate::timer::Timer;

/// Builds a [`Publisher`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    source: Option<Source>,
    pub(super) limits: Limits,
    pub(super) raw: bool,
    pub(super) mode: Option<Mode>,
    pub(super) copies: Option<usize>,
    pub(super) spacing: Duration,
    stream: u16,
    publisher_id: Option<u32>,
    pub(super) datagram_max: usize,
    pub(super) message_max: usize,
    pub(super) ring: usize,
    pub(super) queue: usize,
    pub(super) backlog: Backlog,
    /// In percent.
    pub(super) repair_share: f64,
    pub(super) repair_interval: Duration,
    history: Option<usize>,
    listen: Option<Listen>,
    send_buffer: usize,
    receive_buffer: usize,
    pub(super) send_batch: usize,
    backend: Backend,
    packing: bool,
    gso: bool,
    pub(super) pass_max: Duration,
    rotate: bool,
    busy_poll: bool,
    pub(super) pin: Option<usize>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            source: None,
            limits: Limits::default(),
            raw: false,
            mode: None,
            copies: None,
            spacing: Duration::from_millis(2),
            stream: 0,
            publisher_id: None,
            datagram_max: limits::DATAGRAM_DEFAULT,
            message_max: limits::MESSAGE_MAX,
            ring: limits::RING_DEFAULT,
            queue: 1024,
            backlog: Backlog::Block,
            repair_share: 10.0,
            repair_interval: Duration::from_micros(500),
            history: None,
            listen: None,
            send_buffer: 4 << 20,
            receive_buffer: 4 << 20,
            send_batch: headcast_udp::CALL_MAX,
            backend: Backend::Socket,
            packing: true,
            gso: true,
            pass_max: Duration::from_millis(1),
            rotate: true,
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
    /// there is one copy unless [`copies`](Self::copies) or [`mode`](Self::mode) says otherwise; nor can
    /// they ask for what they lost, or put together what was cut.
    pub fn raw(mut self, raw: bool) -> Self {
        self.raw = raw;
        self
    }

    /// How messages are made to arrive: [`Mode::Dup`] by default, or [`Mode::Once`] with 1 copy.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// How often each message is sent: 2 to 7 in the modes that send several copies, 2 by default; 1 in the
    /// others.
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

    /// The longest message in bytes: 1 MiB by default and at most, and never more than 1,024 datagrams. One
    /// that fits into a datagram is always possible.
    pub fn message_max(mut self, bytes: usize) -> Self {
        self.message_max = bytes;
        self
    }

    /// How many sent datagrams are kept: a power of two from 16 to 1,048,576; 8,192 by default. It is
    /// also how many may wait to be sent, and from how far back repairs are possible.
    pub fn ring(mut self, datagrams: usize) -> Self {
        self.ring = datagrams;
        self
    }

    /// How many messages of other threads may wait; 1,024 by default.
    pub fn queue(mut self, messages: usize) -> Self {
        self.queue = messages;
        self
    }

    /// The most that a receiver is sent again, in percent of the stream's bytes; 10 by default. Beyond that it
    /// may be sent 64 datagrams at once if it has not asked for a while.
    pub fn repair_share(mut self, percent: f64) -> Self {
        self.repair_share = percent;
        self
    }

    /// The shortest time between two repairs of a datagram to a receiver: about a round trip, 500 us by
    /// default, at most a second.
    pub fn repair_interval(mut self, interval: Duration) -> Self {
        self.repair_interval = interval;
        self
    }

    /// How many datagrams of the past a receiver that has just started may be sent, if it asks for them; by
    /// default as many as the ring keeps.
    pub fn history(mut self, datagrams: usize) -> Self {
        self.history = Some(datagrams);
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

    /// Whether small messages that queue while others go out share a datagram, which is so by default. A message that
    /// finds nothing queued always goes out alone; without headers all do.
    pub fn packing(mut self, packing: bool) -> Self {
        self.packing = packing;
        self
    }

    /// Whether several datagrams that queue go to each peer in one send, by UDP segmentation offload, which is so by
    /// default. Where the kernel refuses that on the way to a peer, they go one by one.
    pub fn gso(mut self, gso: bool) -> Self {
        self.gso = gso;
        self
    }

    /// How long one pass over all peers may take, in which several datagrams go to each: 1 ms by default, at most a
    /// second. The last peer receives the first of them so much later than the first peer. A pass of two datagrams to
    /// very many peers may take longer.
    pub fn pass_max(mut self, time: Duration) -> Self {
        self.pass_max = time;
        self
    }

    /// By which way datagrams leave: [`Backend::Socket`] by default.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Whether each message begins with another peer, which is so by default: with `false` the same peer is always the
    /// last, which is for measurements.
    pub fn rotate(mut self, rotate: bool) -> Self {
        self.rotate = rotate;
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

    /// Opens the sockets, takes all memory and starts to look for the peers.
    ///
    /// # Errors
    /// A setting out of its range, a source that cannot have peers, a socket that cannot be had.
    pub fn build(self) -> Result<Publisher, BuildError> {
        self.check()?;
        let (mode, copies) = self.resolve_mode()?;
        let (sizes, repair_policy) = (self.sizes(), self.repair_policy());
        let os = |what| move |error| BuildError::Os(what, error);
        let source = self
            .source
            .ok_or_else(|| BuildError::Setting("no peers: name a service, addresses or a file".into()))?;
        let watcher = Watcher::new(source, self.limits).map_err(BuildError::Source)?;

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
        let train = if self.gso { Capabilities::probe_train() } else { 1 };
        let mut capabilities =
            Capabilities { send_batch: Some(send_batch), train: Some(train), ..Capabilities::default() };
        let egress = Egress::open(EGRESS, self.send_buffer, &mut capabilities)
            .map_err(os("open a socket to send by"))?;
        let ways = self.backend.open(Framing {
            backend: self.backend,
            ports: egress.ports(),
            send_buffer: self.send_buffer,
            datagram_max: self.datagram_max,
        })?;
        capabilities.xdp = Some(ways.is_some()).filter(|_| self.backend != Backend::Socket);
        let ingress = match &self.listen {
            Some(listen) => {
                let (ingress, buffer) = Ingress::open(listen, self.receive_buffer, sizes)?;
                ingress.register(poll.registry(), INGRESS).map_err(os("watch the local socket"))?;
                capabilities.receive_buffer = Some(buffer);
                Some(ingress)
            }
            None => None,
        };

        let repairing = if mode.repairs() {
            let answers = Answers::open(&egress, poll.registry(), ANSWERS)
                .map_err(os("open a socket for repair requests"))?;
            Some(Box::new(Repairing::new(answers, Repairs::new(repair_policy), self.stream)))
        } else {
            None
        };
        let sequencer = Sequencer::new(identity.id(), session, self.stream);

        let queue = Queue::new(self.queue, sizes, self.backlog, waker);
        let plan = Plan { call_max: send_batch, repairs: mode.repairs() };
        let (control, intake, shared) =
            Control::start(watcher, plan, ways, &queue).map_err(os("start a thread"))?;
        // Only who drops what is oldest needs room beside the ring.
        let aside = if self.backlog == Backlog::DropOldest { TRAIN_BYTES_MAX } else { 0 };
        let lagging = if self.backlog == Backlog::Block { Lagging::Send } else { Lagging::Shed };
        Ok(Publisher {
            sequencer: if mode.repairs() { sequencer } else { sequencer.without_repair() },
            schedule: Schedule::new(self.ring, copies, nanos(self.spacing), lagging),
            ring: Ring::new(self.ring, sizes.payload_max),
            aside: Aside::new(aside),
            fanout: Box::new(Fanout::new(&PeerSet::default(), 0, plan, None)),
            egress,
            pass: None,
            passes_max: PASSES_MAX,
            trains: Trains::new(train, nanos(self.pass_max)),
            packing: self.packing && !self.raw,
            rotates_below: u8::from(self.rotate),
            peers_known: false,
            beside: None,
            heartbeat: Heartbeat::new(),
            beat: [0; HEADER_LEN],
            ended_ns: None,
            repairing,
            cut: None,
            intake,
            ingress,
            ingress_ready: false,
            queue,
            poll,
            events: Events::with_capacity(16),
            timer,
            strays_due_ns: 0,
            framed: !self.raw,
            mode,
            // At most 7: `check` has seen to it.
            copies: u8::try_from(copies).unwrap_or(1),
            backlog: self.backlog,
            sizes,
            pin: self.pin,
            busy_poll: self.busy_poll,
            capabilities,
            counters: Arc::new(PublisherCounters::default()),
            shared,
            _control: control,
            _identity: identity,
        })
    }

    fn repair_policy(&self) -> Policy {
        let bytes =
            |datagrams: usize| u32::try_from(datagrams.saturating_mul(self.datagram_max)).unwrap_or(u32::MAX);
        Policy {
            share_permille: self.share_permille(),
            burst: bytes(ANSWER_MAX),
            welcome: bytes(self.history.unwrap_or(self.ring)),
            interval_ns: nanos(self.repair_interval),
        }
    }
}
