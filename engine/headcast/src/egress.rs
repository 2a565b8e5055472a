//! Out to all peers: one socket and one prepared batch for each address family, and frames where that is quicker.

mod answers;
mod fanout;
mod frames;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use headcast_udp::{Batch, Capabilities, Outcome, Progress, ReceiveBatch, SendError};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

pub(crate) use answers::Answers;
pub(crate) use fanout::{Fanout, Plan};
pub(crate) use frames::Frames;

use crate::counters::{Counter, PublisherCounters};

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

/// What became of a datagram to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Single {
    Sent,
    /// Lost, by a shortage or the kernel's refusal.
    Failed,
    /// There is no room in the socket's buffer now; the poll tells when there is.
    Blocked,
}

/// The sockets that messages leave by.
pub(crate) struct Egress {
    /// Of IPv4 and IPv6, as far as the kernel has them.
    sockets: [Option<std::net::UdpSocket>; 2],
    /// Whether the poll tells when the socket is writable.
    watched: [bool; 2],
    token: Token,
    /// When to try again to send frames; `u64::MAX` if they do not wait.
    retry_ns: u64,
    /// How long after the next time that nothing goes.
    retry_wait_ns: u64,
    strays: ReceiveBatch,
    stray_buffers: Box<[[u8; 64]]>,
}

impl Egress {
    pub(crate) fn open(
        token: Token,
        send_buffer: usize,
        capabilities: &mut Capabilities,
    ) -> io::Result<Self> {
        let binds: [SocketAddr; 2] = [(Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::UNSPECIFIED, 0).into()];
        let mut sockets = [None, None];
        let mut failed = None;
        for (slot, (name, bind)) in sockets.iter_mut().zip(FAMILIES.into_iter().zip(binds)) {
            match headcast_udp::egress(bind, send_buffer) {
                Ok((socket, buffer)) => {
                    capabilities.send_buffers.push((name, buffer));
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
                retry_ns: u64::MAX,
                retry_wait_ns: frames::RETRY_MIN_NS,
                strays: ReceiveBatch::new(),
                stray_buffers: vec![[0; 64]; headcast_udp::RECEIVE_MAX].into(),
            }),
        }
    }

    /// The port that datagrams of each family come from; 0 for one that the kernel does not have.
    pub(crate) fn ports(&self) -> [u16; 2] {
        let port = |socket: &std::net::UdpSocket| socket.local_addr().map_or(0, |address| address.port());
        self.sockets.each_ref().map(|socket| socket.as_ref().map_or(0, port))
    }

    /// When to look again though nothing has happened; `u64::MAX` for never.
    #[inline]
    pub(crate) fn retry_ns(&self) -> u64 {
        self.retry_ns
    }

    /// Starts a pass of a datagram of `len` bytes to all peers, with `rotate` one peer further than the last.
    // Always: a call costs a twentieth of what a message to one peer does.
    #[expect(clippy::inline_always, reason = "counted")]
    #[inline(always)]
    pub(crate) fn begin(
        &self,
        fanout: &mut Fanout,
        rotate: bool,
        len: usize,
        now_ns: u64,
        counters: &PublisherCounters,
    ) {
        if fanout.frames.is_none() || !begin_frames(fanout, rotate, len, now_ns, counters) {
            begin_batches(&mut fanout.batches, rotate, now_ns, counters);
        }
        counters.offered.add(fanout.len() as u64);
    }

    /// As [`begin`](Self::begin), for a train of so many datagrams.
    pub(crate) fn begin_train(
        &self,
        fanout: &mut Fanout,
        rotate: bool,
        datagrams: usize,
        now_ns: u64,
        counters: &PublisherCounters,
    ) {
        for batch in &mut fanout.batches {
            if batch.is_empty() {
                continue;
            }
            batch.begin_train(now_ns, rotate, datagrams);
            counters.quarantined.add((batch.quarantined() * datagrams) as u64);
        }
        counters.offered.add((fanout.len() * datagrams) as u64);
    }

    /// Goes on with the running pass, whose datagrams `sent` counts; returns whether it is done.
    // Always: as above.
    #[expect(clippy::inline_always, reason = "counted")]
    #[inline(always)]
    pub(crate) fn flush(
        &mut self,
        registry: &Registry,
        fanout: &mut Fanout,
        datagram: &[u8],
        sent: &Counter,
        now_ns: u64,
        counters: &PublisherCounters,
    ) -> io::Result<bool> {
        if fanout.frames.is_some() {
            return self.flush_with_frames(registry, fanout, datagram, sent, now_ns, counters);
        }
        self.flush_batches(registry, &mut fanout.batches, datagram, sent, now_ns, counters)
    }

    // Always: as above.
    #[expect(clippy::inline_always, reason = "counted")]
    #[inline(always)]
    fn flush_batches(
        &mut self,
        registry: &Registry,
        batches: &mut [Batch; 2],
        datagram: &[u8],
        sent: &Counter,
        now_ns: u64,
        counters: &PublisherCounters,
    ) -> io::Result<bool> {
        let [v4, v6] = batches;
        let v4_done = self.flush_batch(registry, 0, v4, datagram, sent, now_ns, counters)?;
        let v6_done = self.flush_batch(registry, 1, v6, datagram, sent, now_ns, counters)?;
        Ok(v4_done & v6_done)
    }

    // Always: as above.
    #[expect(clippy::inline_always, reason = "counted")]
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "one of two, inlined")]
    fn flush_batch(
        &mut self,
        registry: &Registry,
        family: usize,
        batch: &mut Batch,
        datagram: &[u8],
        sent: &Counter,
        now_ns: u64,
        counters: &PublisherCounters,
    ) -> io::Result<bool> {
        if batch.is_empty() {
            return Ok(true);
        }
        let Some(socket) = &self.sockets[family] else {
            counters.rejected.add(batch.give_up() as u64);
            return Ok(true);
        };
        let progress = batch.flush(socket.as_fd(), datagram, now_ns);
        self.book(registry, family, progress, sent, counters)
    }

    /// Cold to the compiler, so that the way by the sockets alone stays short.
    #[cold]
    fn flush_with_frames(
        &mut self,
        registry: &Registry,
        fanout: &mut Fanout,
        datagram: &[u8],
        sent: &Counter,
        now_ns: u64,
        counters: &PublisherCounters,
    ) -> io::Result<bool> {
        let mut done = true;
        let batches = match fanout.frames.as_deref_mut() {
            Some(frames) if frames.runs => {
                done = self.flush_frames(frames, &mut fanout.batches, datagram, sent, now_ns, counters)?;
                &mut frames.others
            }
            _ => &mut fanout.batches,
        };
        done &= self.flush_batches(registry, batches, datagram, sent, now_ns, counters)?;
        Ok(done)
    }

    /// As [`flush`](Self::flush), of a train.
    pub(crate) fn flush_train<'a>(
        &mut self,
        registry: &Registry,
        fanout: &mut Fanout,
        datagrams: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        sent: &Counter,
        now_ns: u64,
        counters: &PublisherCounters,
    ) -> io::Result<bool> {
        let mut done = true;
        for (family, batch) in fanout.batches.iter_mut().enumerate() {
            if batch.is_empty() {
                continue;
            }
            let Some(socket) = &self.sockets[family] else {
                counters.rejected.add((batch.give_up() * datagrams.len()) as u64);
                continue;
            };
            let train = batch.flush_train(socket.as_fd(), datagrams.clone(), now_ns);
            counters.trains.add(train.trains as u64);
            counters.train_datagrams.add((train.trains * datagrams.len()) as u64);
            counters.gso_refused.add(train.refused as u64);
            done &= self.book(registry, family, train.progress, sent, counters)?;
        }
        Ok(done)
    }

    /// Counts what was sent to the peers of a family; returns whether that was all.
    // Always: as above.
    #[expect(clippy::inline_always, reason = "counted")]
    #[inline(always)]
    fn book(
        &mut self,
        registry: &Registry,
        family: usize,
        progress: Progress,
        sent: &Counter,
        counters: &PublisherCounters,
    ) -> io::Result<bool> {
        sent.add(progress.sent as u64);
        counters.calls.add(progress.calls as u64);
        if progress.is_smooth() && !self.watched[family] {
            return Ok(true);
        }
        self.book_trouble(registry, family, progress, counters)
    }

    /// Counts what was not sent, and has the poll watch a socket that is full, or not any more.
    #[cold]
    fn book_trouble(
        &mut self,
        registry: &Registry,
        family: usize,
        progress: Progress,
        counters: &PublisherCounters,
    ) -> io::Result<bool> {
        counters.rejected.add(progress.rejected as u64);
        counters.transient.add(progress.transient as u64);
        match progress.outcome {
            Outcome::Done => self.watch(registry, family, false).map(|()| true),
            Outcome::Blocked => {
                counters.blocked.add(1);
                self.watch(registry, family, true).map(|()| false)
            }
            Outcome::Fatal(errno) => Err(errno.into()),
        }
    }

    /// Sends a datagram to one peer, known by its place among all.
    #[cold]
    pub(crate) fn send_one(
        &mut self,
        registry: &Registry,
        fanout: &mut Fanout,
        datagram: &[u8],
        peer: u32,
        counters: &PublisherCounters,
    ) -> io::Result<Single> {
        let Some((family, peer)) = fanout.place(peer) else { return Ok(Single::Failed) };
        let Some(socket) = &self.sockets[family] else { return Ok(Single::Failed) };
        counters.calls.add(1);
        match fanout.batches[family].send_one(socket.as_fd(), datagram, peer) {
            Ok(()) => self.watch(registry, family, false).map(|()| Single::Sent),
            Err(SendError::Blocked) => {
                counters.blocked.add(1);
                self.watch(registry, family, true).map(|()| Single::Blocked)
            }
            Err(SendError::Transient | SendError::PeerRejected(_)) => Ok(Single::Failed),
            Err(SendError::Fatal(errno)) => Err(errno.into()),
        }
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

#[expect(clippy::inline_always, reason = "counted")]
#[inline(always)]
fn begin_batches(batches: &mut [Batch; 2], rotate: bool, now_ns: u64, counters: &PublisherCounters) {
    for batch in batches {
        if batch.is_empty() {
            continue;
        }
        batch.begin(now_ns, rotate);
        if batch.quarantined() > 0 {
            counters.quarantined.add(batch.quarantined() as u64);
        }
    }
}

/// Starts a pass that goes by frames to whom they go, and by the sockets to the others, if a datagram of this length
/// can; returns whether. Cold as above.
#[cold]
fn begin_frames(
    fanout: &mut Fanout,
    rotate: bool,
    len: usize,
    now_ns: u64,
    counters: &PublisherCounters,
) -> bool {
    let Some(frames) = fanout.frames.as_deref_mut() else { return false };
    if !frames.begin(&mut fanout.batches, rotate, len, now_ns) {
        return false;
    }
    if frames.lane.left_out() > 0 {
        counters.quarantined.add(frames.lane.left_out() as u64);
    }
    begin_batches(&mut frames.others, rotate, now_ns, counters);
    true
}
