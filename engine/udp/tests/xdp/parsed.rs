//! What arrives, byte for byte, as a parser that knows nothing of ours would have written it.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use headcast_udp::Way;
use socket2::{Domain, Protocol, Socket, Type};

use crate::frames::{PORT, SOON, Sender, payload, resolve};
use crate::network::Network;

const PEERS: u16 = 10;

/// The whole frame anew, by the parser's own hand. `flow_label` is the one thing that is free to choose.
fn expected(way: &Way, peer: IpAddr, port: u16, flow_label: u32, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(way.hop.from, way.hop.to);
    let builder = match (way.source, peer) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut ip =
                etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::UDP, from.octets(), to.octets())
                    .expect("a header");
            ip.dont_fragment = true;
            builder.ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let ip = etherparse::Ipv6Header {
                traffic_class: 0,
                flow_label: flow_label.try_into().expect("20 bits"),
                payload_length: 0,
                next_header: etherparse::IpNumber::UDP,
                hop_limit: 64,
                source: from.octets(),
                destination: to.octets(),
            };
            builder.ip(etherparse::IpHeaders::Ipv6(ip, Default::default()))
        }
        mixed => panic!("{mixed:?}"),
    };
    let mut frame = Vec::new();
    builder.udp(PORT, port).write(&mut frame, payload).expect("written");
    frame
}

/// Sends messages of these lengths to ten ports of a peer, and looks at every frame that arrives.
fn check(peer: IpAddr, lens: [usize; 6]) {
    let network = Network::up();
    let peers: Vec<SocketAddr> = (0..PEERS).map(|at| SocketAddr::new(peer, PORT + at)).collect();
    resolve(&network, &peers[..1]);
    let listening = network.within("receiver", || {
        // Everything that any interface receives, `ETH_P_ALL`.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(3u16.to_be()))));
        let socket = socket.expect("a packet socket");
        socket.set_read_timeout(Some(SOON)).expect("set");
        socket
    });
    let way = network.within("sender", move || {
        let mut sender = Sender::open(&peers);
        assert_eq!(sender.lane.payload_max(), lens[5]);
        for len in lens {
            sender.send(&payload(len));
        }
        assert_eq!(sender.xdp.in_flight(), 0, "every frame has come back");
        sender.ways[0]
    });
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while seen.len() < usize::from(PEERS) * lens.len() {
        let len = (&listening).read(&mut buffer).expect("a frame");
        let frame = &buffer[..len];
        let packet = SlicedPacket::from_ethernet(frame).expect("a packet");
        let Some(TransportSlice::Udp(udp)) = &packet.transport else { continue };
        if udp.source_port() != PORT {
            continue;
        }
        let flow_label = match &packet.net {
            Some(etherparse::NetSlice::Ipv6(ip)) => ip.header().flow_label().value(),
            _ => 0,
        };
        let body = udp.payload();
        assert_eq!(body, payload(body.len()));
        assert_eq!(
            frame,
            expected(&way, peer, udp.destination_port(), flow_label, body),
            "{} bytes",
            body.len()
        );
        seen.push((body.len(), udp.destination_port()));
    }
    // Each message begins with the next peer.
    let first: Vec<u16> = seen.chunks(PEERS.into()).map(|message| message[0].1 - PORT).collect();
    assert_eq!(first, [1, 2, 3, 4, 5, 6]);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), usize::from(PEERS) * lens.len(), "each message to each peer once");
}

#[test]
fn frames_of_ipv4_are_what_an_independent_parser_writes() {
    check("10.9.0.2".parse().expect("an address"), [1, 2, 128, 1399, 1400, 1472]);
}

#[test]
fn frames_of_ipv6_are_what_an_independent_parser_writes() {
    check("fd09::2".parse().expect("an address"), [1, 2, 128, 1399, 1400, 1452]);
}
