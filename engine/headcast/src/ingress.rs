//! In from local applications: every datagram that arrives becomes a message.
//!
//! The kernel writes straight into the ring's free slots, behind room for the header. What of a datagram
//! is longer than a slot it writes into an overflow; then that datagram and what came after it leave the
//! ring again, by exchanging pointers, and are taken in one by one as there is room. So it is with datagrams that an
//! application sent as one (`UDP_SEGMENT`): they come in one piece, and each becomes a message of its own.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use headcast_proto::packing::MESSAGE_OFFSET;
use headcast_udp::{Errno, RECEIVE_MAX, ReceiveBatch};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::counters::PublisherCounters;
use crate::error::BuildError;
use crate::publisher::Sizes;
use crate::ring::{Ring, Slot};

/// The longest UDP datagram: over IPv6, 65,535 less 8.
const UDP_MAX: usize = 65_527;

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
    /// For what is received while the ring is full, and what has left it again.
    spare: Box<[Slot]>,
    /// Room for what does not fit into a slot; none where longer datagrams are refused. The kernel gives
    /// memory for it only when one comes.
    overflows: Box<[Box<[u8]>]>,
    /// Which of `spare` hold what waits to be taken in.
    held: Range<usize>,
    /// What is left of the last of those that were taken, if that was a train.
    train: Option<Train>,
    payload_max: usize,
}

/// A datagram that waits.
pub(crate) struct Held {
    /// In which slot and overflow.
    pub(crate) at: usize,
    /// Where in the two together: those of the slot come first.
    pub(crate) bytes: Range<usize>,
    /// Whether it did not come with others in a train.
    pub(crate) alone: bool,
    /// The rest of it is gone, or nobody knows where it ends.
    pub(crate) truncated: bool,
}

/// Datagrams that came in one piece.
struct Train {
    at: usize,
    left: Range<usize>,
    segment: usize,
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
        sizes: Sizes,
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
        let payload_max = sizes.payload_max;
        let longest = match &socket {
            // Several that came in one piece are together as long as one may be.
            Socket::Udp(socket) if headcast_udp::receive_trains(socket) => UDP_MAX,
            Socket::Udp(_) => sizes.message_max.min(UDP_MAX),
            Socket::Unix(..) => sizes.message_max,
        };
        let overflow = longest.saturating_sub(payload_max);
        let overflows = if overflow == 0 { 0 } else { RECEIVE_MAX };
        let ingress = Self {
            socket,
            batch: ReceiveBatch::new(),
            spare: (0..RECEIVE_MAX).map(|_| Slot::new(payload_max)).collect(),
            overflows: (0..overflows).map(|_| vec![0; overflow].into()).collect(),
            held: 0..0,
            train: None,
            payload_max,
        };
        Ok((ingress, buffer))
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

    /// Receives into the slots from `seq` on, at most `room` of them. Nothing may be held.
    ///
    /// `taken` is called for each message with its sequence and its length, in order; what comes from one
    /// that is longer than a slot on, or from a train on, is held. Returns whether there may be more.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        ring: &mut Ring,
        seq: u64,
        room: usize,
        counters: &PublisherCounters,
        mut taken: impl FnMut(&mut Ring, u64, usize),
    ) -> io::Result<bool> {
        let slots = ring.run_mut(seq, room.min(RECEIVE_MAX));
        let wanted = slots.len();
        let Some(count) = receive(&mut self.batch, self.socket.as_fd(), slots, &mut self.overflows)? else {
            return Ok(false);
        };
        for at in 0..count {
            let meta = self.batch.meta(at);
            if let Some(dropped) = meta.dropped {
                counters.ingress_dropped.set(dropped.into());
            }
            if meta.truncated || meta.len > self.payload_max || meta.segment.is_some() {
                self.hold(ring, seq, at..count);
                return Ok(true);
            }
            taken(ring, seq + at as u64, meta.len);
        }
        Ok(count == wanted)
    }

    /// Takes what came to these places from `seq` on out of the ring.
    #[cold]
    fn hold(&mut self, ring: &mut Ring, seq: u64, places: Range<usize>) {
        for at in places.clone() {
            ring.exchange(seq + at as u64, &mut self.spare[at]);
            // Its header is that of an earlier datagram still.
            self.spare[at].forget();
        }
        self.held = places;
    }

    /// Receives beside the ring, and holds what comes. Returns whether there may be more.
    #[cold]
    pub(crate) fn receive_aside(&mut self, counters: &PublisherCounters) -> io::Result<bool> {
        let received = receive(&mut self.batch, self.socket.as_fd(), &mut self.spare, &mut self.overflows)?;
        let Some(count) = received else { return Ok(false) };
        for at in 0..count {
            self.spare[at].forget();
            if let Some(dropped) = self.batch.meta(at).dropped {
                counters.ingress_dropped.set(dropped.into());
            }
        }
        self.held = 0..count;
        Ok(count == self.spare.len())
    }

    /// Whether something is held.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty() || self.train.is_some()
    }

    /// How many are held.
    pub(crate) fn count_held(mut self) -> usize {
        std::iter::from_fn(|| self.next_held()).count()
    }

    /// The next one that is held: it is not any more.
    pub(crate) fn next_held(&mut self) -> Option<Held> {
        if let Some(train) = &mut self.train {
            let (at, from) = (train.at, train.left.start);
            let to = train.left.end.min(from + train.segment);
            train.left.start = to;
            if train.left.is_empty() {
                self.train = None;
            }
            return Some(Held { at, bytes: from..to, alone: false, truncated: false });
        }
        let at = self.held.next()?;
        let meta = self.batch.meta(at);
        match meta.segment {
            Some(segment @ 1..) if !meta.truncated && segment < meta.len => {
                self.train = Some(Train { at, left: 0..meta.len, segment });
                self.next_held()
            }
            _ => Some(Held {
                at,
                bytes: 0..meta.len,
                alone: true,
                truncated: meta.truncated || meta.segment == Some(0),
            }),
        }
    }

    /// Copies as much of one that was held as there is room for.
    pub(crate) fn copy(&self, held: &Held, to: &mut [u8]) {
        let from = held.bytes.start;
        let (near, far) = to.split_at_mut(self.payload_max.saturating_sub(from).min(to.len()));
        if !near.is_empty() {
            near.copy_from_slice(self.spare[held.at].part(from..from + near.len()));
        }
        if !far.is_empty() {
            let from = from + near.len() - self.payload_max;
            far.copy_from_slice(&self.overflows[held.at][from..from + far.len()]);
        }
    }

    /// The slot of one that was held, to be exchanged for another; what follows beyond it is in the overflow
    /// of the same place.
    pub(crate) fn slot_mut(&mut self, at: usize) -> &mut Slot {
        &mut self.spare[at]
    }

    /// Lends the overflow of one that was held, until it is given back, and says where in it lies what follows its first
    /// `head` bytes, which are as many as a slot holds.
    pub(crate) fn lend(&mut self, held: &Held, head: usize) -> (Box<[u8]>, Range<usize>) {
        let overflow = self.overflows.get_mut(held.at).map(std::mem::take).unwrap_or_default();
        let Range { start, end } = held.bytes;
        (overflow, start + head - self.payload_max..end - self.payload_max)
    }

    /// Gives an overflow back.
    pub(crate) fn give_back(&mut self, at: usize, overflow: Box<[u8]>) {
        if let Some(place) = self.overflows.get_mut(at) {
            *place = overflow;
        }
    }
}

/// How many came, or `None` when nothing is there.
#[inline]
fn receive(
    batch: &mut ReceiveBatch,
    socket: BorrowedFd<'_>,
    slots: &mut [Slot],
    overflows: &mut [Box<[u8]>],
) -> io::Result<Option<usize>> {
    let received = if overflows.is_empty() {
        batch.receive(socket, slots, MESSAGE_OFFSET)
    } else {
        batch.receive_with_overflow(socket, slots, MESSAGE_OFFSET, overflows)
    };
    match received {
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

#[cfg(test)]
mod tests;
