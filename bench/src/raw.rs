//! The system call on headers made by hand: what a batch is compared with, and the only unsafe code
//! of the package.

use std::io;
use std::marker::PhantomData;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, iovec, mmsghdr, sockaddr_in};

/// The most datagrams that one `sendmmsg` takes (`UIO_MAXIOV`, `net/socket.c`).
const CALL_MAX: usize = 1024;
/// Those of `headcast_udp`, so that the kernel does the same.
const FLAGS: c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// Headers that are ready to send: what they point at is borrowed for as long as they live.
pub(crate) struct Headers<'a> {
    headers: Vec<mmsghdr>,
    /// The names and the vectors, exclusively, and the datagrams, shared.
    _pointees: PhantomData<(&'a mut sockaddr_in, &'a mut iovec, &'a [u8])>,
}

impl<'a> Headers<'a> {
    /// One header for each name, all sending `datagram` through the one vector.
    pub(crate) fn sharing(names: &'a mut [sockaddr_in], iov: &'a mut iovec, datagram: &'a [u8]) -> Self {
        *iov = vector(datagram);
        let iov: *mut iovec = iov;
        Self { headers: names.iter_mut().map(|name| header(name, iov)).collect(), _pointees: PhantomData }
    }

    /// Sends them all, in calls of at most 1,024. A single one goes by `sendto`: there is no cheaper call.
    #[inline]
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: what the headers point at is borrowed for `'a`, exclusively where it is not the
        // datagram, and `self` does not outlive that.
        unsafe { send_all(socket, &mut self.headers) }
    }
}

/// The room that names, vectors and headers are built in anew for each message.
pub(crate) struct Room {
    names: Vec<sockaddr_in>,
    vectors: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

impl Room {
    pub(crate) fn new(peers: usize) -> Self {
        Self {
            names: Vec::with_capacity(peers),
            vectors: Vec::with_capacity(peers),
            headers: Vec::with_capacity(peers),
        }
    }

    /// Builds everything for this message, and sends it.
    #[inline]
    pub(crate) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        peers: &[SocketAddrV4],
        datagram: &[u8],
    ) -> io::Result<()> {
        let Self { names, vectors, headers } = self;
        names.clear();
        names.extend(peers.iter().map(name));
        vectors.clear();
        vectors.extend(peers.iter().map(|_| vector(datagram)));
        headers.clear();
        headers.extend(names.iter_mut().zip(vectors).map(|(name, iov)| header(name, iov)));
        // SAFETY: the names and the vectors are ours and stay as they are during the call; the
        // datagram is borrowed until after it.
        let sent = unsafe { send_all(socket, headers) };
        // They point at a datagram that may be gone after this.
        headers.clear();
        sent
    }
}

/// The address as the kernel reads it.
#[inline]
pub(crate) fn name(peer: &SocketAddrV4) -> sockaddr_in {
    #[allow(clippy::cast_possible_truncation, reason = "2")]
    let family = libc::AF_INET as libc::sa_family_t;
    sockaddr_in {
        sin_family: family,
        sin_port: peer.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(peer.ip().octets()) },
        sin_zero: [0; 8],
    }
}

/// A vector of nothing, to be pointed at something.
pub(crate) fn no_vector() -> iovec {
    iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }
}

#[inline]
fn vector(datagram: &[u8]) -> iovec {
    // The kernel only reads what it sends.
    iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() }
}

#[inline]
fn header(name: &mut sockaddr_in, iov: *mut iovec) -> mmsghdr {
    // SAFETY: all zeros is a valid `mmsghdr`: integers and null pointers. (musl's has private padding
    // fields, so it cannot be written as a literal.)
    let mut header: mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
    #[allow(clippy::cast_possible_truncation, reason = "16")]
    let name_len = size_of::<sockaddr_in>() as libc::socklen_t;
    header.msg_hdr.msg_namelen = name_len;
    header.msg_hdr.msg_iov = iov;
    header.msg_hdr.msg_iovlen = 1;
    header
}

/// # Safety
/// Each header points at one name and one vector, and that vector at a datagram; all of them live, and
/// nobody writes to them, until this returns.
#[inline]
unsafe fn send_all(socket: BorrowedFd<'_>, headers: &mut [mmsghdr]) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    if let [header] = headers {
        // SAFETY: the vector lives, by the caller's word.
        let iov = unsafe { *header.msg_hdr.msg_iov };
        let (base, len) = (iov.iov_base, iov.iov_len);
        let (name, name_len) = (header.msg_hdr.msg_name, header.msg_hdr.msg_namelen);
        // SAFETY: the datagram and the name live, by the caller's word. The kernel only reads, and keeps
        // no pointer past the call. The descriptor is open as long as it is borrowed.
        let sent = unsafe { libc::syscall(libc::SYS_sendto, fd, base, len, FLAGS, name, name_len) };
        return if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    }
    let mut left = headers;
    // Bounded: the kernel sends at least one, or fails.
    while !left.is_empty() {
        let count = left.len().min(CALL_MAX);
        let first = left.as_mut_ptr();
        // SAFETY: `first` points at `count` initialised headers that are exclusively borrowed; for what
        // they point at the caller vouches. The kernel writes `msg_len` in each, reads the rest, and
        // keeps no pointer past the call. The descriptor is open as long as it is borrowed.
        let sent = unsafe { libc::syscall(libc::SYS_sendmmsg, fd, first, count, FLAGS) };
        let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
        left = &mut left[sent..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn both_ways_reach_every_peer_with_the_same_bytes() {
        let open = || UdpSocket::bind("127.0.0.1:0").expect("a loopback socket");
        let receivers = [open(), open()];
        let peers = receivers.each_ref().map(|receiver| match receiver.local_addr() {
            Ok(std::net::SocketAddr::V4(address)) => address,
            other => panic!("an IPv4 address, not {other:?}"),
        });
        let sender = open();
        let mut names: Vec<_> = peers.iter().map(name).collect();
        let mut iov = no_vector();
        Headers::sharing(&mut names, &mut iov, b"shared").send(sender.as_fd()).expect("sent");
        Room::new(2).send(sender.as_fd(), &peers, b"rebuilt").expect("sent");
        Room::new(1).send(sender.as_fd(), &peers[..1], b"alone").expect("sent");
        let receive = |receiver: &UdpSocket| {
            let mut bytes = [0; 16];
            let len = receiver.recv(&mut bytes).expect("a datagram");
            bytes[..len].to_vec()
        };
        for receiver in &receivers {
            assert_eq!((receive(receiver), receive(receiver)), (b"shared".to_vec(), b"rebuilt".to_vec()));
        }
        assert_eq!(receive(&receivers[0]), b"alone");
    }
}
