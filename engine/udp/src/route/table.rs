//! What is known of interfaces, neighbours and routes, read out of the kernel's messages.

use std::net::IpAddr;

use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};

/// An interface that can carry frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) mac: [u8; 6],
    pub(super) mtu: u32,
    /// Queues for transmission.
    pub(super) queues: u32,
}

impl Link {
    /// `None` unless it is Ethernet, is up and has a carrier. Nor where no hardware addresses are resolved, as for
    /// ipvlan in its L3 modes: such a driver goes by what the IP stack knows of a packet, and drops our frames.
    pub(super) fn read(message: &LinkMessage) -> Option<Self> {
        let flags = message.header.flags;
        if message.header.link_layer_type != LinkLayerType::Ether
            || flags.intersects(LinkFlags::Loopback | LinkFlags::Noarp)
            || !flags.contains(LinkFlags::Up | LinkFlags::LowerUp)
        {
            return None;
        }
        let (mut name, mut mac, mut mtu, mut queues) = (None, None, None, 1);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(given) => name = Some(given.clone()),
                LinkAttribute::Address(address) => mac = <[u8; 6]>::try_from(address.as_slice()).ok(),
                LinkAttribute::Mtu(bytes) => mtu = Some(*bytes),
                LinkAttribute::NumTxQueues(number) => queues = *number,
                _ => {}
            }
        }
        Some(Self { name: name?, mac: mac?, mtu: mtu?, queues })
    }
}

/// What is known of a neighbour's hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// Confirmed, or being confirmed: the kernel will say if it is not so any more.
    Watched([u8; 6]),
    /// Not confirmed for a while, and nobody asks whether it still is so until the IP stack sends there.
    Stale,
    /// Not known, or being asked for.
    Unknown,
}

impl Neighbour {
    /// Whose it is, by interface and address, and what is known; `None` if it is about something else.
    pub(super) fn read(message: &NeighbourMessage) -> Option<((u32, IpAddr), Self)> {
        let (mut ip, mut mac) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => ip = Some(IpAddr::V4(*v4)),
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => ip = Some(IpAddr::V6(*v6)),
                NeighbourAttribute::LinkLayerAddress(address) => {
                    mac = <[u8; 6]>::try_from(address.as_slice()).ok();
                }
                _ => {}
            }
        }
        let known = match (message.header.state, mac) {
            (
                NeighbourState::Reachable
                | NeighbourState::Delay
                | NeighbourState::Probe
                | NeighbourState::Permanent
                | NeighbourState::Noarp,
                Some(mac),
            ) => Self::Watched(mac),
            (NeighbourState::Stale, Some(_)) => Self::Stale,
            _ => Self::Unknown,
        };
        Some(((message.header.ifindex, ip?), known))
    }
}

/// The route of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) interface: u32,
    pub(super) source: IpAddr,
    /// The router, or the peer itself.
    pub(super) next: IpAddr,
    pub(super) mtu: Option<u32>,
    pub(super) hop_limit: Option<u8>,
}

impl Route {
    /// `None` unless it is a plain one to another host.
    pub(super) fn read(message: &RouteMessage, peer: IpAddr) -> Option<Self> {
        if message.header.kind != RouteType::Unicast {
            return None;
        }
        let (mut interface, mut source, mut next, mut mtu, mut hop_limit) = (None, None, peer, None, None);
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Oif(index) => interface = Some(*index),
                RouteAttribute::PrefSource(address) => source = ip(address),
                RouteAttribute::Gateway(address) => next = ip(address)?,
                RouteAttribute::Via(RouteVia::Inet(v4)) => next = IpAddr::V4(*v4),
                RouteAttribute::Via(RouteVia::Inet6(v6)) => next = IpAddr::V6(*v6),
                // A tunnel puts headers before ours, and so may whatever is not known here.
                RouteAttribute::Via(_) | RouteAttribute::Encap(_) | RouteAttribute::EncapType(_) => {
                    return None;
                }
                RouteAttribute::Metrics(metrics) => {
                    for metric in metrics {
                        match metric {
                            RouteMetric::Mtu(bytes) if *bytes > 0 => mtu = Some(*bytes),
                            RouteMetric::Hoplimit(hops) if *hops > 0 => hop_limit = u8::try_from(*hops).ok(),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Some(Self { interface: interface?, source: source?, next, mtu, hop_limit })
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(flags: LinkFlags) -> Option<Link> {
        let mut message = LinkMessage::default();
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = flags;
        message.attributes = vec![
            LinkAttribute::IfName("out".into()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::Mtu(1500),
        ];
        Link::read(&message)
    }

    #[test]
    fn an_interface_that_is_down_or_resolves_no_addresses_carries_no_frames() {
        let up = LinkFlags::Up | LinkFlags::LowerUp;
        let known = link(up | LinkFlags::Broadcast).expect("one that can");
        assert_eq!((known.name.as_str(), known.mtu, known.queues), ("out", 1500, 1));
        for flags in [LinkFlags::Up, LinkFlags::LowerUp, up | LinkFlags::Loopback, up | LinkFlags::Noarp] {
            assert_eq!(link(flags), None, "{flags:?}");
        }
    }
}
