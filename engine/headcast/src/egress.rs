//! Out to all peers: one socket and one prepared batch for each address family.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use headcast_peers::PeerSet;
use headcast_udp::{Batch, Capabilities, Outcome, Peers, ReceiveBatch};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::counters::PublisherCounters;

/// The prepared batches of one peer set; made by the control thread.
pub(crate) struct Fanout {
    batches: [Batch; 2],
    len: usize,
}

impl Fanout {
    pub(crate) fn new(peers: &PeerSet, call_max: usize) -> Self {
        // Sorted, so IPv4 comes first.
        let (v4, v6) = peers.as_slice().split_at(peers.as_slice().partition_point(SocketAddr::is_ipv4));
        Self { batches: [Batch::new(v4, call_max), Batch::new(v6, call_max)], len: peers.len() }
    }

    /// How many peers there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// For any thread to read who failed.
    pub(crate) fn peers(&self) -> [Arc<Peers>; 2] {
        self.batches.each_ref().map(|batch| Arc::clone(batch.peers()))
    }

    /// Takes over what the set before knew of peers that are in both.
    pub(crate) fn inherit(&mut self, old: &Self) {
        for (new, old) in self.batches.iter_mut().zip(&old.batches) {
            new.inherit(old);
        }
    }
}

/// The sockets that messages leave by.
pub(crate) struct Egress {
    /// Of IPv4 and IPv6, as far as the kernel has them.
    sockets: [Option<std::net::UdpSocket>; 2],
    /// Whether the poll tells when the socket is writable.
    watched: [bool; 2],
    token: Token,
    strays: ReceiveBatch,
    stray_buffers: Box<[[u8; 64]]>,
}

impl Egress {
    pub(crate) fn open(
        token: Token,
        send_buffer: usize,
        capabilities: &mut Capabilities,
    ) -> io::Result<Self> {
        let binds: [(_, SocketAddr); 2] =
            [("IPv4", (Ipv4Addr::UNSPECIFIED, 0).into()), ("IPv6", (Ipv6Addr::UNSPECIFIED, 0).into())];
        let mut sockets = [None, None];
        let mut failed = None;
        for (slot, (family, bind)) in sockets.iter_mut().zip(binds) {
            match headcast_udp::egress(bind, send_buffer) {
                Ok((socket, buffer)) => {
                    capabilities.send_buffers.push((family, buffer));
                    *slot = Some(socket);
                }
                // A host without IPv6 is fine, and so is one without IPv4.
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if sockets.iter().all(Option::is_none) => Err(error),
            _ => Ok(Self {
                sockets,
                watched: [false; 2],
                token,
                strays: ReceiveBatch::new(),
                stray_buffers: vec![[0; 64]; headcast_udp::RECEIVE_MAX].into(),
            }),
        }
    }

    /// Starts a pass to all peers; a first copy starts one peer further than the last.
    #[inline]
    pub(crate) fn begin(&self, fanout: &mut Fanout, first: bool, now_ns: u64, counters: &PublisherCounters) {
        for batch in &mut fanout.batches {
            if batch.is_empty() {
                continue;
            }
            batch.begin(now_ns, first);
            if batch.quarantined() > 0 {
                counters.quarantined.add(batch.quarantined() as u64);
            }
        }
        counters.offered.add(fanout.len() as u64);
    }

    /// Goes on with the running pass; returns whether it is done.
    #[inline]
    pub(crate) fn flush(
        &mut self,
        registry: &Registry,
        fanout: &mut Fanout,
        datagram: &[u8],
        first: bool,
        now_ns: u64,
        counters: &PublisherCounters,
    ) -> io::Result<bool> {
        let mut done = true;
        for (family, batch) in fanout.batches.iter_mut().enumerate() {
            if batch.is_empty() {
                continue;
            }
            let Some(socket) = &self.sockets[family] else {
                counters.rejected.add(batch.give_up() as u64);
                continue;
            };
            let progress = batch.flush(socket.as_fd(), datagram, now_ns);
            let sent = if first { &counters.sent_first } else { &counters.sent_later };
            sent.add(progress.sent as u64);
            counters.calls.add(progress.calls as u64);
            if progress.rejected + progress.transient > 0 {
                counters.rejected.add(progress.rejected as u64);
                counters.transient.add(progress.transient as u64);
            }
            match progress.outcome {
                Outcome::Done => self.watch(registry, family, false)?,
                Outcome::Blocked => {
                    counters.blocked.add(1);
                    self.watch(registry, family, true)?;
                    done = false;
                }
                Outcome::Fatal(errno) => return Err(errno.into()),
            }
        }
        Ok(done)
    }

    /// The poll knows a socket only while a pass is blocked on it: for a socket that it knows, whatever it
    /// asks of it, the kernel calls it for every datagram that leaves, at a twelfth of a datagram's cost.
    #[inline]
    fn watch(&mut self, registry: &Registry, family: usize, writable: bool) -> io::Result<()> {
        if self.watched[family] == writable {
            return Ok(());
        }
        let Some(socket) = &self.sockets[family] else { return Ok(()) };
        let fd = socket.as_raw_fd();
        if writable {
            registry.register(&mut SourceFd(&fd), self.token, Interest::WRITABLE)?;
        } else {
            registry.deregister(&mut SourceFd(&fd))?;
        }
        self.watched[family] = writable;
        Ok(())
    }

    /// Empties the sockets of what nobody should have sent, and counts it.
    #[cold]
    pub(crate) fn drain_strays(&mut self, counters: &PublisherCounters) {
        for socket in self.sockets.iter().flatten() {
            // Bounded by the socket's buffer for all but a flood, and by the count for that.
            for _ in 0..16 {
                match self.strays.receive(socket.as_fd(), &mut self.stray_buffers, 0) {
                    Ok(count) => counters.strays.add(count as u64),
                    Err(_) => break,
                }
            }
        }
    }
}
