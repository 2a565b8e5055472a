//! The settings of a subscriber, their defaults and their ranges.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use headcast_proto::receiver::{Limits, MESSAGE_MAX};
use headcast_proto::{Order, Receiver, Sequencer, Session};
use headcast_udp::{Capabilities, Inbox};

use super::events::Pending;
use super::parts::Parts;
use super::{Before, Impairment, Mailbox, Subscriber};
use crate::clock::{self, nanos};
use crate::counters::{Refusals, SubscriberCounters};
use crate::error::BuildError;
use crate::identity::host_publisher_id;
use crate::limits;
use crate::responder::Responder;
use crate::timer::Timer;

/// The most publishers that a subscriber can be told to track.
const PUBLISHERS_MAX: usize = 65_536;
/// The widest window.
const WINDOW_MAX: usize = 1 << 20;

/// The most bytes that datagrams can be kept in.
const MEMORY_MAX: usize = 4 << 30;
/// The longest that messages can be held back.
const HOLD_MAX: Duration = Duration::from_secs(60);

/// Bytes for what the kernel hands over in one piece: a train over IPv6 has up to 65,527. Untouched pages cost nothing.
const ROOM: usize = 1 << 16;

/// Builds a [`Subscriber`].
#[must_use]
pub struct Builder {
    listen: SocketAddr,
    streams: Vec<u16>,
    raw: bool,
    limits: Limits,
    receive_buffer: usize,
    gro: bool,
    max_hold: Option<Duration>,
    repair: bool,
    history: u64,
    responder: Option<Responder>,
    impairment: Option<Impairment>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::UNSPECIFIED, limits::PORT_DEFAULT).into(),
            streams: vec![0],
            raw: false,
            limits: Limits::default(),
            receive_buffer: 4 << 20,
            gro: true,
            max_hold: None,
            repair: true,
            history: 0,
            responder: None,
            impairment: None,
        }
    }
}

impl Builder {
    /// Where to receive; 0.0.0.0:12000 by default.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// The streams to accept; only stream 0 by default, and all of them if there is none in the list.
    pub fn streams(mut self, streams: impl IntoIterator<Item = u16>) -> Self {
        self.streams = streams.into_iter().collect();
        self
    }

    /// Takes every datagram as a message, whoever sent it and how often.
    pub fn raw(mut self, raw: bool) -> Self {
        self.raw = raw;
        self
    }

    /// How many streams of publishers are tracked at a time; 256 by default.
    pub fn publishers(mut self, publishers: usize) -> Self {
        self.limits.publishers = publishers;
        self
    }

    /// How many sequences of each are remembered: a power of two from 128 to 1,048,576; 8,192 by default.
    pub fn window(mut self, sequences: usize) -> Self {
        self.limits.window = sequences;
        self
    }

    /// The receive buffer to ask the kernel for, in bytes; 4 MiB by default.
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = bytes;
        self
    }

    /// Whether to have the kernel hand over datagrams that follow one another in one piece (`UDP_GRO`); yes by default.
    /// [`Subscriber::capabilities`] tells whether it does.
    pub fn gro(mut self, gro: bool) -> Self {
        self.gro = gro;
        self
    }

    /// Hands messages on in the order in which they were published. What follows a missing one is held back until
    /// that is repaired or given up, at most for `max_hold`. By default messages are handed on as they come.
    pub fn ordered(mut self, max_hold: Duration) -> Self {
        self.max_hold = Some(max_hold);
        self
    }

    /// Whether to ask publishers that answer (modes `dup+nak` and `nak`) for what is missing; yes by default.
    pub fn repair(mut self, repair: bool) -> Self {
        self.repair = repair;
        self
    }

    /// Asks a publisher that answers, when it is heard for the first time, for up to so many of the datagrams that
    /// it sent before; none by default, at most half the window.
    pub fn history(mut self, datagrams: u64) -> Self {
        self.history = datagrams;
        self
    }

    /// The longest message to put together from fragments, in bytes; 1 MiB by default and at most.
    pub fn message_max(mut self, bytes: usize) -> Self {
        self.limits.message_max = bytes;
        self
    }

    /// Bytes for fragments and for what is held back: for all publishers (16 MiB by default), and for each (4 MiB).
    pub fn memory(mut self, all: usize, each: usize) -> Self {
        (self.limits.memory, self.limits.memory_each) = (all, each);
        self
    }

    /// By whom messages are answered: see [`Message::respond`](super::Message::respond).
    pub fn responder(mut self, responder: Responder) -> Self {
        self.responder = Some(responder);
        self
    }

    /// Drops, on purpose and before anything else sees them, the datagrams for which `drop` says
    /// `true`: for trying out what loss does.
    pub fn impair(mut self, drop: impl FnMut(&[u8]) -> bool + Send + 'static) -> Self {
        self.impairment = Some(Box::new(drop));
        self
    }

    /// Opens the socket and takes all memory.
    ///
    /// # Errors
    /// A setting out of its range, or a socket that cannot be had.
    pub fn build(self) -> Result<Subscriber, BuildError> {
        let (publishers, window) = (self.limits.publishers, self.limits.window);
        if !(1..=PUBLISHERS_MAX).contains(&publishers) {
            let what = format!("{publishers} publishers cannot be tracked: 1 to {PUBLISHERS_MAX} can");
            return Err(BuildError::Setting(what));
        }
        if !window.is_power_of_two() || !(128..=WINDOW_MAX).contains(&window) {
            let what =
                format!("a window of {window} is not possible: a power of two from 128 to {WINDOW_MAX} is");
            return Err(BuildError::Setting(what));
        }
        self.check_reliability()?;
        let os = |what| move |error| BuildError::Os(what, error);
        let (socket, buffer) = headcast_udp::ingress(self.listen, self.receive_buffer)
            .map_err(|error| BuildError::Bind { address: self.listen, error })?;
        let gro = self.gro && headcast_udp::receive_trains(&socket);
        let capabilities =
            Capabilities { receive_buffer: Some(buffer), gro: Some(gro), ..Capabilities::default() };
        let now = clock::now();
        let order = match self.max_hold {
            Some(max_hold) => Order::Ordered { max_hold_ns: nanos(max_hold) },
            None => Order::AtOnce,
        };
        let mut receiver =
            Receiver::new(&self.limits, &self.streams).order(order).history(self.history).since(now);
        if self.repair && !self.raw {
            let id = host_publisher_id().map_err(os("find a number for this subscriber"))?;
            let random = getrandom::u32()
                .map_err(|error| BuildError::Os("draw a session", std::io::Error::other(error)))?;
            let session = Session::new(now.unix_ns / 1_000_000, random);
            receiver = receiver.asking(Sequencer::new(id, session, 0));
        }
        Ok(Subscriber {
            socket,
            mailbox: Mailbox { inbox: Inbox::new(ROOM), responder: self.responder },
            before: Before::Nothing,
            pending: Pending::nothing(),
            parts: Parts::nothing(),
            drained: false,
            now,
            behind: 0,
            receiver,
            sources: vec![None; publishers].into(),
            timer: Timer::unwatched().map_err(os("make a timer"))?,
            finishing: false,
            ipv6: self.listen.is_ipv6(),
            raw: self.raw,
            unusual: self.raw || self.impairment.is_some(),
            impairment: self.impairment,
            capabilities,
            counters: Arc::new(SubscriberCounters::default()),
            refusals: Arc::new(Refusals::default()),
        })
    }

    fn check_reliability(&self) -> Result<(), BuildError> {
        let wrong = |what: String| Err(BuildError::Setting(what));
        if self.history > self.limits.window as u64 / 2 {
            let most = self.limits.window / 2;
            return wrong(format!(
                "a history of {} is not possible: at most half the window, {most}, is",
                self.history
            ));
        }
        if !(limits::DATAGRAM_MAX..=MESSAGE_MAX).contains(&self.limits.message_max) {
            let given = self.limits.message_max;
            return wrong(format!(
                "messages of at most {given} bytes are not possible: {} to {MESSAGE_MAX} are",
                limits::DATAGRAM_MAX
            ));
        }
        let (all, each) = (self.limits.memory, self.limits.memory_each);
        if each < 2 * self.limits.message_max || all < each || all > MEMORY_MAX {
            return wrong(format!(
                "{all} bytes to keep datagrams in, {each} of them for each publisher, are not possible: each must have room for two messages (2 x {}), and all at least as much and at most {MEMORY_MAX}",
                self.limits.message_max
            ));
        }
        if self.max_hold.is_some_and(|hold| hold > HOLD_MAX) {
            return wrong(format!("to hold messages back for more than {HOLD_MAX:?} is not possible"));
        }
        if self.raw && self.responder.is_some() {
            return wrong("raw datagrams have no numbers: they cannot be answered".into());
        }
        if self.raw && (self.max_hold.is_some() || self.history > 0) {
            return wrong("raw datagrams have no numbers: there is no order and no history".into());
        }
        Ok(())
    }
}
