//! Handing messages on to a local application.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use headcast::Listen;

use crate::failure::Failure;

/// How long a full local socket may hold one message up. Meanwhile the kernel keeps what arrives, as
/// far as the receive buffer goes.
const PATIENCE: Duration = Duration::from_secs(1);

/// The send buffer to ask for, in bytes.
const SEND_BUFFER: usize = 2 * headcast::limits::MESSAGE_MAX;

/// Where messages are handed on to. The application may come and go.
pub(crate) struct Forward {
    socket: Socket,
    failed: u64,
    /// Whether the last one failed, so that a lasting failure is logged once.
    failing: bool,
}

enum Socket {
    /// Connected, so that the kernel tells when nobody is there.
    Udp(UdpSocket),
    Unix(UnixDatagram, PathBuf),
}

impl Forward {
    pub(crate) fn open(to: &Listen) -> Result<Self, Failure> {
        let socket = match to {
            Listen::Udp(address) => {
                let bind: SocketAddr = if address.is_ipv4() {
                    (Ipv4Addr::UNSPECIFIED, 0).into()
                } else {
                    (Ipv6Addr::UNSPECIFIED, 0).into()
                };
                UdpSocket::bind(bind).and_then(|socket| {
                    socket.connect(address)?;
                    Ok(Socket::Udp(socket))
                })
            }
            Listen::Unix(path) => UnixDatagram::unbound().and_then(|socket| {
                socket.set_write_timeout(Some(PATIENCE))?;
                // A datagram must fit into the buffer as a whole, and the longest message with it; the kernel grants
                // as much as it is allowed to.
                nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::SndBuf, &SEND_BUFFER)?;
                Ok(Socket::Unix(socket, path.clone()))
            }),
        };
        let socket = socket.map_err(Failure::about("cannot open a socket to forward by"))?;
        Ok(Self { socket, failed: 0, failing: false })
    }

    /// Hands one message on, or counts that it could not be.
    pub(crate) fn send(&mut self, payload: &[u8]) {
        let mut result = self.try_send(payload);
        while matches!(&result, Err(error) if error.kind() == ErrorKind::Interrupted) {
            result = self.try_send(payload);
        }
        if matches!((&result, &self.socket), (Err(error), Socket::Udp(_)) if error.kind() == ErrorKind::ConnectionRefused)
        {
            // That was an earlier message, which met nobody; this one has not been sent yet.
            self.note(result.map(drop));
            result = self.try_send(payload);
            if result.is_ok() {
                return;
            }
        }
        self.note(result.map(drop));
    }

    fn note(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) if self.failing => {
                tracing::info!(failed = self.failed, "the application receives again");
                self.failing = false;
            }
            Ok(()) => {}
            Err(error) => {
                self.failed += 1;
                if !self.failing {
                    tracing::warn!(
                        "cannot hand messages on to the application, which are dropped and counted: {error}"
                    );
                    self.failing = true;
                }
            }
        }
    }

    fn try_send(&self, payload: &[u8]) -> io::Result<usize> {
        match &self.socket {
            Socket::Udp(socket) => socket.send(payload),
            Socket::Unix(socket, to) => socket.send_to(payload, to),
        }
    }

    /// Messages that could not be handed on.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }
}
