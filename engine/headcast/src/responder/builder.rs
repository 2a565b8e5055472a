//! The settings of a responder, their defaults and their ranges.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use crossbeam::queue::ArrayQueue;
use headcast_peers::{Limits, Source, Stop, Watcher};
use headcast_proto::response::{RESPONSE_ROOM, RESULT_MAX};
use headcast_proto::{Sequencer, Session};
use mio::{Poll, Waker};

use super::recorders::{self, Recorders};
use super::sending::{QUEUE, Sending};
use super::{Owner, Responder, Shared};
use crate::bell::Bell;
use crate::clock;
use crate::counters::ResponderCounters;
use crate::error::BuildError;
use crate::identity::host_publisher_id;

/// The most responses that can be held.
const QUEUE_MAX: usize = 1 << 20;
/// The most bytes that they can take.
const BYTES_MAX: usize = 4 << 30;
/// The most recorders: one that writes, and those that stand by.
const RECORDERS_MAX: usize = 16;
/// For acknowledgements.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Builds a [`Responder`].
#[must_use]
pub struct Builder {
    source: Option<Source>,
    responses: usize,
    bytes: usize,
    result_max: usize,
    id: Option<u32>,
}

impl Default for Builder {
    fn default() -> Self {
        Self { source: None, responses: 8192, bytes: 16 << 20, result_max: RESULT_MAX, id: None }
    }
}

impl Builder {
    /// The recorder, and those that stand by: `NAME:PORT`, asked of DNS again and again, or an address.
    ///
    /// # Errors
    /// When the target is not understood.
    pub fn to(self, target: &str) -> Result<Self, BuildError> {
        Ok(self.source(Source::from_target(target)?))
    }

    /// As [`to`](Self::to), from any source.
    pub fn source(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// How many responses are held at most; 8,192 by default, 1 to 1,048,576.
    pub fn queue(mut self, responses: usize) -> Self {
        self.responses = responses;
        self
    }

    /// How many bytes they take at most; 16 MiB by default.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// The longest result in bytes; 65,427 by default and at most. One of more than some 1,300 bytes travels in several
    /// IP fragments, which are lost together.
    pub fn result_max(mut self, bytes: usize) -> Self {
        self.result_max = bytes;
        self
    }

    /// The number that the recorder knows this responder by; from the host's name by default.
    pub fn responder_id(mut self, id: u32) -> Self {
        self.id = Some(id);
        self
    }

    /// Opens the socket and starts the threads.
    ///
    /// # Errors
    /// A setting out of its range, no recorder, or a socket that cannot be had.
    pub fn build(self) -> Result<Responder, BuildError> {
        self.check()?;
        let Some(source) = self.source else {
            return Err(BuildError::Setting("to whom to respond is missing: name the recorder".into()));
        };
        let os = |what| move |error| BuildError::Os(what, error);
        let limits = Limits { max_peers: RECORDERS_MAX, ..Limits::default() };
        let watcher = Watcher::new(source, limits).map_err(BuildError::Source)?;
        let id = match self.id {
            Some(id) => id,
            None => host_publisher_id().map_err(os("find a number for this responder"))?,
        };
        let random = getrandom::u32()
            .map_err(|error| BuildError::Os("draw a session", std::io::Error::other(error)))?;
        let session = Session::new(clock::unix_ns() / 1_000_000, random);
        let (socket, ipv6) = open()?;
        let poll = Poll::new().map_err(os("start the event loop"))?;
        let waker = Waker::new(poll.registry(), QUEUE).map_err(os("start the event loop"))?;
        let shared = Arc::new(Shared {
            queue: ArrayQueue::new(self.responses),
            held: AtomicUsize::new(0),
            held_bytes: AtomicUsize::new(0),
            bytes_max: self.bytes,
            result_max: self.result_max,
            bell: Bell::new(waker),
            closed: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            held_from: AtomicU64::new(1),
            recorders: Recorders::default(),
            counters: Arc::new(ResponderCounters::default()),
            id,
        });
        let sequencer = Sequencer::new(id, session, 0);
        let sending = Sending::new(poll, socket, ipv6, sequencer, Arc::clone(&shared))
            .map_err(os("start the event loop"))?;
        // From here on the threads end when the owner is dropped, also by an error below.
        let stop = Stop::new();
        let mut owner = Owner { shared: Arc::clone(&shared), stop: stop.clone(), threads: Vec::new() };
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        let sender = thread("headcast-responder").spawn(move || sending.run());
        owner.threads.push(sender.map_err(os("start a thread"))?);
        let finder = thread("headcast-recorders").spawn(move || recorders::find(watcher, &stop, &shared));
        owner.threads.push(finder.map_err(os("start a thread"))?);
        Ok(Responder(Arc::new(owner)))
    }

    fn check(&self) -> Result<(), BuildError> {
        let wrong = |what: String| Err(BuildError::Setting(what));
        if !(1..=QUEUE_MAX).contains(&self.responses) {
            let given = self.responses;
            return wrong(format!("to hold {given} responses is not possible: 1 to {QUEUE_MAX} can be held"));
        }
        if self.result_max > RESULT_MAX {
            let given = self.result_max;
            return wrong(format!("results of {given} bytes are not possible: at most {RESULT_MAX} are"));
        }
        let least = RESPONSE_ROOM + self.result_max;
        if !(least..=BYTES_MAX).contains(&self.bytes) {
            let given = self.bytes;
            return wrong(format!(
                "{given} bytes to hold responses in are not possible: {least}, which is one of the longest, to {BYTES_MAX} are"
            ));
        }
        Ok(())
    }
}

/// A socket for both families, or where there is no IPv6, for IPv4; and which of the two.
fn open() -> Result<(UdpSocket, bool), BuildError> {
    let both: SocketAddr = (Ipv6Addr::UNSPECIFIED, 0).into();
    if let Ok((socket, _)) = headcast_udp::ingress(both, RECEIVE_BUFFER) {
        return Ok((socket, true));
    }
    let address = (Ipv4Addr::UNSPECIFIED, 0).into();
    let (socket, _) = headcast_udp::ingress(address, RECEIVE_BUFFER)
        .map_err(|error| BuildError::Bind { address, error })?;
    Ok((socket, false))
}
