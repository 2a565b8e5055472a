use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{Limits, Outcome, PeerSet, Report, Source, SourceError, Stop, file::Watched, target::check_peer};
#[cfg(feature = "dns")]
use crate::{
    dns::{Dns, Verdict},
    pace,
    policy::{Answer, Membership},
};

/// A fixed list needs no asking; this is how long until it is asked all the same.
const STATIC_NEXT: Duration = Duration::from_secs(3600);

/// Keeps the set of peers that a source has.
///
/// It is driven: [`refresh`](Self::refresh) asks the source once, and its report says when to ask again.
/// Nobody is a peer before the first refresh.
pub struct Watcher {
    origin: Origin,
    limits: Limits,
    peers: PeerSet,
    last_success: Option<Instant>,
}

enum Origin {
    Static(PeerSet),
    File(Watched),
    #[cfg(feature = "dns")]
    Dns(Box<Dns>, Membership, Failures),
}

/// DNS lookups that failed, in a row.
#[cfg(feature = "dns")]
type Failures = u32;

/// What one look at the source brought.
struct Turn {
    /// The peers from now on; `None` keeps the present ones.
    peers: Option<PeerSet>,
    /// What to report; `None` if the source simply answered.
    outcome: Option<Outcome>,
    ttl: Option<Duration>,
    over_limit: usize,
    next: Duration,
}

impl Watcher {
    /// Prepares to watch `source` within `limits`. A file is read for the first time, DNS is not asked yet.
    ///
    /// # Errors
    /// When the source cannot have peers: an empty list, a file that is missing, empty or wrong, no DNS
    /// server to ask.
    pub fn new(source: Source, limits: Limits) -> Result<Self, SourceError> {
        let origin = match source {
            Source::Static(peers) if peers.is_empty() => return Err(SourceError::NoPeers),
            Source::Static(peers) => Origin::Static(peers),
            Source::File { path, default_port } => {
                Origin::File(Watched::open(path, default_port, limits.max_peers).map_err(SourceError::File)?)
            }
            #[cfg(feature = "dns")]
            Source::Dns(query) => {
                let members = Membership::new(Dns::families(&query), limits.max_peers);
                Origin::Dns(Box::new(Dns::new(query, limits.lookup_timeout)?), members, 0)
            }
        };
        Ok(Self { origin, limits, peers: PeerSet::default(), last_success: None })
    }

    /// Asks the source once and applies what it says. `now` is the time at which this begins.
    ///
    /// A DNS lookup blocks for [`Limits::lookup_timeout`] at most, and returns within some 20 ms of `stop`.
    /// It runs on a tokio runtime of its own, so neither this nor the drop of a watcher may happen within another one.
    pub fn refresh(&mut self, now: Instant, stop: &Stop) -> Report {
        let Turn { peers, outcome, ttl, over_limit, next } = self.origin.ask(&self.limits, stop);
        let peers = peers.filter(|peers| *peers != self.peers);
        let changed = peers.is_some();
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        if let Some(peers) = peers {
            added = peers.without(&self.peers);
            removed = self.peers.without(&peers);
            self.peers = peers;
        }
        let outcome = outcome.unwrap_or(if changed { Outcome::Fresh } else { Outcome::Unchanged });
        if outcome.is_current() {
            self.last_success = Some(now);
        }
        let (came, went) = (added.len(), removed.len());
        tracing::debug!(%outcome, peers = self.peers.len(), came, went, ?next, "refreshed");
        Report { outcome, changed, added, removed, ttl, over_limit, next }
    }

    /// The peers as of the last refresh.
    pub fn peers(&self) -> &PeerSet {
        &self.peers
    }

    /// The time of the last refresh after which the peers were what the source said (see
    /// [`Outcome::is_current`]): how long ago it is, is how old the set may be.
    pub fn last_success(&self) -> Option<Instant> {
        self.last_success
    }
}

impl Origin {
    fn ask(
        &mut self,
        limits: &Limits,
        #[cfg_attr(not(feature = "dns"), expect(unused))] stop: &Stop,
    ) -> Turn {
        match self {
            Self::Static(peers) => {
                let mut peers: Vec<_> = peers.iter().filter_map(|&peer| admit(peer, limits)).collect();
                let over_limit = peers.len().saturating_sub(limits.max_peers);
                peers.truncate(limits.max_peers);
                Turn { over_limit, next: STATIC_NEXT, ..Turn::of(Some(peers)) }
            }
            Self::File(file) => {
                let next = limits.file_poll;
                match file.look() {
                    Ok(listed) => {
                        let admitted =
                            |peers: PeerSet| peers.iter().filter_map(|&peer| admit(peer, limits)).collect();
                        Turn { next, ..Turn::of(listed.map(admitted)) }
                    }
                    Err(error) => Turn { outcome: Some(Outcome::Failed(error)), next, ..Turn::of(None) },
                }
            }
            #[cfg(feature = "dns")]
            Self::Dns(dns, members, failures) => ask_dns(dns, members, failures, limits, stop),
        }
    }
}

#[cfg(feature = "dns")]
fn ask_dns(
    dns: &mut Dns,
    members: &mut Membership,
    failures: &mut Failures,
    limits: &Limits,
    stop: &Stop,
) -> Turn {
    let told = dns.ask(stop);
    members.observe(told.families.into_iter().map(|answer| match answer {
        Answer::Found(found) => {
            Answer::Found(found.into_iter().filter_map(|peer| admit(peer, limits)).collect())
        }
        Answer::Incomplete(found) => {
            Answer::Incomplete(found.into_iter().filter_map(|peer| admit(peer, limits)).collect())
        }
        other => other,
    }));
    let peers = members.peers();

    let name = || dns.query().name().to_owned();
    let held_for = members.held_for();
    let outcome = match told.verdict {
        Verdict::Found => None,
        Verdict::Partial(error) => Some(Outcome::Partial(error)),
        Verdict::NoRecord => {
            let records = if dns.query().port().is_some() { "A or AAAA" } else { "SRV" };
            Some(Outcome::Empty { name: name(), records, held_for })
        }
        Verdict::NoName => Some(Outcome::NoSuchName { name: name(), held_for }),
        Verdict::Failed(error) => Some(Outcome::Failed(error)),
    };
    let failed = matches!(outcome, Some(Outcome::Failed(_) | Outcome::Partial(_)));
    *failures = if failed { failures.saturating_add(1) } else { 0 };
    let next = if failed {
        pace::after_failure(limits, *failures)
    } else if peers.is_empty() {
        // Nobody to send to: the first pod that is ready should not wait for a denial to expire.
        pace::after_answer(limits, Duration::ZERO)
    } else {
        pace::after_answer(limits, told.ttl.unwrap_or(limits.refresh_max))
    };
    Turn { peers: Some(peers), outcome, ttl: told.ttl, over_limit: members.over_limit(), next }
}

/// The peer in canonical form, unless it is excluded or no host.
fn admit(peer: SocketAddr, limits: &Limits) -> Option<SocketAddr> {
    check_peer(peer).ok().filter(|peer| !limits.exclude.iter().any(|ip| ip.to_canonical() == peer.ip()))
}

impl Turn {
    fn of(peers: Option<Vec<SocketAddr>>) -> Self {
        let peers = peers.map(PeerSet::from_iter);
        Self { peers, outcome: None, ttl: None, over_limit: 0, next: Duration::ZERO }
    }
}
