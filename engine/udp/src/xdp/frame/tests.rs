//! Frames against an independent parser, byte for byte.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;

const HOP: NextHop = NextHop { from: [2, 0, 0, 0, 0, 1], to: [2, 0, 0, 0, 0, 2], mtu: 1500, hop_limit: 64 };

fn frame(source: &str, peer: &str, payload: &[u8]) -> Vec<u8> {
    let (source, peer) = (source.parse().expect("an address"), peer.parse().expect("an address"));
    let template = Template::new(source, peer, &HOP).expect("one family");
    let mut frame = [0xaa; super::super::FRAME];
    let len = template.write(&mut frame, payload, sum(payload));
    frame[..len].to_vec()
}

fn check(source: &str, peer: &str, payload: &[u8]) {
    let frame = frame(source, peer, payload);
    let packet = SlicedPacket::from_ethernet(&frame).expect("a packet");
    let ethernet = packet.link.as_ref().and_then(|link| link.to_header()).expect("Ethernet");
    let ethernet = ethernet.ethernet2().expect("Ethernet II");
    assert_eq!((ethernet.source, ethernet.destination), (HOP.from, HOP.to));
    assert!(packet.link_exts.is_empty(), "no VLAN tag");
    let (from, to): (SocketAddr, SocketAddr) = (source.parse().expect("one"), peer.parse().expect("one"));
    let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("no UDP: {packet:?}") };
    assert_eq!((udp.source_port(), udp.destination_port()), (from.port(), to.port()));
    assert_eq!(udp.payload(), payload);
    let header = udp.to_header();
    let checksum = match packet.net.expect("an IP header") {
        NetSlice::Ipv4(ip) => {
            let ip = ip.header();
            assert_eq!(
                (IpAddr::V4(ip.source_addr()), IpAddr::V4(ip.destination_addr())),
                (from.ip(), to.ip())
            );
            assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
            assert_eq!((ip.ttl(), ip.identification(), ip.dont_fragment()), (64, 0, true));
            assert_eq!(usize::from(ip.total_len()), frame.len() - ETHERNET);
            header.calc_checksum_ipv4(&ip.to_header(), payload)
        }
        NetSlice::Ipv6(ip) => {
            let ip = ip.header();
            assert_eq!(
                (IpAddr::V6(ip.source_addr()), IpAddr::V6(ip.destination_addr())),
                (from.ip(), to.ip())
            );
            assert_eq!((ip.hop_limit(), ip.traffic_class()), (64, 0));
            assert_eq!(usize::from(ip.payload_length()), frame.len() - ETHERNET - IPV6);
            header.calc_checksum_ipv6(&ip.to_header(), payload)
        }
        NetSlice::Arp(_) => panic!("ARP"),
    };
    let checksum = checksum.expect("a checksum");
    assert_eq!(header.checksum, if checksum == 0 { u16::MAX } else { checksum });
}

proptest! {
    #[test]
    fn an_independent_parser_finds_every_field_and_checksum_right(
        payload in prop::collection::vec(any::<u8>(), 0..=1452),
        port in 1u16..,
    ) {
        check(&format!("10.0.0.1:{port}"), "10.200.255.7:12000", &payload);
        check(&format!("[fd00::1]:{port}"), "[fd00::ffff:7]:12000", &payload);
    }
}

#[test]
fn a_checksum_of_zero_is_written_as_all_ones() {
    // One word of payload goes through all values, so one of them makes the sum zero.
    let found = (0..=u16::MAX).any(|word| {
        let payload = word.to_be_bytes();
        let frame = frame("10.0.0.1:1", "10.0.0.2:2", &payload);
        assert_ne!(frame[40..42], [0, 0], "no checksum for {word}");
        frame[40..42] == [0xff, 0xff]
    });
    assert!(found);
}

#[test]
fn the_longest_payload_is_what_the_way_and_the_memory_leave() {
    let peers = [("10.0.0.1:1", "10.0.0.2:2"), ("[fd00::1]:1", "[fd00::2]:2")];
    let longest = |mtu| {
        peers.map(|(source, peer)| {
            let (source, peer) = (source.parse().expect("one"), peer.parse().expect("one"));
            Template::new(source, peer, &NextHop { mtu, ..HOP }).expect("one family").payload_max()
        })
    };
    assert_eq!(longest(1500), [1472, 1452]);
    assert_eq!(longest(20), [0, 0]);
    assert_eq!(longest(9000), [2048 - 42, 2048 - 62]);
    let mixed = Template::new("10.0.0.1:1".parse().expect("one"), "[fd00::2]:2".parse().expect("one"), &HOP);
    assert_eq!(mixed, None);
}
