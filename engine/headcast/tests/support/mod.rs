//! A peer that is driven by hand: it reads what is on the wire, and asks for what it likes.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use headcast::{Mode, Publisher, PublisherBuilder, PublisherCounters, Session};
use headcast_proto::{Datagram, HEADER_LEN, Kind, Now, Sequencer};

pub(crate) const SOON: Duration = Duration::from_secs(10);
/// How long a turn may wait.
pub(crate) const TURN: Option<Duration> = Some(Duration::from_millis(1));
/// Turns until something must have happened: more than 20 s of waiting.
pub(crate) const TURNS_MAX: usize = 20_000;
/// The publisher of all tests.
pub(crate) const PUBLISHER: u32 = 7;

/// A socket that messages are sent to.
pub(crate) struct Peer {
    pub(crate) socket: UdpSocket,
    requests: Sequencer,
}

/// One datagram, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) bytes: Vec<u8>,
    pub(crate) from: SocketAddr,
}

impl Got {
    pub(crate) fn datagram(&self) -> Datagram<'_> {
        Datagram::parse(&self.bytes).expect("what a publisher sends is valid")
    }

    pub(crate) fn kind(&self) -> Kind {
        self.datagram().kind()
    }

    pub(crate) fn seq(&self) -> u64 {
        self.datagram().seq()
    }

    pub(crate) fn path(&self) -> u8 {
        self.bytes[3]
    }

    /// All but the path byte.
    pub(crate) fn sealed(&self) -> Vec<u8> {
        [&self.bytes[..3], &self.bytes[4..]].concat()
    }
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self::at("127.0.0.1:0").expect("a port")
    }

    pub(crate) fn at(address: &str) -> std::io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, requests: Sequencer::new(1000, Session::new(5, 5), 0) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("an address")
    }

    /// Everything that has come.
    pub(crate) fn drain(&self) -> Vec<Got> {
        let mut buffer = vec![0; 70_000];
        let mut got = Vec::new();
        while let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
            got.push(Got { bytes: buffer[..len].to_vec(), from });
        }
        got
    }

    /// All data among that.
    pub(crate) fn data(&self) -> Vec<Got> {
        self.drain().into_iter().filter(|got| got.kind() == Kind::Data).collect()
    }

    /// Asks the publisher at `to` for these sequences.
    pub(crate) fn ask(&mut self, to: SocketAddr, session: Session, seqs: &[u64]) {
        self.ask_for(to, (PUBLISHER, 0, session), &seqs.iter().map(|seq| (*seq, 0)).collect::<Vec<_>>());
    }

    /// Asks for entries of a publisher, a stream and a session.
    pub(crate) fn ask_for(
        &mut self,
        to: SocketAddr,
        (publisher, stream, session): (u32, u16, Session),
        entries: &[(u64, u64)],
    ) {
        let mut bytes = vec![0; HEADER_LEN];
        bytes.extend(publisher.to_le_bytes());
        bytes.extend(stream.to_le_bytes());
        bytes.extend(u16::try_from(entries.len()).expect("few").to_le_bytes());
        bytes.extend(session.to_bits().to_le_bytes());
        for (base, bitmap) in entries {
            bytes.extend(base.to_le_bytes());
            bytes.extend(bitmap.to_le_bytes());
        }
        self.requests.seal_nak(&mut bytes, Now { mono_ns: 0, unix_ns: 0 });
        self.socket.send_to(&bytes, to).expect("sent");
    }
}

/// A publisher to these peers, before it is built.
pub(crate) fn to(peers: &[&Peer], mode: Mode) -> PublisherBuilder {
    Publisher::builder().peers(peers.iter().map(|peer| peer.address())).publisher_id(PUBLISHER).mode(mode)
}

/// A publisher that knows its peers.
pub(crate) fn ready(builder: PublisherBuilder) -> Publisher {
    let mut publisher = builder.build().expect("a publisher");
    publisher.wait_for_peers(SOON).expect("peers");
    publisher
}

/// Turns until `done`.
pub(crate) fn turn_until(publisher: &mut Publisher, mut done: impl FnMut(&mut Publisher) -> bool) {
    for _ in 0..TURNS_MAX {
        if done(publisher) {
            return;
        }
        publisher.turn(TURN).expect("a turn");
    }
    panic!("it never came to that: {:?}", publisher.counters());
}

/// Turns until so many requests have come, for whatever reason they were refused, and everything is out.
pub(crate) fn turn_until_asked(publisher: &mut Publisher, requests: u64) {
    turn_until(publisher, |publisher| {
        let c = publisher.counters();
        let read = [&c.naks, &c.naks_foreign, &c.naks_stranger, &c.strays, &c.malformed];
        read.iter().map(|counter| counter.get()).sum::<u64>() >= requests && is_settled(publisher)
    });
}

/// Whether everything is out.
pub(crate) fn is_settled(publisher: &Publisher) -> bool {
    let c = publisher.counters();
    publisher.backlog() == 0 && outcomes(c) == c.asked.get()
}

/// What became of the datagrams that were asked for, in all.
fn outcomes(c: &PublisherCounters) -> u64 {
    let all = [
        &c.repairs_sent,
        &c.repairs_failed,
        &c.repairs_gone,
        &c.repairs_repeated,
        &c.repairs_over_budget,
        &c.repairs_excess,
        &c.repairs_full,
        &c.repairs_forgotten,
    ];
    all.iter().map(|counter| counter.get()).sum()
}

/// What must be true once everything is out.
pub(crate) fn assert_booked(publisher: &Publisher) {
    let c = publisher.counters();
    let sent = c.sent_first.get() + c.sent_later.get() + c.sent_heartbeats.get();
    assert_eq!(c.offered.get(), sent + c.rejected.get() + c.transient.get() + c.quarantined.get(), "{c:?}");
    assert_eq!(
        c.messages.get() + c.fragments.get(),
        c.packed.get() + c.passes_first.get() + c.dropped_oldest.get(),
        "{c:?}"
    );
    assert_eq!(c.asked.get(), outcomes(c), "{c:?}");
}
