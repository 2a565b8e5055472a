//! What a publisher may send, and how much of it.

use std::collections::{HashMap, HashSet};

use headcast_proto::repair::{Asked, Policy};

use super::{Checked, ensure};
use crate::mail::Address;

/// The most repairs that may wait: what the queue has room for.
const WAITING_MAX: u64 = 1 << 14;
/// How often a receiver is welcomed at most.
const WELCOME_AGAIN_NS: u64 = 10_000_000_000;

/// What a publisher has answered so far.
#[derive(Debug)]
pub(crate) struct Answers {
    policy: Policy,
    peers: HashMap<Address, Answered>,
    /// When a sequence was sent to a receiver again.
    last_ns: HashMap<(Address, u64), u64>,
    waiting: u64,
}

/// What one peer was sent again.
#[derive(Debug)]
struct Answered {
    since_ns: u64,
    /// Of the stream, when it became a peer.
    stream_bytes: u64,
    bytes: u64,
    /// Under which it has asked.
    sessions: HashSet<u64>,
    /// When a request of it was last cut short, for its budget or for room.
    cut_short_ns: Option<u64>,
}

impl Answers {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, peers: HashMap::new(), last_ns: HashMap::new(), waiting: 0 }
    }

    /// The peers are others now, and nothing waits any more.
    pub(crate) fn peers(&mut self, now: &[Address], now_ns: u64, stream_bytes: u64, dropped: u64) -> Checked {
        ensure(dropped == self.waiting, "what_waits_is_known", || {
            format!("{dropped} repairs were waiting, and not {}", self.waiting)
        })?;
        self.waiting = 0;
        self.last_ns.clear();
        self.peers.retain(|peer, _| now.contains(peer));
        for peer in now {
            self.peers.entry(*peer).or_insert_with(|| Answered {
                since_ns: now_ns,
                stream_bytes,
                bytes: 0,
                sessions: HashSet::new(),
                cut_short_ns: None,
            });
        }
        Ok(())
    }

    /// A peer has asked.
    pub(crate) fn asked(&mut self, peer: Address, session: u64, now_ns: u64, asked: Asked) -> Checked {
        self.waiting += asked.queued;
        if let Some(answered) = self.peers.get_mut(&peer) {
            answered.sessions.insert(session);
            if asked.over_budget + asked.excess + asked.full > 0 {
                answered.cut_short_ns = Some(now_ns);
            }
        }
        self.repairs_that_wait_are_bounded()
    }

    /// When a request of that peer was last cut short.
    pub(crate) fn cut_short_ns(&self, peer: Address) -> Option<u64> {
        self.peers.get(&peer)?.cut_short_ns
    }

    /// Whether that address is a peer, and since when.
    pub(crate) fn peer_since_ns(&self, peer: Address) -> Option<u64> {
        Some(self.peers.get(&peer)?.since_ns)
    }

    /// One does not wait any more: its datagram has been overwritten.
    pub(crate) fn gone(&mut self) {
        self.waiting -= 1;
    }

    /// A sequence goes out to a peer again.
    pub(crate) fn sent(
        &mut self,
        peer: Address,
        seq: u64,
        len: u64,
        now_ns: u64,
        stream_bytes: u64,
    ) -> Checked {
        self.waiting -= 1;
        let before_ns = self.last_ns.insert((peer, seq), now_ns);
        self.no_repair_is_repeated_too_soon(before_ns, seq, now_ns)?;
        if let Some(answered) = self.peers.get_mut(&peer) {
            answered.bytes += len;
        }
        self.repairs_stay_within_the_budget(peer, now_ns, stream_bytes)
    }

    fn repairs_that_wait_are_bounded(&self) -> Checked {
        ensure(self.waiting <= WAITING_MAX, "repairs_that_wait_are_bounded", || {
            format!("{} repairs wait", self.waiting)
        })
    }

    fn no_repair_is_repeated_too_soon(&self, before_ns: Option<u64>, seq: u64, now_ns: u64) -> Checked {
        let waited_ns = before_ns.map_or(u64::MAX, |before_ns| now_ns - before_ns);
        ensure(waited_ns >= self.policy.interval_ns, "no_repair_is_repeated_too_soon", || {
            format!("sequence {seq} is repaired again after {waited_ns} ns")
        })
    }

    fn repairs_stay_within_the_budget(&self, peer: Address, now_ns: u64, stream_bytes: u64) -> Checked {
        let Some(answered) = self.peers.get(&peer) else { return Ok(()) };
        let earned = (stream_bytes - answered.stream_bytes) * u64::from(self.policy.share_permille) / 1000;
        let welcomes =
            ((now_ns - answered.since_ns) / WELCOME_AGAIN_NS + 1).min(answered.sessions.len() as u64);
        let budget = earned + u64::from(self.policy.burst) + welcomes * u64::from(self.policy.welcome);
        ensure(answered.bytes <= budget, "repairs_stay_within_the_budget", || {
            format!("{peer:?} was sent {} bytes again, of {budget}", answered.bytes)
        })
    }
}

/// Nothing goes to an address that is not a peer's.
pub(crate) fn only_peers_are_sent_anything(is_peer: bool, to: Address) -> Checked {
    ensure(is_peer, "only_peers_are_sent_anything", || format!("{to:?} is no peer"))
}
