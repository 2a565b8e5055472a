//! The six ways.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;

use headcast::Publisher;
use headcast_udp::{Batch, CALL_MAX, Outcome};

use super::frames::Frames;

use crate::raw::{self, Headers, Room};

/// A way of sending one message to all peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WayName {
    /// `UdpSocket::send_to` for each peer.
    SendTo,
    /// `sendmmsg` on names, vectors and headers that are built anew for each message.
    Rebuilt,
    /// `headcast_udp::Batch`.
    Batch,
    /// The same system call on headers made by hand, with nothing around it.
    SystemCall,
    /// `headcast::Publisher`: ring, header, clock and counters as well.
    Publisher,
    /// `headcast_udp::Lane`: frames by AF_XDP, where that may be had.
    Xdp,
}

impl WayName {
    /// All of them, from the plainest on.
    pub const ALL: [Self; 6] =
        [Self::SendTo, Self::Rebuilt, Self::Batch, Self::SystemCall, Self::Publisher, Self::Xdp];

    /// For a table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendTo => "send_to",
            Self::Rebuilt => "rebuilt",
            Self::Batch => "batch",
            Self::SystemCall => "system call",
            Self::Publisher => "publisher",
            Self::Xdp => "xdp",
        }
    }
}

/// All ways, ready to send. They share a socket, but for the publisher, which has its own with the same
/// options.
pub(super) struct Ways {
    socket: UdpSocket,
    peers: Vec<SocketAddrV4>,
    addresses: Vec<SocketAddr>,
    payload: Vec<u8>,
    /// As long as what the publisher sends: the payload behind a header's worth of zeros.
    datagram: Vec<u8>,
    room: Room,
    batch: Batch,
    publisher: Publisher,
    /// Or why there are none.
    frames: Result<Frames, String>,
}

impl Ways {
    pub(super) fn open(peers: &[SocketAddrV4], payload: usize) -> Result<Self, Box<dyn Error>> {
        let addresses: Vec<SocketAddr> = peers.iter().copied().map(SocketAddr::from).collect();
        let (socket, _) = headcast_udp::egress((Ipv4Addr::UNSPECIFIED, 0).into(), crate::SEND_BUFFER)?;
        let mut publisher = crate::publisher().peers(addresses.iter().copied()).build()?;
        publisher.wait_for_peers(crate::PEERS_TIMEOUT)?;
        let frames = Frames::open(&addresses, socket.local_addr()?.port()).map_err(|error| error.to_string());
        Ok(Self {
            frames,
            socket,
            peers: peers.to_vec(),
            payload: vec![0x5a; payload],
            datagram: [vec![0; headcast::limits::HEADER_LEN], vec![0x5a; payload]].concat(),
            room: Room::new(peers.len()),
            batch: Batch::new(&addresses, CALL_MAX),
            addresses,
            publisher,
        })
    }

    /// Why a way is not there.
    pub(super) fn missing(&self) -> Option<(WayName, &str)> {
        self.frames.as_ref().err().map(|reason| (WayName::Xdp, reason.as_str()))
    }

    /// Whether a way is not there.
    pub(super) fn lacks(&self, way: WayName) -> bool {
        self.missing().is_some_and(|(missing, _)| missing == way)
    }

    /// Sends as many messages to all peers. What the kernel does not take at once is an error: the
    /// ways would differ in how they wait for it.
    pub(super) fn send(&mut self, way: WayName, messages: usize) -> Result<(), Box<dyn Error>> {
        let sent = match way {
            WayName::SendTo => self.send_to(messages),
            WayName::Rebuilt => self.rebuilt(messages),
            WayName::Batch => self.batch(messages),
            WayName::SystemCall => self.system_call(messages),
            WayName::Publisher => return self.publish(messages),
            WayName::Xdp => match &mut self.frames {
                Ok(frames) => frames.send(&self.datagram, messages),
                Err(reason) => Err(io::Error::other(reason.clone())),
            },
        };
        sent.map_err(|error| format!("{}: not everything was sent: {error}", way.name()).into())
    }

    fn send_to(&self, messages: usize) -> io::Result<()> {
        for _ in 0..messages {
            for peer in &self.addresses {
                self.socket.send_to(&self.datagram, peer)?;
            }
        }
        Ok(())
    }

    fn rebuilt(&mut self, messages: usize) -> io::Result<()> {
        for _ in 0..messages {
            self.room.send(self.socket.as_fd(), &self.peers, &self.datagram)?;
        }
        Ok(())
    }

    fn batch(&mut self, messages: usize) -> io::Result<()> {
        for _ in 0..messages {
            self.batch.begin(0, true);
            let progress = self.batch.flush(self.socket.as_fd(), &self.datagram, 0);
            if progress.outcome != Outcome::Done || progress.sent != self.peers.len() {
                return Err(io::Error::other(format!("{progress:?}")));
            }
        }
        Ok(())
    }

    fn system_call(&mut self, messages: usize) -> io::Result<()> {
        let mut names: Vec<_> = self.peers.iter().map(raw::name).collect();
        let mut iov = raw::no_vector();
        let mut headers = Headers::sharing(&mut names, &mut iov, &self.datagram);
        for _ in 0..messages {
            headers.send(self.socket.as_fd())?;
        }
        Ok(())
    }

    fn publish(&mut self, messages: usize) -> Result<(), Box<dyn Error>> {
        let before = self.publisher.counters().sent_first.get();
        for _ in 0..messages {
            self.publisher.publish(&self.payload)?;
        }
        let sent = self.publisher.counters().sent_first.get() - before;
        if sent != (messages * self.peers.len()) as u64 {
            return Err(format!("publisher: not everything was sent, but {sent} datagrams").into());
        }
        Ok(())
    }
}
