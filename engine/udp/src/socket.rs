//! Sockets as the engine wants them: non-blocking, with buffers as large as it is given.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::sys::socket::{setsockopt, sockopt::RxqOvfl};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::Buffer;

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
    socket.set_recv_buffer_size(receive_buffer)?;
    let granted = Buffer { asked: receive_buffer, granted: socket.recv_buffer_size()? };
    setsockopt(&socket, RxqOvfl, &1)?;
    socket.bind(&bind.into())?;
    Ok((socket.into(), granted))
}

/// A Unix datagram socket that receives at `path`, and its receive buffer.
///
/// # Errors
/// What the kernel fails with, e.g. when the path exists.
pub fn ingress_unix(path: &Path, receive_buffer: usize) -> io::Result<(UnixDatagram, Buffer)> {
    let socket = UnixDatagram::bind(path)?;
    socket.set_nonblocking(true)?;
    let options = SockRef::from(&socket);
    options.set_recv_buffer_size(receive_buffer)?;
    let granted = Buffer { asked: receive_buffer, granted: options.recv_buffer_size()? };
    Ok((socket, granted))
}

fn udp(bind: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
