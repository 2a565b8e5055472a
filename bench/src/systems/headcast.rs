//! Headcast itself, by its library.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use headcast::{BuildError, Mode, PublishError, PublisherBuilder};
use mio::{Interest, Registry, Token};

use crate::load::{Reader, Transport};

/// Messages that a receiver hands on before another one gets its turn.
const MESSAGES_MAX: usize = 256;
/// A number of its own: one that comes from the host's name is held by one process at a time.
const PUBLISHER_ID: u32 = 1;

/// How a publisher sends, and how what it sends is received.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How messages are made to arrive; the library's default unless told.
    pub mode: Option<Mode>,
    /// How often each is sent; as the mode has it unless told.
    pub copies: Option<usize>,
    /// Without a header.
    pub raw: bool,
    /// Whether messages that wait for one another share a datagram.
    pub packing: bool,
    /// Whether datagrams of one size go to a peer as one send (`UDP_SEGMENT`).
    pub gso: bool,
    /// Whether a receiver takes datagrams that came together as one (`UDP_GRO`).
    pub gro: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { mode: None, copies: None, raw: false, packing: true, gso: true, gro: true }
    }
}

impl Settings {
    fn builder(&self) -> PublisherBuilder {
        let mut builder = headcast::Publisher::builder()
            .publisher_id(PUBLISHER_ID)
            .send_buffer(crate::SEND_BUFFER)
            .packing(self.packing)
            .gso(self.gso)
            .raw(self.raw);
        if let Some(mode) = self.mode {
            builder = builder.mode(mode);
        }
        if let Some(copies) = self.copies {
            builder = builder.copies(copies);
        }
        builder
    }
}

/// Publishes to peers that are known.
pub struct Publisher {
    publisher: headcast::Publisher,
}

impl Publisher {
    /// Over a publisher that is set up, and knows its peers.
    #[must_use]
    pub fn new(publisher: headcast::Publisher) -> Self {
        Self { publisher }
    }

    /// To these peers.
    ///
    /// # Errors
    /// When the publisher cannot be built.
    pub fn to_peers(peers: &[SocketAddr], settings: &Settings) -> io::Result<Self> {
        let mut publisher = settings.builder().peers(peers.iter().copied()).build().map_err(failure)?;
        publisher.wait_for_peers(crate::PEERS_TIMEOUT).map_err(io::Error::other)?;
        Ok(Self::new(publisher))
    }

    fn repairs(&self) -> u64 {
        let counters = self.publisher.counters();
        counters.repairs_sent.get() + counters.repairs_failed.get()
    }

    /// Returns whether anything was sent.
    fn turn(&mut self, wait: Duration) -> io::Result<bool> {
        let repairs = self.repairs();
        let passes = self.publisher.turn(Some(wait))?;
        Ok(passes > 0 || self.repairs() != repairs)
    }
}

impl Transport for Publisher {
    fn send(&mut self, payload: &[u8]) -> io::Result<bool> {
        match self.publisher.post(payload) {
            Ok(()) => Ok(true),
            Err(PublishError::Full) => Ok(false),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.publisher.flush().map_err(io::Error::other)
    }

    fn idle(&mut self, wait: Duration) -> io::Result<bool> {
        self.turn(wait)
    }

    fn finish(&mut self, wait: Duration) -> io::Result<()> {
        self.turn(wait).map(drop)
    }

    fn counters(&self) -> Vec<(String, u64)> {
        self.publisher.counters().each().map(|(name, count)| (name.to_owned(), count)).collect()
    }
}

/// Receives each message once.
pub struct Subscriber {
    subscriber: headcast::Subscriber,
}

impl Subscriber {
    /// At this address, for what a publisher with these settings sends; port 0 is one that is free.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn listen(address: SocketAddr, settings: &Settings) -> io::Result<Self> {
        // Two, so that a publisher that has just ended does not stand in the way of the next one.
        let builder =
            headcast::Subscriber::builder().listen(address).publishers(2).raw(settings.raw).gro(settings.gro);
        Ok(Self::new(builder.build().map_err(failure)?))
    }

    /// Of a subscriber that is set up otherwise.
    #[must_use]
    pub fn new(subscriber: headcast::Subscriber) -> Self {
        Self { subscriber }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.subscriber.local_addr()
    }
}

impl Reader for Subscriber {
    fn read(&mut self, deliver: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        for _ in 0..MESSAGES_MAX {
            let Some(message) = self.subscriber.try_recv()? else { return Ok(false) };
            deliver(message.payload);
        }
        Ok(true)
    }

    fn dropped(&self) -> u64 {
        self.subscriber.counters().socket_dropped.get()
    }

    fn counters(&self) -> Vec<(String, u64)> {
        let counts = self.subscriber.counters().each().map(|(name, count)| (name.to_owned(), count));
        let refusals =
            self.subscriber.refusals().each().map(|(name, count)| (format!("refused_{name}"), count));
        counts.chain(refusals).collect()
    }
}

impl mio::event::Source for Subscriber {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.subscriber.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.subscriber.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.subscriber.deregister(registry)
    }
}

fn failure(error: BuildError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::load::{Audience, Expected, Pace};

    fn everything_arrives_once(settings: &Settings) {
        let (messages, receivers) = (300, 3);
        let listen = |_| Subscriber::listen((Ipv4Addr::LOCALHOST, 0).into(), settings).expect("a subscriber");
        let readers: Vec<Subscriber> = (0..receivers).map(listen).collect();
        let peers: Vec<SocketAddr> =
            readers.iter().map(|reader| reader.local_addr().expect("an address")).collect();
        let pace = Pace { rate: 3_000.0, messages, warm_up: 30, size: 64, run: 7 };
        let expected = Expected { run: pace.run, messages, warm_up: pace.warm_up };
        let audience = Audience::new(readers, expected).expect("an audience");
        let control = audience.control();
        let receiving = std::thread::spawn(move || audience.receive());
        let mut publisher = Publisher::to_peers(&peers, settings).expect("a publisher");
        let paced = pace.play(&mut publisher).expect("sent");
        publisher.finish(Duration::ZERO).expect("finished");
        control.finish(paced.sent);
        let received = receiving.join().expect("no panic").expect("received");
        assert_eq!((paced.sent, paced.refused, paced.abandoned), (270, 0, 0));
        assert_eq!(received.total.received + received.total.lost, 270 * receivers);
        assert_eq!((received.total.lost, received.total.duplicates, received.total.foreign), (0, 0, 0));
        assert_eq!(received.warm_up, 30 * receivers);
        assert_eq!(received.counters["delivered"], 300 * receivers);
        let counters: std::collections::BTreeMap<_, _> = publisher.counters().into_iter().collect();
        // Messages that were late may have shared a datagram.
        assert_eq!(counters["sent_first"] + counters["packed"] * receivers, 300 * receivers);
    }

    #[test]
    fn every_message_arrives_once_in_every_mode() {
        for mode in [Mode::Once, Mode::Dup, Mode::DupNak, Mode::Nak] {
            everything_arrives_once(&Settings { mode: Some(mode), ..Settings::default() });
        }
    }

    #[test]
    fn and_raw() {
        everything_arrives_once(&Settings { raw: true, ..Settings::default() });
    }
}
