//! The way to each peer, as the kernel would take it: interface, next hop, hardware addresses.
//!
//! Frames that are sent past the IP stack must be told where to go. The kernel is asked for the route of every
//! peer, so that policy rules and the like count as well; interfaces and neighbours are read once and then kept
//! up by what the kernel tells. All of this is for a control thread: it blocks and allocates.
//!
//! **A neighbour that nobody confirms.** The kernel asks whether a neighbour is still there only when the IP
//! stack sends to it. What is sent past the stack does not count, so after some 30 s the entry goes *stale*,
//! and a hardware address that changed silently would never be noticed. So a peer with a stale next hop has no
//! way here: it is sent to by the socket, whose first datagram makes the kernel begin to ask
//! ([`Routes::is_stale`] says that there is such a peer, to be looked up again soon). While it asks, frames go to
//! the address that the kernel itself would use, and when nobody answers, the kernel tells.

mod netlink;
mod table;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Message};

use crate::NextHop;
use netlink::Netlink;
use table::{Link, Neighbour, Route};

/// `RTNLGRP_*` of interfaces, neighbours, addresses, routes, rules of both families, and next hops
/// (`linux/rtnetlink.h`).
const GROUPS: [u32; 9] = [1, 3, 5, 7, 8, 9, 11, 19, 32];
/// `IPPROTO_UDP`.
const PROTOCOL: u8 = 17;

/// The way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The index of the interface.
    pub interface: u32,
    /// The address that datagrams come from.
    pub source: IpAddr,
    /// What the frame needs.
    pub hop: NextHop,
}

/// Knows the ways to peers, and notices when they change.
pub struct Routes {
    questions: Netlink,
    news: Netlink,
    links: HashMap<u32, Link>,
    neighbours: HashMap<(u32, IpAddr), Neighbour>,
    /// By peer; `None` for one that has no plain route. Cleared when any route may have changed.
    routes: HashMap<SocketAddr, Option<Route>>,
    /// The next hops of the peers last looked up.
    hops: HashSet<(u32, IpAddr)>,
    /// The interface of each of those peers whose next hop was stale.
    stale: Vec<u32>,
}

impl Routes {
    /// Begins to listen, and reads what there is.
    ///
    /// # Errors
    /// What the kernel fails with, e.g. where a sandbox forbids netlink sockets.
    pub fn open() -> io::Result<Self> {
        // First, so that no change is missed between reading and listening.
        let news = Netlink::subscribe(&GROUPS)?;
        let mut routes = Self {
            questions: Netlink::open()?,
            news,
            links: HashMap::new(),
            neighbours: HashMap::new(),
            routes: HashMap::new(),
            hops: HashSet::new(),
            stale: Vec::new(),
        };
        routes.read_all()?;
        Ok(routes)
    }

    /// Reads everything anew: for changes that the kernel does not tell, such as a path's MTU.
    ///
    /// # Errors
    /// What the kernel fails with.
    pub fn read_all(&mut self) -> io::Result<()> {
        self.routes.clear();
        let mut links = HashMap::new();
        let mut request = LinkMessage::default();
        request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        self.questions.dump(&Message::GetLink(request), |message| {
            if let Message::NewLink(message) = message
                && let Some(link) = Link::read(&message)
            {
                links.insert(message.header.index, link);
            }
        })?;
        self.links = links;
        self.read_neighbours()
    }

    /// Reads the neighbours anew: not every change of their state is told.
    ///
    /// # Errors
    /// What the kernel fails with.
    pub fn read_neighbours(&mut self) -> io::Result<()> {
        let mut neighbours = HashMap::new();
        self.questions.dump(&Message::GetNeighbour(NeighbourMessage::default()), |message| {
            if let Message::NewNeighbour(message) = message
                && let Some((who, known)) = Neighbour::read(&message)
            {
                neighbours.insert(who, known);
            }
        })?;
        self.neighbours = neighbours;
        Ok(())
    }

    /// The way to each peer for datagrams from these ports, of IPv4 and IPv6; `None` for those that the socket
    /// should send to: because the next hop is not known, or not confirmed, or no other host by Ethernet.
    ///
    /// # Errors
    /// What the kernel fails with.
    pub fn look_up(&mut self, peers: &[SocketAddr], ports: [u16; 2]) -> io::Result<Vec<Option<Way>>> {
        self.ask_routes(peers, ports)?;
        self.hops.clear();
        self.stale.clear();
        let v4_hop_limit = setting("ipv4/ip_default_ttl").unwrap_or(64);
        // Hop limit and MTU of IPv6, by interface.
        let mut v6 = HashMap::new();
        let ways = peers.iter().map(|peer| {
            let route = (*self.routes.get(peer)?)?;
            let link = self.links.get(&route.interface)?;
            let who = (route.interface, route.next);
            self.hops.insert(who);
            let to = match *self.neighbours.get(&who)? {
                Neighbour::Watched(to) => to,
                Neighbour::Stale => {
                    self.stale.push(route.interface);
                    return None;
                }
                Neighbour::Unknown => return None,
            };
            let (hop_limit, mtu) = if peer.is_ipv4() {
                (v4_hop_limit, link.mtu)
            } else {
                *v6.entry(route.interface).or_insert_with(|| v6_settings(link))
            };
            let hop = NextHop {
                from: link.mac,
                to,
                mtu: route.mtu.unwrap_or(mtu).min(mtu),
                hop_limit: route.hop_limit.or(u8::try_from(hop_limit).ok()).unwrap_or(64),
            };
            Some(Way { interface: route.interface, source: route.source, hop })
        });
        Ok(ways.collect())
    }

    /// Asks for the routes that are not known.
    fn ask_routes(&mut self, peers: &[SocketAddr], ports: [u16; 2]) -> io::Result<()> {
        if self.routes.len() > 2 * peers.len() {
            // Peers that are gone.
            self.routes.clear();
        }
        let unknown: Vec<SocketAddr> =
            peers.iter().filter(|peer| !self.routes.contains_key(peer)).copied().collect();
        let questions: Vec<Message> = unknown.iter().map(|peer| question(*peer, ports)).collect();
        let routes = &mut self.routes;
        self.questions.ask(&questions, |at, answer| {
            let route = match answer {
                Some(Message::NewRoute(message)) => Route::read(&message, unknown[at].ip()),
                _ => None,
            };
            routes.insert(unknown[at], route);
        })
    }

    /// Whether a peer of the last [`look_up`](Self::look_up) waits for its next hop to be confirmed.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.hops.iter().any(|who| self.neighbours.get(who) == Some(&Neighbour::Stale))
    }

    /// The interface of each peer of the last [`look_up`](Self::look_up) that had no way because its next hop waited to
    /// be confirmed.
    #[must_use]
    pub fn stale(&self) -> &[u32] {
        &self.stale
    }

    /// The name of an interface, and how many queues it has for transmission.
    #[must_use]
    pub fn interface(&self, index: u32) -> Option<(&str, u32)> {
        self.links.get(&index).map(|link| (link.name.as_str(), link.queues))
    }

    /// Takes in what the kernel has told since; returns whether a way may have changed. Never waits: poll the
    /// descriptor for readability.
    ///
    /// # Errors
    /// What the kernel fails with.
    pub fn update(&mut self) -> io::Result<bool> {
        let mut changed = false;
        let Self { news, links, neighbours, routes, hops, .. } = self;
        let result = news.news(|message| match message {
            Message::NewLink(message) => {
                let index = message.header.index;
                let link = Link::read(&message);
                if links.get(&index) != link.as_ref() {
                    // The kernel removes routes of an interface that goes down without a word.
                    routes.clear();
                    changed = true;
                    match link {
                        Some(link) => drop(links.insert(index, link)),
                        None => drop(links.remove(&index)),
                    }
                }
            }
            Message::DelLink(message) => {
                // A bridge that lets go of a port says the same, of the bridge's family.
                if message.header.interface_family == AddressFamily::Unspec
                    && links.remove(&message.header.index).is_some()
                {
                    routes.clear();
                    changed = true;
                }
            }
            Message::NewNeighbour(message) => {
                if let Some((who, known)) = Neighbour::read(&message) {
                    changed |= neighbours.insert(who, known) != Some(known) && hops.contains(&who);
                }
            }
            Message::DelNeighbour(message) => {
                if let Some((who, _)) = Neighbour::read(&message) {
                    changed |= neighbours.remove(&who).is_some() && hops.contains(&who);
                }
            }
            _ => {
                routes.clear();
                changed = true;
            }
        });
        match result {
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                // Some news were lost: only the tables themselves say what is so.
                self.read_all()?;
                Ok(true)
            }
            result => result.map(|()| changed),
        }
    }
}

impl AsFd for Routes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }
}

/// The question that a UDP datagram from `ports` to `peer` would put to the routing tables.
fn question(peer: SocketAddr, ports: [u16; 2]) -> Message {
    let mut message = RouteMessage::default();
    let (family, prefix, address, port) = match peer.ip() {
        IpAddr::V4(v4) => (AddressFamily::Inet, 32, RouteAddress::Inet(v4), ports[0]),
        IpAddr::V6(v6) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(v6), ports[1]),
    };
    message.header.address_family = family;
    message.header.destination_prefix_length = prefix;
    message.attributes = vec![
        RouteAttribute::Destination(address),
        RouteAttribute::IpProto(PROTOCOL),
        RouteAttribute::Sport(port),
        RouteAttribute::Dport(peer.port()),
    ];
    if let SocketAddr::V6(peer) = peer
        && peer.scope_id() != 0
    {
        message.attributes.push(RouteAttribute::Oif(peer.scope_id()));
    }
    Message::GetRoute(message)
}

/// Hop limit and MTU of IPv6 on an interface.
fn v6_settings(link: &Link) -> (u32, u32) {
    let setting = |what| setting(&format!("ipv6/conf/{}/{what}", link.name));
    (setting("hop_limit").unwrap_or(64), setting("mtu").unwrap_or(link.mtu).min(link.mtu))
}

/// A number under `/proc/sys/net`, of this network namespace.
fn setting(path: &str) -> Option<u32> {
    std::fs::read_to_string(format!("/proc/sys/net/{path}")).ok()?.trim().parse().ok()
}
