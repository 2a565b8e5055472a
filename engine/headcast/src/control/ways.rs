//! Who can be sent frames, by which interface, and the socket for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use headcast_peers::PeerSet;
use headcast_udp::{Routes, Template, Way, Xdp, XdpError};

use super::FrameStatus;
use crate::Backend;
use crate::clock;

/// How long after a socket for frames was refused or failed another one is tried, in ns.
const REOPEN_NS: u64 = 1_000_000_000;

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
    pub(super) is_lost: Arc<AtomicBool>,
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
    is_lost: Arc<AtomicBool>,
    /// No other socket before this, on the monotonic clock.
    reopen_ns: u64,
    /// There is to be one, and there is none.
    wants: bool,
    /// Why the last socket was not to be had.
    refused: Option<XdpError>,
    /// There has been one: what fails later may pass, and is no reason to end a publisher that runs.
    has_had: bool,
    lane: Option<FrameStatus>,
}

impl Ways {
    pub(crate) fn new(routes: Routes, framing: Framing) -> Self {
        Self {
            routes,
            framing,
            found: Vec::new(),
            held: None,
            offered: None,
            is_lost: Arc::default(),
            reopen_ns: 0,
            wants: false,
            refused: None,
            has_had: false,
            lane: None,
        }
    }

    /// Looks for the way to each peer; returns whether any has changed.
    pub(super) fn find(&mut self, peers: &PeerSet) -> bool {
        let found = self.routes.look_up(peers.as_slice(), self.framing.ports).unwrap_or_else(|error| {
            tracing::warn!("all datagrams go by the socket: the routes cannot be read: {error}");
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
        let lane = self.open_lane(peers, spare);
        let status = lane.as_ref().map(|found| self.status(found));
        if status.as_ref().map(|status| &status.interface) != self.lane.as_ref().map(|lane| &lane.interface) {
            match &status {
                Some(FrameStatus { interface, peers: framed }) => {
                    tracing::info!(interface, peers = framed, of = peers.len(), "frames go out by AF_XDP")
                }
                None if self.wants => {}
                None => tracing::info!("all datagrams go by the socket: no next hop is known for frames"),
            }
        }
        self.offered = lane.as_ref().map(|found| found.interface);
        self.lane = status;
        lane
    }

    fn open_lane(&mut self, peers: &PeerSet, spare: Option<Xdp>) -> Option<Found> {
        if self.is_lost.swap(false, Relaxed) {
            // It is of no use, and stays open until the data thread has given it back.
            self.held = None;
            self.reopen_ns = clock::mono_ns() + REOPEN_NS;
            tracing::debug!("a socket for frames has failed");
        }
        // While all next hops wait to be confirmed, which takes a moment, what there is stays.
        let there_is = spare.as_ref().map(Xdp::interface).or(self.held);
        let interface = busiest(&self.found)
            .or_else(|| there_is.filter(|index| self.routes.interface(*index).is_some()))?;
        let templates = self.templates(peers, interface);
        let xdp = match spare.filter(|xdp| xdp.interface() == interface) {
            Some(xdp) => Some(xdp),
            None if self.held == Some(interface) => None,
            None => Some(self.open(interface)?),
        };
        if xdp.is_some() {
            self.is_lost = Arc::default();
        }
        Some(Found { templates, interface, xdp, is_lost: Arc::clone(&self.is_lost) })
    }

    fn open(&mut self, interface: u32) -> Option<Xdp> {
        let now_ns = clock::mono_ns();
        if now_ns < self.reopen_ns {
            self.wants = true;
            return None;
        }
        let (name, queues) = self.routes.interface(interface)?;
        match Xdp::open(interface, queues, self.framing.send_buffer) {
            Ok(xdp) => {
                (self.has_had, self.refused) = (true, None);
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
                self.reopen_ns = now_ns + REOPEN_NS;
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

    /// Why there is no socket for frames where one is demanded, and there never was.
    pub(super) fn refused(&self) -> Option<XdpError> {
        self.refused.filter(|_| self.framing.backend == Backend::Xdp && !self.has_had)
    }

    /// Whether another socket is to be tried now: the last one has failed, or there was none a while ago.
    pub(super) fn is_to_be_retried(&self) -> bool {
        self.is_lost.load(Relaxed) || (self.wants && clock::mono_ns() >= self.reopen_ns)
    }
}

/// The interface that most ways go by.
fn busiest(ways: &[Option<Way>]) -> Option<u32> {
    let mut counts: Vec<(u32, usize)> = Vec::new();
    for way in ways.iter().flatten() {
        match counts.iter_mut().find(|(interface, _)| *interface == way.interface) {
            Some((_, count)) => *count += 1,
            None => counts.push((way.interface, 1)),
        }
    }
    // Of several with as many, the first: it does not change from one look to the next.
    counts.iter().rev().max_by_key(|(_, count)| *count).map(|(interface, _)| *interface)
}
