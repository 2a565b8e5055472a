//! A socket of our own towards the application, with an address that it can answer to.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use headcast::{Listen, limits};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};

/// How long a full local socket may hold up a message that is not to be answered, as ever; one that is waits
/// elsewhere.
const PATIENCE: Duration = Duration::from_secs(1);

/// The send buffer to ask for, in bytes: a Unix datagram must fit into it as a whole.
const SEND_BUFFER: usize = 2 * limits::MESSAGE_MAX;

/// Where the application listens, in a form that a reply's source can be compared with.
#[derive(Clone, Debug)]
pub(super) enum Application {
    /// An address of one host.
    Udp(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

impl From<&Listen> for Application {
    fn from(listen: &Listen) -> Self {
        match listen {
            Listen::Udp(address) => {
                // To send to no address is to send to this host; the reply then comes from loopback.
                let ip = match address.ip() {
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
                    ip => ip,
                };
                Self::Udp((ip, address.port()).into())
            }
            Listen::Unix(path) => Self::Unix(path.clone()),
        }
    }
}

/// A socket by which messages go to the application, and by which replies come back.
pub(super) enum Line {
    /// Not connected, so that datagrams of others can be told; the kernel's errors are read from it all the same.
    Udp(UdpSocket, SocketAddr),
    /// Connected: the kernel knows the application's socket itself, by whatever path that was bound, and lets
    /// nobody else send here.
    Unix(UnixDatagram),
}

/// What was read from a line.
#[derive(Debug)]
pub(super) enum Received {
    /// A reply of so many bytes.
    Reply(usize),
    /// A reply that is longer than the buffer.
    TooLong,
    /// A datagram from somebody else.
    Stranger,
    /// The kernel says that what was sent met nobody.
    Refused(io::Error),
    /// There is nothing more.
    Nothing,
}

impl Line {
    /// A line to the application; a `patient` one waits a while if its socket is full.
    pub(super) fn open(to: &Application, patient: bool) -> io::Result<Self> {
        match to {
            Application::Udp(to) => {
                let socket = UdpSocket::bind(SocketAddr::new(own_ip(to.ip()), 0))?;
                // Without it a socket that is not connected does not hear that nobody is there (ip(7)).
                if to.is_ipv4() {
                    setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
                } else {
                    setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
                }
                Ok(Self::Udp(socket, *to))
            }
            Application::Unix(path) => {
                let socket = UnixDatagram::bind_addr(&unused_name()?)?;
                socket.connect(path)?;
                if patient {
                    socket.set_write_timeout(Some(PATIENCE))?;
                } else {
                    socket.set_nonblocking(true)?;
                }
                // The kernel grants as much as it is allowed to.
                setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER)?;
                Ok(Self::Unix(socket))
            }
        }
    }

    pub(super) fn send(&self, payload: &[u8]) -> io::Result<()> {
        loop {
            let sent = match self {
                Self::Udp(socket, to) => socket.send_to(payload, to),
                Self::Unix(socket) => socket.send(payload),
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(drop),
            }
        }
    }

    /// Takes one datagram, without waiting for it.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Received {
        let flags = MsgFlags::MSG_DONTWAIT;
        let mut pieces = [IoSliceMut::new(buffer)];
        let message = match recvmsg::<SockaddrStorage>(self.as_raw_fd(), &mut pieces, None, flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN) => return Received::Nothing,
            Err(errno) => {
                self.forget_errors();
                return Received::Refused(errno.into());
            }
        };
        match self {
            Self::Udp(_, to) if message.address.as_ref().and_then(internet) != Some((to.ip(), to.port())) => {
                Received::Stranger
            }
            _ if message.flags.contains(MsgFlags::MSG_TRUNC) => Received::TooLong,
            _ => Received::Reply(message.bytes),
        }
    }

    /// Empties the queue of the kernel's errors, in which each takes memory. What they say has been told.
    fn forget_errors(&self) {
        if let Self::Udp(socket, _) = self {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_ERRQUEUE;
            while recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut [], None, flags).is_ok() {}
        }
    }

    pub(super) fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Udp(socket, _) => socket.as_raw_fd(),
            Self::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

/// Where to wait for the replies of an application at this address: only this host reaches loopback.
fn own_ip(to: IpAddr) -> IpAddr {
    match to {
        IpAddr::V4(ip) if ip.is_loopback() => ip.into(),
        IpAddr::V6(ip) if ip.is_loopback() => ip.into(),
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Address and port; scope and flow of IPv6 are no part of who it is.
fn internet(address: &SockaddrStorage) -> Option<(IpAddr, u16)> {
    let v4 = address.as_sockaddr_in().map(|v4| (v4.ip().into(), v4.port()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| (v6.ip().into(), v6.port())))
}

/// A name that no socket ever had: abstract, so that nothing is left of it (`unix(7)`). Containers that share a
/// network share these names, but not their process ids, so those would not do.
fn unused_name() -> io::Result<UnixAddr> {
    static RUN: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    UnixAddr::from_abstract_name(format!("headcast-{:016x}-{}", *RUN, COUNT.fetch_add(1, Relaxed)))
}
