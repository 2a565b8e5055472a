//! Who can be sent frames, by which interface, and the socket for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::Duration;

use headcast_peers::PeerSet;
use headcast_udp::{Errno, Routes, Template, Way, Xdp, XdpError};

use super::FrameStatus;
use crate::Backend;
use crate::clock;

/// How long after a socket for frames was refused or failed another one is tried, in ns: at first, and at most. It
/// doubles each time, until one has served for longer than the most.
const REOPEN_MIN_NS: u64 = 1_000_000_000;
const REOPEN_MAX_NS: u64 = 60_000_000_000;

/// How frames are to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framing {
    pub(crate) backend: Backend,
    /// The ports of the sockets, which frames come from as well: so answers find the way back.
    pub(crate) ports: [u16; 2],
    /// The buffer to ask for, in bytes.
    pub(crate) send_buffer: usize,
    /// Bytes of the longest datagram.
    pub(crate) datagram_max: usize,
}

/// What frames need to be sent to a set of peers.
pub(super) struct Found {
    /// For each peer of the set in its order; `None` for those that the sockets send to.
    pub(super) templates: Vec<Option<Template>>,
    pub(super) interface: u32,
    /// `None`: the data thread has it.
    pub(super) xdp: Option<Xdp>,
    /// Why the socket has failed, as a number of the kernel's; 0 while it has not.
    pub(super) failed: Arc<AtomicI32>,
}

/// Knows the ways of frames to the peers, and keeps account of the one socket for them.
pub(crate) struct Ways {
    pub(super) routes: Routes,
    framing: Framing,
    found: Vec<Option<Way>>,
    /// The interface of the socket that the data thread has, and of the one that was offered last.
    held: Option<u32>,
    offered: Option<u32>,
    /// Of the socket that was offered last.
    failed: Arc<AtomicI32>,
    backoff: Backoff,
    /// One that was wanted, and is to be offered.
    ready: Option<Xdp>,
    /// There is to be one, and there is none.
    wants: bool,
    /// Why the last socket was not to be had.
    refused: Option<XdpError>,
    /// There has been one: what fails later may pass, and is no reason to end a publisher that runs.
    has_had: bool,
    /// Peers have been looked at.
    has_settled: bool,
    lane: Option<FrameStatus>,
    /// It has been said that the routes cannot be read.
    is_blind: bool,
}

impl Ways {
    pub(crate) fn new(routes: Routes, framing: Framing) -> Self {
        Self {
            routes,
            framing,
            found: Vec::new(),
            held: None,
            offered: None,
            failed: Arc::default(),
            backoff: Backoff::new(),
            ready: None,
            wants: false,
            refused: None,
            has_had: false,
            has_settled: false,
            lane: None,
            is_blind: false,
        }
    }

    /// Looks for the way to each peer; returns whether any has changed.
    pub(super) fn find(&mut self, peers: &PeerSet) -> bool {
        let result = self.routes.look_up(peers.as_slice(), self.framing.ports);
        let was_blind = std::mem::replace(&mut self.is_blind, result.is_err());
        let found = result.unwrap_or_else(|error| {
            if !was_blind {
                tracing::warn!("all datagrams go by the socket: the routes cannot be read: {error}");
            }
            vec![None; peers.len()]
        });
        let changed = found != self.found;
        self.found = found;
        changed
    }

    /// Decides on the interface and has a socket for it, unless the data thread has. `spare` is what was offered
    /// last and not taken: its socket, if it had one.
    pub(super) fn settle(&mut self, peers: &PeerSet, spare: Option<Option<Xdp>>) -> Option<Found> {
        let spare = match spare {
            Some(spare) => spare,
            None => {
                self.held = self.offered;
                None
            }
        };
        self.wants = false;
        let spare = spare.or_else(|| self.ready.take());
        let lane = self.open_lane(peers, spare);
        let status = lane.as_ref().map(|found| self.status(found));
        let interface = |lane: &Option<FrameStatus>| lane.as_ref().map(|lane| lane.interface.clone());
        let is_first = !std::mem::replace(&mut self.has_settled, !peers.is_empty());
        if is_first || interface(&status) != interface(&self.lane) {
            match &status {
                Some(FrameStatus { interface, peers: framed }) => {
                    tracing::info!(interface, peers = framed, of = peers.len(), "frames go out by AF_XDP")
                }
                None if self.wants || peers.is_empty() => {}
                None => tracing::info!("all datagrams go by the socket: no next hop is known for frames"),
            }
        }
        self.offered = lane.as_ref().map(|found| found.interface);
        self.lane = status;
        lane
    }

    fn open_lane(&mut self, peers: &PeerSet, spare: Option<Xdp>) -> Option<Found> {
        let failed = self.failed.swap(0, Relaxed);
        if failed != 0 {
            // It is of no use, and stays open until the data thread has given it back.
            self.held = None;
            let wait = self.backoff.fail(clock::mono_ns());
            let error = Errno::from_raw(failed);
            tracing::warn!(next = ?wait, "all datagrams go by the socket: that for frames has failed: {error}");
        }
        let there_is = spare.as_ref().map(Xdp::interface).or(self.held);
        let interface = self.choose(there_is)?;
        let templates = self.templates(peers, interface);
        let xdp = match spare.filter(|xdp| xdp.interface() == interface) {
            Some(xdp) => Some(xdp),
            None if self.held == Some(interface) => None,
            None => Some(self.open(interface)?),
        };
        if xdp.is_some() {
            self.failed = Arc::default();
        }
        Some(Found { templates, interface, xdp, failed: Arc::clone(&self.failed) })
    }

    /// The interface that most peers are behind, if any of them can be sent frames now. While all their next hops wait
    /// to be confirmed, which takes a moment, the one that `there_is` a socket for stays.
    fn choose(&self, there_is: Option<u32>) -> Option<u32> {
        let found = || self.found.iter().flatten().map(|way| way.interface);
        busiest(found().chain(self.routes.stale().iter().copied()))
            .filter(|index| there_is == Some(*index) || found().any(|other| other == *index))
            .or(there_is)
            .filter(|index| self.routes.interface(*index).is_some())
    }

    /// Tries to have the socket that is missing, if it is time; returns whether there is something to offer: that one,
    /// or that the last one is gone.
    pub(super) fn retry(&mut self) -> bool {
        if self.failed.load(Relaxed) != 0 {
            return true;
        }
        if self.is_to_be_retried() {
            self.ready = match self.choose(None) {
                Some(interface) => self.open(interface),
                None => {
                    // There is nothing to have it for until a way changes.
                    self.wants = false;
                    None
                }
            };
        }
        self.ready.is_some() || (self.wants && self.refused().is_some())
    }

    fn open(&mut self, interface: u32) -> Option<Xdp> {
        let now_ns = clock::mono_ns();
        self.wants = now_ns < self.backoff.until_ns;
        if self.wants {
            return None;
        }
        let (name, queues) = self.routes.interface(interface)?;
        match Xdp::open(interface, queues, self.framing.send_buffer) {
            Ok(xdp) => {
                (self.has_had, self.refused) = (true, None);
                self.backoff.succeed(now_ns);
                tracing::debug!(
                    interface = name,
                    queue = xdp.queue(),
                    frames = xdp.frames(),
                    "a socket for frames"
                );
                Some(xdp)
            }
            Err(error) => {
                if self.refused != Some(error) {
                    tracing::warn!(interface = name, "all datagrams go by the socket: {error}");
                }
                self.refused = Some(error);
                self.backoff.fail(now_ns);
                self.wants = true;
                None
            }
        }
    }

    /// The frames of the peers that this interface reaches. A peer behind a narrow path would keep datagrams
    /// from all others that are too long for that path alone: it is left to the socket.
    fn templates(&self, peers: &PeerSet, interface: u32) -> Vec<Option<Template>> {
        let template = |(peer, way): (&SocketAddr, &Option<Way>)| {
            let way = way.as_ref().filter(|way| way.interface == interface)?;
            // Without a socket of that family, answers would have nowhere to go.
            let port = Some(self.framing.ports[usize::from(peer.is_ipv6())]).filter(|port| *port > 0)?;
            Template::new(SocketAddr::new(way.source, port), *peer, &way.hop)
        };
        let mut templates: Vec<_> = peers.as_slice().iter().zip(&self.found).map(template).collect();
        let longest = templates.iter().flatten().map(Template::payload_max).max().unwrap_or(0);
        let least = longest.min(self.framing.datagram_max);
        for template in &mut templates {
            *template = template.filter(|template| template.payload_max() >= least);
        }
        templates
    }

    fn status(&self, found: &Found) -> FrameStatus {
        let name = self.routes.interface(found.interface).map_or("", |(name, _)| name);
        FrameStatus { interface: name.into(), peers: found.templates.iter().flatten().count() }
    }

    /// Who is sent frames, as of the last offer.
    pub(super) fn lane(&self) -> Option<FrameStatus> {
        self.lane.clone().filter(|lane| lane.peers > 0)
    }

    /// Why there is no socket for frames where one is demanded, there never was, and nothing says that it will pass.
    pub(super) fn refused(&self) -> Option<XdpError> {
        let lasts = |error: &XdpError| {
            matches!(
                error,
                XdpError::Capability
                    | XdpError::Memory { .. }
                    | XdpError::Busy
                    | XdpError::Interface(Errno::EOPNOTSUPP)
            )
        };
        self.refused.filter(|error| self.framing.backend == Backend::Xdp && !self.has_had && lasts(error))
    }

    /// Whether another socket is to be tried now: the last one has failed, or there was none a while ago.
    pub(super) fn is_to_be_retried(&self) -> bool {
        self.failed.load(Relaxed) != 0 || (self.wants && clock::mono_ns() >= self.backoff.until_ns)
    }
}

/// When another socket is to be tried.
struct Backoff {
    /// No other before this, on the monotonic clock.
    until_ns: u64,
    wait_ns: u64,
    /// When the last one was had.
    had_ns: Option<u64>,
}

impl Backoff {
    fn new() -> Self {
        Self { until_ns: 0, wait_ns: REOPEN_MIN_NS, had_ns: None }
    }

    fn succeed(&mut self, now_ns: u64) {
        self.had_ns = Some(now_ns);
    }

    /// Books that there is none; returns for how long no other is tried.
    fn fail(&mut self, now_ns: u64) -> Duration {
        if self.had_ns.take().is_some_and(|had_ns| now_ns.saturating_sub(had_ns) > REOPEN_MAX_NS) {
            self.wait_ns = REOPEN_MIN_NS;
        }
        let wait = Duration::from_nanos(self.wait_ns);
        self.until_ns = now_ns.saturating_add(self.wait_ns);
        self.wait_ns = (2 * self.wait_ns).min(REOPEN_MAX_NS);
        wait
    }
}

/// The interface that is named most often.
fn busiest(interfaces: impl Iterator<Item = u32>) -> Option<u32> {
    let mut counts: Vec<(u32, usize)> = Vec::new();
    for interface in interfaces {
        match counts.iter_mut().find(|(other, _)| *other == interface) {
            Some((_, count)) => *count += 1,
            None => counts.push((interface, 1)),
        }
    }
    // Of several with as many, that with the lowest number: it does not change from one look to the next.
    counts
        .iter()
        .max_by_key(|(interface, count)| (*count, std::cmp::Reverse(*interface)))
        .map(|(interface, _)| *interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_socket_is_tried_less_and_less_often_until_one_has_served_for_long() {
        const S: u64 = 1_000_000_000;
        let mut backoff = Backoff::new();
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(backoff.fail(100 * S), Duration::from_secs(seconds));
            assert_eq!(backoff.until_ns, (100 + seconds) * S);
        }
        backoff.succeed(200 * S);
        assert_eq!(backoff.fail(250 * S), Duration::from_secs(60), "one that fails soon is none");
        backoff.succeed(310 * S);
        assert_eq!(backoff.fail(371 * S), Duration::from_secs(1));
    }

    #[test]
    fn the_interface_of_most_is_chosen_and_of_equals_always_the_same() {
        assert_eq!(busiest([2, 3, 3].into_iter()), Some(3));
        assert_eq!(busiest([3, 2, 3, 2].into_iter()), Some(2));
        assert_eq!(busiest([2, 3].into_iter()), Some(2));
        assert_eq!(busiest(std::iter::empty()), None);
    }
}
