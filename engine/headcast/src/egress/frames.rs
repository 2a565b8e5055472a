//! The peers that are sent frames, past the IP stack, and what becomes of them when that does not work.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use headcast_peers::PeerSet;
use headcast_udp::{Batch, Errno, Lane, Outcome, SendError, Template, Xdp};

use super::{Egress, Plan};
use crate::counters::{Counter, PublisherCounters};

/// When frames are tried again that the interface had no room for, which tells nobody when it has: at first, and at
/// most. It doubles each time that none went.
pub(super) const RETRY_MIN_NS: u64 = 100_000;
const RETRY_MAX_NS: u64 = 2_000_000;

/// The part of a peer set that frames go to.
pub(crate) struct Frames {
    /// `None` until the set is taken over, unless it brings its own.
    xdp: Option<Xdp>,
    interface: u32,
    pub(super) lane: Lane,
    /// Of each peer of the lane: its family and its place there.
    places: Box<[(usize, usize)]>,
    /// For everybody who is not on the lane.
    pub(super) others: [Batch; 2],
    /// Whether the running pass goes by the lane.
    pub(super) runs: bool,
    /// The socket is of no use; the control thread is to hear of it.
    lost: bool,
    /// With what, as a number of the kernel's; 0 while it has not failed.
    failed: Arc<AtomicI32>,
    /// Those of the running pass who did not get their frame because the socket failed.
    pub(super) left: Vec<(usize, usize)>,
}

impl Frames {
    /// Frames for the peers that have a template, by the interface with this index. `failed` is set when its socket
    /// fails, to the kernel's number for why.
    pub(crate) fn new(
        peers: &PeerSet,
        templates: &[Option<Template>],
        plan: Plan,
        interface: u32,
        xdp: Option<Xdp>,
        failed: Arc<AtomicI32>,
    ) -> Self {
        let all = peers.as_slice();
        let v4 = all.partition_point(SocketAddr::is_ipv4);
        let mut places = Vec::new();
        let mut others = [Vec::new(), Vec::new()];
        for (at, (peer, template)) in all.iter().zip(templates).enumerate() {
            let (family, place) = if at < v4 { (0, at) } else { (1, at - v4) };
            match template {
                Some(_) => places.push((family, place)),
                None => others[family].push(*peer),
            }
        }
        Self {
            xdp,
            interface,
            lane: Lane::new(templates.iter().flatten().copied()),
            left: Vec::with_capacity(places.len()),
            places: places.into(),
            others: others.map(|peers| Batch::new(&peers, plan.call_max)),
            runs: false,
            lost: false,
            failed,
        }
    }

    pub(super) fn into_xdp(self) -> Option<Xdp> {
        self.xdp
    }

    /// Takes over the socket of the set before, what it knew of the others, and what `batches`, those of all peers, know
    /// of quarantines: somebody may have gone by frames before, or nobody.
    pub(super) fn inherit(&mut self, old: Option<&mut Self>, batches: &[Batch; 2]) {
        if let Some(old) = old {
            self.lane.inherit(&old.lane);
            if self.xdp.is_none() && old.interface == self.interface && !old.lost {
                self.xdp = old.xdp.take();
            }
            for (new, old) in self.others.iter_mut().zip(&old.others) {
                new.inherit(old);
            }
        }
        for (new, all) in self.others.iter_mut().zip(batches) {
            new.inherit_quarantines(all);
        }
        if self.xdp.is_none() {
            // It is the one that has failed, which has been said, or there is none any more.
            self.lose(Errno::ENXIO);
        }
    }

    /// Starts a pass of a datagram of so many bytes, without those whom `batches` have in quarantine; returns whether
    /// it goes by the lane.
    #[inline]
    pub(super) fn begin(&mut self, batches: &mut [Batch; 2], rotate: bool, len: usize, now_ns: u64) -> bool {
        self.runs = !self.lost && len <= self.lane.payload_max();
        if self.runs {
            if self.lane.left_out() > 0 || batches.iter().any(Batch::may_have_quarantines) {
                self.leave_out(batches, now_ns);
            }
            self.lane.begin(rotate);
        }
        self.runs
    }

    /// Frames are never refused, so it is the batches of all peers that know who is in quarantine: from trains, and
    /// from what is too long for a frame.
    #[cold]
    fn leave_out(&mut self, batches: &mut [Batch; 2], now_ns: u64) {
        let places = &self.places;
        self.lane.leave_out(|at| {
            let (family, peer) = places[at];
            batches[family].is_quarantined(peer, now_ns)
        });
        if self.lane.left_out() == 0 {
            // So that they book that it is over: while all goes by frames, no other pass of theirs begins.
            for batch in batches {
                batch.begin(now_ns, false);
                batch.give_up();
            }
        }
    }

    /// The lane and the socket, as long as it is of use.
    #[inline]
    pub(super) fn running(&mut self) -> Option<(&mut Lane, &mut Xdp)> {
        if self.lost {
            return None;
        }
        Some((&mut self.lane, self.xdp.as_mut()?))
    }

    /// The socket is of no use, as this says: whoever has not got his frame is left. The socket itself is kept for the
    /// control thread to close.
    #[cold]
    pub(super) fn give_up(&mut self, errno: Errno) {
        let (places, left) = (&self.places, &mut self.left);
        if let Some(xdp) = &self.xdp {
            // There is room: nobody is left twice.
            self.lane.give_up(xdp, |at| left.push(places[at]));
        }
        self.lose(errno);
    }

    /// As [`give_up`](Self::give_up), when the driver has dropped every frame of a pass: as likely as not it takes none
    /// of ours, and what the socket sends may go through.
    #[cold]
    pub(super) fn give_up_all(&mut self) {
        let (places, left) = (&self.places, &mut self.left);
        self.lane.give_up_all(|at| left.push(places[at]));
        self.lose(Errno::EBUSY);
    }

    fn lose(&mut self, errno: Errno) {
        self.lost = true;
        // What was said first is the cause.
        let _ = self.failed.compare_exchange(0, errno as i32, Relaxed, Relaxed);
    }
}

impl Egress {
    /// Goes on with the part of the running pass that goes by frames; returns whether it is done. Whom the socket for
    /// frames fails is sent to by the others.
    pub(super) fn flush_frames(
        &mut self,
        frames: &mut Frames,
        batches: &mut [Batch; 2],
        datagram: &[u8],
        sent: &Counter,
        now_ns: u64,
        counters: &PublisherCounters,
    ) -> io::Result<bool> {
        self.retry_ns = u64::MAX;
        if let Some((lane, xdp)) = frames.running() {
            let progress = lane.flush(xdp, datagram);
            // Nobody was sent anything, and that is everybody.
            let is_in_vain = progress.transient > 0 && progress.transient == lane.len() - lane.left_out();
            sent.add(progress.sent as u64);
            counters.sent_xdp.add(progress.sent as u64);
            counters.calls.add(progress.calls as u64);
            if progress.transient > 0 && !is_in_vain {
                counters.transient.add(progress.transient as u64);
            }
            if progress.sent > 0 {
                self.retry_wait_ns = RETRY_MIN_NS;
            }
            match progress.outcome {
                _ if is_in_vain => frames.give_up_all(),
                Outcome::Done => return Ok(true),
                Outcome::Blocked => {
                    counters.blocked.add(1);
                    self.retry_later(now_ns);
                    return Ok(false);
                }
                Outcome::Fatal(errno) => frames.give_up(errno),
            }
        }
        while let Some((family, peer)) = frames.left.pop() {
            let Some(socket) = &self.sockets[family] else {
                counters.rejected.add(1);
                continue;
            };
            counters.calls.add(1);
            match batches[family].send_one(socket.as_fd(), datagram, peer) {
                Ok(()) => {
                    sent.add(1);
                    self.retry_wait_ns = RETRY_MIN_NS;
                }
                Err(SendError::Blocked) => {
                    frames.left.push((family, peer));
                    counters.blocked.add(1);
                    // By time: the poll may be told of the socket by another part of the pass, and be untold.
                    self.retry_later(now_ns);
                    return Ok(false);
                }
                Err(SendError::Transient) => counters.transient.add(1),
                Err(SendError::PeerRejected(_)) => counters.rejected.add(1),
                Err(SendError::Fatal(errno)) => return Err(errno.into()),
            }
        }
        Ok(true)
    }

    /// Has the pass go on by time, though nothing happens.
    fn retry_later(&mut self, now_ns: u64) {
        self.retry_ns = now_ns.saturating_add(self.retry_wait_ns);
        self.retry_wait_ns = (2 * self.retry_wait_ns).min(RETRY_MAX_NS);
    }
}
