//! What is known of each peer of a batch; written by the data thread, read by any other.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

use nix::errno::Errno;

/// Rejected in at least this many passes in a row, and for at least this long, a peer goes into quarantine.
const STRIKES_MAX: u32 = 3;
/// See [`STRIKES_MAX`]: at a high rate, many passes are no time at all.
const STRIKES_NS: u64 = 10_000_000;
/// The first quarantine; each one that a probe ends in is twice as long as the one before.
const QUARANTINE_MIN_NS: u64 = 100_000_000;
/// The longest: what a peer that has healed may miss. To try one that has not costs two system calls.
const QUARANTINE_MAX_NS: u64 = 1_000_000_000;
const _: () = assert!(QUARANTINE_MIN_NS << 4 > QUARANTINE_MAX_NS);

/// The peers of one batch in their order, each with its failures.
///
/// All fields have one writer, the thread that sends, and relaxed order: a reader sees each of them
/// at some recent moment.
#[derive(Debug)]
pub struct Peers {
    addresses: Box<[SocketAddr]>,
    states: Box<[State]>,
}

#[derive(Debug, Default)]
struct State {
    rejected: AtomicU64,
    /// End of the quarantine on the monotonic clock; 0 = none.
    release_ns: AtomicU64,
    errno: AtomicI32,
    /// The pass of the last rejection, or of the probe after a quarantine.
    pass: AtomicU32,
    /// Rejections in consecutive passes, and when the first of them was.
    strikes: AtomicU32,
    first_strike_ns: AtomicU64,
    /// Quarantines in a row.
    level: AtomicU32,
    /// The kernel has refused to send several datagrams at once.
    refuses: AtomicBool,
}

/// A peer that the kernel refused to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Who.
    pub peer: SocketAddr,
    /// How often, farewells included.
    pub rejected: u64,
    /// Why, the last time.
    pub errno: Errno,
    /// Whether it is left out for now.
    pub quarantined: bool,
}

impl Peers {
    /// The addresses are sorted and differ.
    pub(crate) fn new(addresses: Box<[SocketAddr]>) -> Self {
        let states = addresses.iter().map(|_| State::default()).collect();
        Self { addresses, states }
    }

    /// The addresses, in the batch's order.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where in [`addresses`](Self::addresses) this one is.
    #[must_use]
    pub fn position(&self, address: SocketAddr) -> Option<usize> {
        self.addresses.binary_search(&address).ok()
    }

    /// Every peer that was refused at least once.
    pub fn failures(&self) -> impl Iterator<Item = Failure> {
        self.addresses.iter().zip(&self.states).filter_map(|(peer, state)| {
            let rejected = state.rejected.load(Relaxed);
            (rejected > 0).then(|| Failure {
                peer: *peer,
                rejected,
                errno: Errno::from_raw(state.errno.load(Relaxed)),
                quarantined: state.release_ns.load(Relaxed) != 0,
            })
        })
    }

    /// When the quarantine of a peer ends, if it is in one.
    pub(crate) fn release_ns(&self, peer: usize) -> Option<u64> {
        Some(self.states[peer].release_ns.load(Relaxed)).filter(|release_ns| *release_ns != 0)
    }

    /// Whether several datagrams at once are refused.
    pub(crate) fn refuses(&self, peer: usize) -> bool {
        self.states[peer].refuses.load(Relaxed)
    }

    /// Books that they are, for good: what the path can do does not change by itself.
    pub(crate) fn refuse(&self, peer: usize) {
        self.states[peer].refuses.store(true, Relaxed);
    }

    /// Ends a quarantine: `pass` is the probe.
    pub(crate) fn release(&self, peer: usize, pass: u32) {
        self.states[peer].release_ns.store(0, Relaxed);
        self.states[peer].pass.store(pass, Relaxed);
    }

    /// Books a rejection; returns whether it begins a quarantine.
    #[cold]
    pub(crate) fn reject(&self, peer: usize, errno: Errno, pass: u32, now_ns: u64) -> bool {
        let state = &self.states[peer];
        state.rejected.store(state.rejected.load(Relaxed) + 1, Relaxed);
        state.errno.store(errno as i32, Relaxed);
        if errno == Errno::EMSGSIZE {
            // The message's fault as much as the peer's: a shorter one may pass.
            return false;
        }
        let last = state.pass.swap(pass, Relaxed);
        let level = state.level.load(Relaxed);
        let probed = level > 0 && last == pass;
        let strikes = if last.wrapping_add(1) == pass { state.strikes.load(Relaxed) + 1 } else { 1 };
        state.strikes.store(strikes, Relaxed);
        if strikes == 1 {
            state.first_strike_ns.store(now_ns, Relaxed);
        }
        let lasted_ns = now_ns.saturating_sub(state.first_strike_ns.load(Relaxed));
        if !probed && (strikes < STRIKES_MAX || lasted_ns < STRIKES_NS) {
            return false;
        }
        let level = if probed { level } else { 0 };
        let quarantine_ns = (QUARANTINE_MIN_NS << level.min(4)).min(QUARANTINE_MAX_NS);
        state.level.store(level + 1, Relaxed);
        state.release_ns.store(now_ns.saturating_add(quarantine_ns).max(1), Relaxed);
        true
    }

    /// Takes over what an earlier table knew of the same addresses, beside what this one knows. Both are sorted.
    ///
    /// Passes are counted by batch, so only finished facts carry over; a running quarantine goes on.
    ///
    /// Returns whether anybody is in quarantine, or refuses several datagrams at once.
    pub(crate) fn inherit(&self, old: &Self) -> bool {
        let (mut at, mut special) = (0, self.inherit_quarantines(old));
        for (peer, from) in old.addresses.iter().zip(&old.states) {
            let refuses = from.refuses.load(Relaxed);
            if from.rejected.load(Relaxed) == 0 && !refuses {
                continue;
            }
            at += self.addresses[at..].partition_point(|address| address < peer);
            if self.addresses.get(at) == Some(peer) {
                let to = &self.states[at];
                to.rejected.store(to.rejected.load(Relaxed) + from.rejected.load(Relaxed), Relaxed);
                to.errno.store(from.errno.load(Relaxed), Relaxed);
                to.refuses.store(refuses || to.refuses.load(Relaxed), Relaxed);
                special |= refuses;
            }
        }
        special
    }

    /// As [`inherit`](Self::inherit), of nothing but quarantines: for a table beside that one, which has the failures.
    pub(crate) fn inherit_quarantines(&self, old: &Self) -> bool {
        let (mut at, mut special) = (0, false);
        for (peer, from) in old.addresses.iter().zip(&old.states) {
            let (level, release_ns) = (from.level.load(Relaxed), from.release_ns.load(Relaxed));
            if level == 0 && release_ns == 0 {
                continue;
            }
            at += self.addresses[at..].partition_point(|address| address < peer);
            if self.addresses.get(at) == Some(peer) {
                let to = &self.states[at];
                to.level.store(to.level.load(Relaxed).max(level), Relaxed);
                to.release_ns.store(to.release_ns.load(Relaxed).max(release_ns), Relaxed);
                special |= release_ns != 0;
            }
        }
        special
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn peers(range: std::ops::Range<u16>) -> Peers {
        Peers::new(range.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect())
    }

    #[test]
    fn every_peer_is_found_at_its_place_and_nobody_else() {
        let peers = peers(2..9);
        for (at, address) in peers.addresses().iter().enumerate() {
            assert_eq!(peers.position(*address), Some(at));
        }
        for port in [1, 9] {
            assert_eq!(peers.position(SocketAddr::from(([127, 0, 0, 1], port))), None);
        }
        assert_eq!(peers.position("[::1]:2".parse().expect("an address")), None);
        assert_eq!(Peers::new(Box::default()).position(peers.addresses()[0]), None);
    }

    #[test]
    fn only_a_peer_that_persists_is_quarantined() {
        let peers = peers(1..2);
        assert!(!peers.reject(0, Errno::EPERM, 1, 0));
        assert!(!peers.reject(0, Errno::EPERM, 2, 20 * MS));
        assert!(!peers.reject(0, Errno::EPERM, 4, 30 * MS), "pass 3 was fine");
        assert!(!peers.reject(0, Errno::EPERM, 5, 35 * MS));
        assert!(!peers.reject(0, Errno::EPERM, 6, 39 * MS), "three passes, but no time");
        assert!(peers.reject(0, Errno::EPERM, 7, 40 * MS));
        assert_eq!(peers.release_ns(0), Some(140 * MS));
    }

    #[test]
    fn each_failed_probe_doubles_the_quarantine_up_to_its_bound() {
        let peers = peers(1..2);
        for pass in 1..=3 {
            peers.reject(0, Errno::EPERM, pass, u64::from(pass) * 10 * MS);
        }
        for (pass, ms) in (10..).zip([200, 400, 800, 1000, 1000]) {
            peers.release(0, pass);
            assert!(peers.reject(0, Errno::EPERM, pass, 0));
            assert_eq!(peers.release_ns(0), Some(ms * MS));
        }
        peers.release(0, 100);
        assert!(!peers.reject(0, Errno::EPERM, 110, 0), "the probe was fine");
    }

    #[test]
    fn a_message_that_is_too_long_does_not_quarantine() {
        let peers = peers(1..2);
        assert!((1..10).all(|pass| !peers.reject(0, Errno::EMSGSIZE, pass, 0)));
        assert_eq!(peers.failures().next().map(|failure| failure.rejected), Some(9));
    }

    #[test]
    fn a_new_table_inherits_what_it_shares_with_the_old_one() {
        let (old, new) = (peers(1..6), peers(3..9));
        for peer in [1, 4] {
            for pass in 1..=3 {
                old.reject(peer, Errno::ENETUNREACH, pass, u64::from(pass) * 10 * MS);
            }
        }
        assert!(new.inherit(&old));
        let failures: Vec<_> = new.failures().collect();
        assert_eq!(failures.len(), 1);
        assert_eq!((failures[0].peer.port(), failures[0].rejected, failures[0].quarantined), (5, 3, true));
        let quarantines = peers(1..6);
        assert!(quarantines.inherit_quarantines(&old));
        assert_eq!(quarantines.release_ns(4), old.release_ns(4));
        assert_eq!(quarantines.failures().count(), 0, "they are in the other table");
        // Another one that was beside the old one.
        let beside = peers(5..6);
        beside.reject(0, Errno::EPERM, 1, 0);
        assert!(!new.inherit(&beside));
        let both = new.failures().next().expect("one");
        assert_eq!((both.rejected, both.errno, both.quarantined), (4, Errno::EPERM, true));
    }
}
