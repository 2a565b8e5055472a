//! In from receivers: what they send to the address that messages come from.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use headcast_udp::ReceiveBatch;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::{Egress, FAMILIES};
use crate::counters::PublisherCounters;

/// The receive buffer to ask for, in bytes: some thousand requests.
const BUFFER: usize = 1 << 20;
/// Bytes of the longest request, and then some: 40 of header, 16 of head, 16 entries of 16.
const REQUEST_MAX: usize = 512;
/// Receive calls that one turn makes for a family: beyond that, whoever sends so much has to wait.
const RECEIVES_MAX: usize = 1;

/// The sockets that receivers ask at.
pub(crate) struct Answers {
    sockets: [Option<UdpSocket>; 2],
    tokens: [Token; 2],
    /// There may be something to receive.
    ready: [bool; 2],
    /// Requests that the kernel dropped at each socket.
    dropped: [u32; 2],
    batch: ReceiveBatch,
    buffers: Box<[[u8; REQUEST_MAX]]>,
}

impl Answers {
    /// Opens a socket beside each one that messages leave by, and watches it.
    pub(crate) fn open(egress: &Egress, registry: &Registry, tokens: [Token; 2]) -> io::Result<Self> {
        let mut sockets = [None, None];
        for (family, socket) in egress.sockets.iter().enumerate() {
            let Some(socket) = socket else { continue };
            let beside = match headcast_udp::answers(socket, BUFFER) {
                Ok((beside, granted)) => {
                    tracing::debug!(
                        family = FAMILIES[family],
                        asked = granted.asked,
                        granted = granted.granted,
                        "receive buffer for repair requests"
                    );
                    beside
                }
                Err(error) => {
                    tracing::warn!(
                        family = FAMILIES[family],
                        "repair requests come to the socket that sends, which makes a datagram some 8 % dearer: \
                         a socket beside it cannot be had: {error}"
                    );
                    // A descriptor of its own, so that watching it is apart from waiting for room.
                    socket.try_clone()?
                }
            };
            registry.register(&mut SourceFd(&beside.as_raw_fd()), tokens[family], Interest::READABLE)?;
            sockets[family] = Some(beside);
        }
        let buffers = vec![[0; REQUEST_MAX]; headcast_udp::RECEIVE_MAX].into();
        Ok(Self { sockets, tokens, ready: [false; 2], dropped: [0; 2], batch: ReceiveBatch::new(), buffers })
    }

    /// Notes that the poll has told of a socket.
    pub(crate) fn note(&mut self, token: Token) {
        for (ready, own) in self.ready.iter_mut().zip(self.tokens) {
            *ready |= token == own;
        }
    }

    /// Whether there may be something to receive.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.ready[0] | self.ready[1]
    }

    /// Receives what is there, as far as one turn goes. `taken` is called for each datagram: from whom it
    /// is, and its bytes, or `None` when it was too long to be a request.
    pub(crate) fn receive(
        &mut self,
        counters: &PublisherCounters,
        mut taken: impl FnMut(Option<SocketAddr>, Option<&[u8]>),
    ) {
        for (family, socket) in self.sockets.iter().enumerate() {
            let Some(socket) = socket else { continue };
            for _ in 0..RECEIVES_MAX {
                if !self.ready[family] {
                    break;
                }
                // Nothing there; or a failure, which is no reason to stop sending: the next event tries again.
                let count = self.batch.receive(socket.as_fd(), &mut self.buffers, 0).unwrap_or(0);
                for (at, buffer) in self.buffers[..count].iter().enumerate() {
                    let meta = self.batch.meta(at);
                    if let Some(dropped) = meta.dropped {
                        self.dropped[family] = dropped;
                    }
                    taken(meta.from, buffer.get(..meta.len).filter(|_| !meta.truncated));
                }
                self.ready[family] = count == self.buffers.len();
            }
        }
        counters.naks_dropped.set(self.dropped.into_iter().map(u64::from).sum());
    }
}
