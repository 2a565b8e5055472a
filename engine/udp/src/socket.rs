//! Sockets as the engine wants them: non-blocking, with buffers as large as it is given.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use libc::{sock_filter, sock_fprog};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{AttachReusePortCbpf, RxqOvfl, UdpGroSegment};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::Buffer;

/// The classic BPF instruction that ends a program with its constant as the result.
#[allow(clippy::cast_possible_truncation, reason = "6")]
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// The socket that all messages to peers of one family leave by, and its send buffer.
///
/// Bound at once, so that the source port never changes. `IP_RECVERR` stays off: with it, one dead
/// peer's ICMP answer would fail the next send to a healthy one.
///
/// # Errors
/// What the kernel fails with, e.g. when it has no such family.
pub fn egress(bind: SocketAddr, send_buffer: usize) -> io::Result<(UdpSocket, Buffer)> {
    let socket = udp(bind)?;
    if bind.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_send_buffer_size(send_buffer)?;
    let granted = Buffer { asked: send_buffer, granted: socket.send_buffer_size()? };
    socket.bind(&bind.into())?;
    Ok((socket.into(), granted))
}

/// A second socket at the address of an egress socket, to receive what is sent there, and its receive
/// buffer. Drops at it are told by [`Meta::dropped`](crate::Meta::dropped).
///
/// A poll that watches the egress socket itself is called back for every datagram that it sends; this
/// one sends none.
///
/// Both are of one `SO_REUSEPORT` group, whose program names this one for every datagram. The egress
/// socket enters it only now: one that asks for port 0 with the option already set may be given the
/// port of a program of the same user.
///
/// # Errors
/// What the kernel fails with, e.g. in a sandbox without such programs: what is sent to the egress
/// socket then arrives there, as before.
pub fn answers(egress: &UdpSocket, receive_buffer: usize) -> io::Result<(UdpSocket, Buffer)> {
    let address = egress.local_addr()?;
    let socket = udp(address)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    let granted = ask_to_receive(&socket, receive_buffer)?;
    setsockopt(&socket, RxqOvfl, &1)?;
    SockRef::from(egress).set_reuse_port(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    // The group is made by the second bind: the socket that was there is its number 0
    // (`reuseport_add_sock`, `net/core/sock_reuseport.c`).
    let mut program = [sock_filter { code: RETURN, jt: 0, jf: 0, k: 1 }];
    setsockopt(&socket, AttachReusePortCbpf, &sock_fprog { len: 1, filter: program.as_mut_ptr() })?;
    Ok((socket.into(), granted))
}

/// A socket that receives at `bind`, and its receive buffer. Drops at the socket are told by
/// [`Meta::dropped`](crate::Meta::dropped).
///
/// `[::]` receives IPv4 as well.
///
/// # Errors
/// What the kernel fails with, e.g. `EADDRINUSE`.
pub fn ingress(bind: SocketAddr, receive_buffer: usize) -> io::Result<(UdpSocket, Buffer)> {
    let socket = udp(bind)?;
    if bind.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    let granted = ask_to_receive(&socket, receive_buffer)?;
    setsockopt(&socket, RxqOvfl, &1)?;
    socket.bind(&bind.into())?;
    Ok((socket.into(), granted))
}

/// Has a socket receive datagrams that follow one another from one source, all of one size, in one piece: a train. Where
/// each begins is told by an [`Inbox`](crate::Inbox) that is asked for its segments, and by
/// [`Meta::segment`](crate::Meta::segment).
///
/// Returns whether the kernel does so: since 5.0 (`UDP_GRO`, `udp(7)`).
#[must_use]
pub fn receive_trains(socket: &UdpSocket) -> bool {
    setsockopt(socket, UdpGroSegment, &true).is_ok()
}

/// A Unix datagram socket that receives at `path`, and its receive buffer.
///
/// # Errors
/// What the kernel fails with, e.g. when the path exists.
pub fn ingress_unix(path: &Path, receive_buffer: usize) -> io::Result<(UnixDatagram, Buffer)> {
    let socket = UnixDatagram::bind(path)?;
    socket.set_nonblocking(true)?;
    let granted = ask_to_receive(&SockRef::from(&socket), receive_buffer)?;
    Ok((socket, granted))
}

fn udp(bind: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn ask_to_receive(socket: &Socket, asked: usize) -> io::Result<Buffer> {
    socket.set_recv_buffer_size(asked)?;
    Ok(Buffer { asked, granted: socket.recv_buffer_size()? })
}

#[cfg(all(test, not(miri)))]
mod tests;
