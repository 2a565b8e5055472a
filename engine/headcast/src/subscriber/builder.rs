//! The settings of a subscriber, their defaults and their ranges.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use headcast_proto::Receiver;
use headcast_proto::receiver::Limits;
use headcast_udp::{Capabilities, RECEIVE_MAX, ReceiveBatch};

use super::{Impairment, Subscriber};
use crate::clock;
use crate::counters::{Refusals, SubscriberCounters};
use crate::error::BuildError;
use crate::limits;

/// The most publishers that a subscriber can be told to track.
const PUBLISHERS_MAX: usize = 65_536;
/// The widest window.
const WINDOW_MAX: usize = 1 << 20;

/// Builds a [`Subscriber`].
#[must_use]
pub struct Builder {
    listen: SocketAddr,
    streams: Vec<u16>,
    raw: bool,
    limits: Limits,
    receive_buffer: usize,
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
        let (socket, buffer) = headcast_udp::ingress(self.listen, self.receive_buffer)
            .map_err(|error| BuildError::Bind { address: self.listen, error })?;
        let capabilities = Capabilities { receive_buffer: Some(buffer), ..Capabilities::default() };
        Ok(Subscriber {
            socket,
            batch: ReceiveBatch::new(),
            // Untouched pages cost nothing, so there is room for the largest datagram there is.
            buffers: (0..RECEIVE_MAX).map(|_| vec![0; limits::DATAGRAM_MAX + 1].into()).collect(),
            filled: 0,
            judged: 0,
            now: clock::now(),
            receiver: Receiver::new(&self.limits, &self.streams),
            raw: self.raw,
            impairment: self.impairment,
            capabilities,
            counters: Arc::new(SubscriberCounters::default()),
            refusals: Arc::new(Refusals::default()),
        })
    }
}
