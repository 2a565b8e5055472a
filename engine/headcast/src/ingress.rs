//! In from local applications: every datagram that arrives becomes a message.
//!
//! The kernel writes straight into the ring's free slots, behind room for the header.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use headcast_proto::HEADER_LEN;
use headcast_udp::{Errno, ReceiveBatch};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::counters::PublisherCounters;
use crate::error::BuildError;
use crate::ring::{Ring, Slot};

/// Where local applications send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `udp://ADDR:PORT`
    Udp(SocketAddr),
    /// `unix://PATH`, a datagram socket.
    Unix(PathBuf),
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(address) = text.strip_prefix("udp://") {
            let address = address.parse();
            return address.map(Self::Udp).map_err(|_| {
                format!("'{text}' is not an address with a port; right would be udp://127.0.0.1:9000 or udp://[::1]:9000")
            });
        }
        match text.strip_prefix("unix://") {
            // sun_path holds 108 bytes with the closing zero (`unix(7)`).
            Some(path) if path.starts_with('/') && path.len() < 108 => Ok(Self::Unix(path.into())),
            Some(_) => Err(format!(
                "'{text}' is not an absolute path of at most 107 bytes; right would be unix:///run/headcast.sock"
            )),
            None => Err(format!("'{text}' is neither; right would be udp://ADDR:PORT or unix:///PATH")),
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

pub(crate) struct Ingress {
    socket: Socket,
    batch: ReceiveBatch,
    /// For what is received while the ring is full.
    spare: Box<[Slot]>,
}

enum Socket {
    Udp(UdpSocket),
    /// The path is removed on drop.
    Unix(UnixDatagram, PathBuf),
}

impl Ingress {
    pub(crate) fn open(
        listen: &Listen,
        receive_buffer: usize,
        payload_max: usize,
    ) -> Result<(Self, headcast_udp::Buffer), BuildError> {
        let (socket, buffer) = match listen {
            Listen::Udp(address) => {
                let (socket, buffer) = headcast_udp::ingress(*address, receive_buffer)
                    .map_err(|error| BuildError::Bind { address: *address, error })?;
                (Socket::Udp(socket), buffer)
            }
            Listen::Unix(path) => {
                let bind = |error| BuildError::BindPath { path: path.clone(), error };
                remove_stale(path).map_err(bind)?;
                let (socket, buffer) = headcast_udp::ingress_unix(path, receive_buffer).map_err(bind)?;
                (Socket::Unix(socket, path.clone()), buffer)
            }
        };
        let spare = (0..headcast_udp::RECEIVE_MAX).map(|_| Slot::new(payload_max)).collect();
        Ok((Self { socket, batch: ReceiveBatch::new(), spare }, buffer))
    }

    /// Where it listens, of a UDP socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Udp(socket) => socket.local_addr().ok(),
            Socket::Unix(..) => None,
        }
    }

    /// Refuses what is sent from now on; what has arrived stays to be received.
    ///
    /// A datagram socket that is connected accepts only what its peer sends (`udp(7)`, `unix(7)`), so
    /// it is connected to itself. Senders see an error, where silence would lose their messages.
    pub(crate) fn refuse_more(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Udp(socket) => socket.connect(socket.local_addr()?),
            Socket::Unix(socket, path) => socket.connect(path),
        }
    }

    pub(crate) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.socket.as_fd().as_raw_fd()), token, Interest::READABLE)
    }

    /// Receives into the slots from `seq` on, at most `room` of them.
    ///
    /// `taken` is called for each message with its sequence and its length, in order. Returns whether
    /// there may be more.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        ring: &mut Ring,
        seq: u64,
        room: usize,
        counters: &PublisherCounters,
        mut taken: impl FnMut(&mut Ring, u64, usize),
    ) -> io::Result<bool> {
        let slots = ring.run_mut(seq, room.min(headcast_udp::RECEIVE_MAX));
        let wanted = slots.len();
        let Some(count) = receive(&mut self.batch, self.socket.as_fd(), slots)? else { return Ok(false) };
        let mut next = seq;
        for at in 0..count {
            let meta = self.batch.meta(at);
            if let Some(dropped) = meta.dropped {
                counters.ingress_dropped.set(dropped.into());
            }
            if meta.truncated {
                counters.oversized.add(1);
                continue;
            }
            let came_to = seq + at as u64;
            if came_to != next {
                // One before it was refused: move up, by exchanging pointers.
                ring.exchange_both(came_to, next);
            }
            taken(ring, next, meta.len);
            next += 1;
        }
        Ok(count == wanted)
    }

    /// Receives into slots that are not the ring's; `taken` may exchange them for others of their size.
    /// Returns whether there may be more.
    #[cold]
    pub(crate) fn receive_aside(
        &mut self,
        counters: &PublisherCounters,
        mut taken: impl FnMut(&mut Slot, usize),
    ) -> io::Result<bool> {
        let Some(count) = receive(&mut self.batch, self.socket.as_fd(), &mut self.spare)? else {
            return Ok(false);
        };
        for at in 0..count {
            let meta = self.batch.meta(at);
            if let Some(dropped) = meta.dropped {
                counters.ingress_dropped.set(dropped.into());
            }
            if meta.truncated {
                counters.oversized.add(1);
            } else {
                taken(&mut self.spare[at], meta.len);
            }
        }
        Ok(count == self.spare.len())
    }
}

/// How many came, or `None` when nothing is there.
#[inline]
fn receive(
    batch: &mut ReceiveBatch,
    socket: BorrowedFd<'_>,
    slots: &mut [Slot],
) -> io::Result<Option<usize>> {
    match batch.receive(socket, slots, HEADER_LEN) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp(socket) => socket.as_fd(),
            Self::Unix(socket, _) => socket.as_fd(),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // If somebody else removed it, it is gone all the same.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes the socket that a killed process left behind; leaves anything else, for bind to complain.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => match UnixDatagram::unbound()?.connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            _ => Ok(()),
        },
        Ok(_) => Err(io::Error::other("the path exists and is not a socket; choose another or remove it")),
        Err(_) => Ok(()),
    }
}
