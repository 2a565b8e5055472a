//! Plain datagrams: receivers without a protocol, and a sender to one address, such as a relay's.

use std::fmt::Display;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use headcast_udp::{Errno, Inbox, RECEIVE_MAX};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, sendmmsg, sendmsg};

use crate::load::{Reader, Transport};

/// Bytes of receive buffer that every socket asks for, as a subscriber of Headcast's does.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Full batches that a receiver hands on before another one gets its turn.
const BATCHES_MAX: usize = 4;
/// How long a sender waits for room before messages count as refused, in milliseconds.
const PATIENCE_MS: u8 = 100;
/// How often what a sender could not get rid of is tried again.
const TRIES_MAX: usize = 3;
/// Messages that a sender holds back at most until there is no further one to go with them: as many as every kernel takes in
/// one `UDP_SEGMENT` send.
const HELD_MAX: usize = 63;
/// Bytes that such a send has at most: what an IPv4 packet carries.
const TRAIN_BYTES_MAX: usize = 65_507;

/// A socket whose datagrams are messages.
pub struct Receiver {
    socket: Socket,
    inbox: Inbox,
    datagrams: u64,
    dropped: u64,
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Receiver {
    /// At a UDP address, for datagrams of up to `size` bytes; port 0 is one that is free.
    ///
    /// # Errors
    /// When the address cannot be had; names it.
    pub fn bind(address: SocketAddr, size: usize) -> io::Result<Self> {
        let (socket, _) = headcast_udp::ingress(address, RECEIVE_BUFFER).map_err(naming(address))?;
        Ok(Self::over(Socket::Udp(socket), size))
    }

    /// At a path, for datagrams of up to `size` bytes.
    ///
    /// # Errors
    /// When the path cannot be had; names it.
    pub fn bind_path(path: &Path, size: usize) -> io::Result<Self> {
        let (socket, _) = headcast_udp::ingress_unix(path, RECEIVE_BUFFER).map_err(naming(path.display()))?;
        Ok(Self::over(Socket::Unix(socket), size))
    }

    fn over(socket: Socket, size: usize) -> Self {
        Self { socket, inbox: Inbox::new(size.max(1)), datagrams: 0, dropped: 0 }
    }

    /// Where it listens, if that is a UDP address.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match &self.socket {
            Socket::Udp(socket) => socket.local_addr().map(Some),
            Socket::Unix(_) => Ok(None),
        }
    }
}

impl Reader for Receiver {
    fn read(&mut self, deliver: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        for _ in 0..BATCHES_MAX {
            let count = match self.inbox.receive(self.socket.as_fd()) {
                Ok(count) => count,
                Err(Errno::EAGAIN) => return Ok(false),
                Err(errno) => return Err(errno.into()),
            };
            for at in 0..count {
                deliver(self.inbox.datagram(at).0);
            }
            self.datagrams += count as u64;
            if let Some(dropped) = count.checked_sub(1).and_then(|last| self.inbox.dropped(last)) {
                self.dropped = dropped.into();
            }
            if count < RECEIVE_MAX {
                // What comes after this look is announced.
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn dropped(&self) -> u64 {
        self.dropped
    }

    fn counters(&self) -> Vec<(String, u64)> {
        vec![("datagrams".into(), self.datagrams), ("socket_dropped".into(), self.dropped)]
    }
}

impl mio::event::Source for Receiver {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.socket.as_fd().as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.socket.as_fd().as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.socket.as_fd().as_raw_fd()).deregister(registry)
    }
}

/// Sends every message as one datagram to one address: those that are due together in one system call, and by UDP as one
/// packet that the kernel splits (`UDP_SEGMENT`) if they have one size.
pub struct Publisher {
    socket: Socket,
    headers: MultiHeaders<()>,
    /// The messages that go out together, one behind the other.
    held: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// Whether the kernel splits.
    splits: bool,
    blocked: u64,
    refused: u64,
}

impl Publisher {
    /// To a UDP address.
    ///
    /// # Errors
    /// When there is no way there.
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let (socket, _) = headcast_udp::egress(any, crate::SEND_BUFFER)?;
        socket.connect(address).map_err(naming(address))?;
        Ok(Self::over(Socket::Udp(socket)))
    }

    /// To a path.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn to_path(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(path).map_err(naming(path.display()))?;
        Ok(Self::over(Socket::Unix(socket)))
    }

    fn over(socket: Socket) -> Self {
        let headers = MultiHeaders::preallocate(HELD_MAX, None);
        let splits = matches!(socket, Socket::Udp(_));
        Self { socket, headers, held: Vec::new(), ends: Vec::new(), splits, blocked: 0, refused: 0 }
    }

    fn is_udp(&self) -> bool {
        matches!(self.socket, Socket::Udp(_))
    }

    /// The size that all have that are held, if they may go as one packet.
    fn common_size(&self) -> Option<u16> {
        let size = *self.ends.first()?;
        let is_train = self.splits && self.ends.len() > 1 && size > 0 && self.held.len() <= TRAIN_BYTES_MAX;
        let even = || self.ends.windows(2).all(|ends| ends[1] - ends[0] == size);
        if is_train && even() { u16::try_from(size).ok() } else { None }
    }

    /// Waits until there is room.
    fn wait(&self) -> io::Result<()> {
        match poll(
            &mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)],
            PollTimeout::from(PATIENCE_MS),
        ) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sends what is held from the message at `from` on; returns how many messages went out.
    fn try_send(&mut self, from: usize) -> Result<usize, Errno> {
        if let Some(size) = self.common_size().filter(|_| from == 0) {
            match self.try_send_train(size) {
                // Here they cannot be split: they are wider than the path, or the kernel is older than that.
                Err(Errno::EINVAL | Errno::EIO | Errno::EMSGSIZE) => self.splits = false,
                sent => return sent,
            }
        }
        self.try_send_each(from)
    }

    /// Sends all that is held as one packet.
    fn try_send_train(&self, size: u16) -> Result<usize, Errno> {
        let split = [ControlMessage::UdpGsoSegments(&size)];
        let (socket, held) = (self.socket.as_fd().as_raw_fd(), [IoSlice::new(&self.held)]);
        sendmsg::<()>(socket, &held, &split, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(self.ends.len())
    }

    fn try_send_each(&mut self, from: usize) -> Result<usize, Errno> {
        let Self { held, ends, .. } = self;
        let message = |at: usize| {
            let start = at.checked_sub(1).map_or(0, |before| ends[before]);
            [IoSlice::new(&held[start..ends[at]])]
        };
        let left = ends.len() - from;
        let messages: [_; HELD_MAX] =
            std::array::from_fn(|at| if at < left { message(from + at) } else { [IoSlice::new(&[])] });
        let flags = MsgFlags::MSG_NOSIGNAL;
        let socket = self.socket.as_fd().as_raw_fd();
        let sent =
            sendmmsg(socket, &mut self.headers, &messages[..left], [None; HELD_MAX], [], flags)?.count();
        Ok(sent)
    }
}

impl Transport for Publisher {
    fn send(&mut self, payload: &[u8]) -> io::Result<bool> {
        self.held.extend_from_slice(payload);
        self.ends.push(self.held.len());
        if self.ends.len() == HELD_MAX {
            self.flush()?;
        }
        Ok(true)
    }

    fn flush(&mut self) -> io::Result<()> {
        let (mut gone, mut tries) = (0, 0);
        // Room that is gone again when it is our turn is waited for once more, not for ever; and what is refused may
        // be an earlier datagram.
        while gone < self.ends.len() && tries < TRIES_MAX {
            match self.try_send(gone) {
                Ok(count) => (gone, tries) = (gone + count, 0),
                Err(Errno::EAGAIN) => {
                    tries += 1;
                    self.blocked += 1;
                    self.wait()?;
                }
                Err(Errno::ECONNREFUSED) if self.is_udp() => tries += 1,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        self.refused += (self.ends.len() - gone) as u64;
        self.held.clear();
        self.ends.clear();
        Ok(())
    }

    fn counters(&self) -> Vec<(String, u64)> {
        vec![("blocked".into(), self.blocked), ("refused".into(), self.refused)]
    }
}

/// An error that says where.
fn naming(place: impl Display) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{place}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Audience, Expected, Pace};

    fn arrive(receiver: Receiver, mut publisher: Publisher) {
        let pace = Pace { rate: 5_000.0, messages: 500, warm_up: 0, size: 1_000, run: 7 };
        let expected = Expected { run: pace.run, messages: pace.messages, warm_up: 0 };
        let audience = Audience::new(vec![receiver], expected).expect("an audience");
        let control = audience.control();
        let receiving = std::thread::spawn(move || audience.receive());
        let paced = pace.play(&mut publisher).expect("sent");
        control.finish(paced.sent);
        let received = receiving.join().expect("no panic").expect("received");
        assert_eq!((paced.sent, received.total.received, received.total.lost), (500, 500, 0));
        assert_eq!(received.counters["datagrams"], 500);
    }

    #[test]
    fn datagrams_arrive_over_udp() {
        let receiver = Receiver::bind((Ipv4Addr::LOCALHOST, 0).into(), 2048).expect("a receiver");
        let to = receiver.local_addr().expect("an address").expect("of UDP");
        arrive(receiver, Publisher::to(to).expect("a publisher"));
    }

    #[test]
    fn a_burst_arrives_as_it_was_sent_whether_it_is_split_or_not() {
        let sizes = [vec![300; 150], vec![300, 299, 300], vec![1_400; 64], vec![40_000, 40_000]].concat();
        for splits in [true, false] {
            let mut receiver = Receiver::bind((Ipv4Addr::LOCALHOST, 0).into(), 65_536).expect("a receiver");
            let mut publisher = Publisher::to(receiver.local_addr().expect("an address").expect("of UDP"))
                .expect("a publisher");
            publisher.splits &= splits;
            for (at, &size) in (0_u8..).zip(&sizes) {
                publisher.send(&vec![at; size]).expect("sent");
                if at >= 150 && sizes.get(usize::from(at) + 1) != Some(&size) {
                    publisher.flush().expect("sent");
                }
            }
            publisher.flush().expect("sent");
            let mut came = Vec::new();
            while came.len() < sizes.len() {
                receiver.read(&mut |payload| came.push((payload[0], payload.len()))).expect("received");
            }
            assert_eq!(publisher.splits, splits, "nothing that this kernel refuses");
            let sent: Vec<_> = (0_u8..).zip(sizes.iter().copied()).collect();
            assert_eq!((came, publisher.refused), (sent, 0), "splits: {splits}");
        }
    }

    #[test]
    fn and_over_a_path() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let receiver = Receiver::bind_path(&path, 2048).expect("a receiver");
        arrive(receiver, Publisher::to_path(&path).expect("a publisher"));
    }

    #[test]
    fn an_address_or_path_that_cannot_be_had_is_named() {
        let receiver = Receiver::bind((Ipv4Addr::LOCALHOST, 0).into(), 2048).expect("a receiver");
        let taken = receiver.local_addr().expect("an address").expect("of UDP");
        let error = Receiver::bind(taken, 2048).err().expect("it is taken").to_string();
        assert!(error.contains(&taken.to_string()), "{error}");
        let error =
            Publisher::to_path(Path::new("/nowhere/socket")).err().expect("nobody is there").to_string();
        assert!(error.contains("/nowhere/socket"), "{error}");
    }

    #[test]
    fn who_sends_to_nobody_is_told_by_the_counts_only() {
        let receiver = Receiver::bind((Ipv4Addr::LOCALHOST, 0).into(), 2048).expect("a receiver");
        let to = receiver.local_addr().expect("an address").expect("of UDP");
        drop(receiver);
        let mut publisher = Publisher::to(to).expect("a publisher");
        for _ in 0..10 {
            assert!(publisher.send(b"nobody").expect("no failure"));
            publisher.flush().expect("no failure");
        }
    }
}
