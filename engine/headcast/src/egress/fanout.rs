//! Who a message goes to: the prepared batches of one peer set.

use std::net::SocketAddr;
use std::sync::Arc;

use headcast_peers::PeerSet;
use headcast_proto::repair::Credit;
use headcast_udp::{Batch, Peers, Xdp, XdpError};

use super::frames::Frames;

/// How a [`Fanout`] is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The most datagrams in one system call.
    pub(crate) call_max: usize,
    /// Whether peers may ask for repairs.
    pub(crate) repairs: bool,
}

/// The prepared batches of one peer set; made by the control thread.
pub(crate) struct Fanout {
    pub(super) batches: [Batch; 2],
    /// The peers that frames go to, and apart from the batches above those for all others.
    pub(super) frames: Option<Box<Frames>>,
    /// Why there is no socket for frames, where sending is not to go on without.
    pub(super) refused: Option<XdpError>,
    len: usize,
    /// Differs from one peer set to the next; other ways to the same peers leave it.
    generation: u64,
    /// What each peer may be sent again, IPv4 first; empty when nothing is.
    credits: Box<[Credit]>,
}

impl Fanout {
    /// Everybody by the sockets, but whom `frames` go to.
    pub(crate) fn new(peers: &PeerSet, generation: u64, plan: Plan, frames: Option<Frames>) -> Self {
        // Sorted, so IPv4 comes first.
        let (v4, v6) = peers.as_slice().split_at(peers.as_slice().partition_point(SocketAddr::is_ipv4));
        let credits = if plan.repairs { peers.len() } else { 0 };
        Self {
            batches: [Batch::new(v4, plan.call_max), Batch::new(v6, plan.call_max)],
            frames: frames.map(Box::new),
            refused: None,
            len: peers.len(),
            generation,
            credits: vec![Credit::default(); credits].into(),
        }
    }

    /// How many peers there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether several datagrams can go to most of them at once.
    pub(crate) fn takes_trains(&self) -> bool {
        let refusing: usize = self.batches.iter().map(Batch::refusing).sum();
        2 * refusing <= self.len
    }

    /// For any thread to read who failed.
    pub(crate) fn peers(&self) -> [Arc<Peers>; 2] {
        self.batches.each_ref().map(|batch| Arc::clone(batch.peers()))
    }

    /// As [`peers`](Self::peers), of those who are sent to by the sockets while the others are sent frames.
    pub(crate) fn others(&self) -> Option<[Arc<Peers>; 2]> {
        let frames = self.frames.as_ref()?;
        Some(frames.others.each_ref().map(|batch| Arc::clone(batch.peers())))
    }

    /// Makes sending fail: frames are demanded, and cannot be sent.
    pub(crate) fn refuse(&mut self, error: XdpError) {
        self.refused = Some(error);
    }

    /// Why sending is not to go on.
    pub(crate) fn refused(&self) -> Option<XdpError> {
        self.refused
    }

    /// The socket for frames, out of a set that was never used.
    pub(crate) fn into_xdp(self) -> Option<Xdp> {
        self.frames.and_then(|frames| frames.into_xdp())
    }

    /// Takes over what the set before knew of peers that are in both, and its socket for frames; returns whether the
    /// peers are others.
    pub(crate) fn inherit(&mut self, old: &mut Self) -> bool {
        for (new, old) in self.batches.iter_mut().zip(&old.batches) {
            new.inherit(old);
        }
        match (&mut self.frames, &mut old.frames) {
            (Some(frames), old) => frames.inherit(old.as_deref_mut(), &self.batches),
            // The batches for all know what those beside the lane knew.
            (None, Some(old)) => {
                for (new, old) in self.batches.iter_mut().zip(&old.others) {
                    new.inherit(old);
                }
            }
            (None, None) => {}
        }
        let kept = old.addresses().zip(&old.credits);
        let mut credits = self.batches.iter().flat_map(addresses).zip(&mut self.credits).peekable();
        // Both are in order, IPv4 first: one walk over each, side by side.
        for (peer, credit) in kept {
            while credits.next_if(|(address, _)| *address < peer).is_some() {}
            if let Some((_, to)) = credits.next_if(|(address, _)| *address == peer) {
                *to = *credit;
            }
        }
        self.generation != old.generation
    }

    /// The peer of this address, by its place among all, with what it may be sent again.
    pub(crate) fn credit(&mut self, address: SocketAddr) -> Option<(u32, &mut Credit)> {
        let [v4, v6] = &self.batches;
        let place = if address.is_ipv4() {
            v4.peers().position(address)?
        } else {
            v4.len() + v6.peers().position(address)?
        };
        Some((u32::try_from(place).ok()?, self.credits.get_mut(place)?))
    }

    /// The family of a peer known by its place among all, and its place in that family.
    pub(super) fn place(&self, peer: u32) -> Option<(usize, usize)> {
        let peer = usize::try_from(peer).ok().filter(|peer| *peer < self.len)?;
        let v4 = self.batches[0].len();
        Some(if peer < v4 { (0, peer) } else { (1, peer - v4) })
    }

    fn addresses(&self) -> impl Iterator<Item = &SocketAddr> {
        self.batches.iter().flat_map(addresses)
    }
}

fn addresses(batch: &Batch) -> &[SocketAddr] {
    batch.peers().addresses()
}

#[cfg(test)]
mod tests {
    use headcast_proto::body::NakEntry;
    use headcast_proto::repair::{Asker, Policy, Repairs};

    use super::*;

    const PLAN: Plan = Plan { call_max: 8, repairs: true };

    fn fanout(peers: &[&str]) -> Fanout {
        let peers = peers.iter().map(|peer| peer.parse().expect("an address"));
        Fanout::new(&peers.collect::<PeerSet>(), 1, PLAN, None)
    }

    #[test]
    fn a_peer_is_found_by_its_address_and_by_its_place() {
        let mut fanout = fanout(&["127.0.0.1:1", "127.0.0.2:1", "[::1]:1", "[::1]:2"]);
        let all: Vec<SocketAddr> = fanout.addresses().copied().collect();
        let places = [(0, 0), (0, 1), (1, 0), (1, 1)];
        for ((peer, address), place) in (0..).zip(all).zip(places) {
            assert_eq!(fanout.credit(address).map(|(peer, _)| peer), Some(peer));
            assert_eq!(fanout.place(peer), Some(place));
        }
        assert!(fanout.credit("127.0.0.1:2".parse().expect("an address")).is_none());
        assert_eq!(fanout.place(4), None);
    }

    #[test]
    fn a_peer_of_both_sets_keeps_what_it_has_used_up() {
        let policy = Policy { share_permille: 0, burst: 100, welcome: 0, interval_ns: 0 };
        // Each asks for one datagram of 100 bytes: who has its whole credit is given it.
        let ask = |fanout: &mut Fanout, address: &str| {
            let mut repairs = Repairs::new(policy);
            let (peer, credit) =
                fanout.credit(address.parse().expect("an address")).expect("one of the peers");
            let asker = Asker { peer, session: 1, now_ns: 1, stream_bytes: 1, last_seq: 0 };
            let entry = NakEntry { base: 1.into(), bitmap: 0.into() };
            repairs.ask(asker, credit, &[entry], |_| Some(100)).queued
        };
        let mut old = fanout(&["127.0.0.1:1", "127.0.0.2:1", "[::1]:1", "[::1]:2"]);
        for address in ["127.0.0.2:1", "[::1]:2"] {
            assert_eq!(ask(&mut old, address), 1);
            assert_eq!(ask(&mut old, address), 0);
        }
        let mut new = fanout(&["127.0.0.0:1", "127.0.0.2:1", "127.0.0.3:1", "[::1]:1", "[::1]:2"]);
        new.inherit(&mut old);
        let fresh = ["127.0.0.0:1", "127.0.0.2:1", "127.0.0.3:1", "[::1]:1", "[::1]:2"]
            .map(|address| ask(&mut new, address));
        assert_eq!(fresh, [1, 0, 1, 1, 0]);
    }
}
