//! What is sent arrives, as ordinary sockets, the kernel's checksums and an independent parser see it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use headcast_udp::{Lane, Outcome, Routes, Template, Way, Xdp, XdpError};

use crate::network::Network;

pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const PORT: u16 = 12_000;

/// Frames from here to these peers, all by one interface.
pub(crate) struct Sender {
    pub(crate) xdp: Xdp,
    pub(crate) lane: Lane,
    pub(crate) ways: Vec<Way>,
}

impl Sender {
    /// To be made in the sender's namespace, once the next hops are known.
    pub(crate) fn open(peers: &[SocketAddr]) -> Self {
        let mut routes = Routes::open().expect("routes");
        let ways = routes.look_up(peers, [PORT, PORT]).expect("looked up");
        let ways: Vec<Way> = ways.into_iter().map(|way| way.expect("a way")).collect();
        let template = |(peer, way): (&SocketAddr, &Way)| {
            Template::new(SocketAddr::new(way.source, PORT), *peer, &way.hop).expect("one family")
        };
        let lane = Lane::new(peers.iter().zip(&ways).map(template));
        let (_, queues) = routes.interface(ways[0].interface).expect("an interface");
        let xdp = Xdp::open(ways[0].interface, queues, 1 << 20).expect("a socket for frames");
        Self { xdp, lane, ways }
    }

    pub(crate) fn send(&mut self, datagram: &[u8]) {
        self.lane.begin(true);
        let progress = self.lane.flush(&mut self.xdp, datagram);
        assert_eq!((progress.outcome, progress.sent), (Outcome::Done, self.lane.len()), "{progress:?}");
    }
}

/// Has the kernel learn the next hop, by sending there.
pub(crate) fn resolve(network: &Network, peers: &[SocketAddr]) {
    let peers = peers.to_vec();
    network.within("sender", move || {
        for peer in peers {
            let any: IpAddr = if peer.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
            let socket = UdpSocket::bind((any, 0)).expect("a socket");
            // To a port where nobody listens, or somebody who does not mind.
            socket.send_to(b"", SocketAddr::new(peer.ip(), 9)).expect("sent");
            let mut routes = Routes::open().expect("routes");
            until("the next hop is known", || {
                routes.read_neighbours().expect("read");
                routes.look_up(&[peer], [PORT, PORT]).expect("looked up")[0].is_some()
            });
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "tests wait for the kernel")]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} within {SOON:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn receiver(network: &Network, at: &str) -> UdpSocket {
    let address = format!("{at}:{PORT}");
    let socket = network.within("receiver", || UdpSocket::bind(address).expect("a socket"));
    socket.set_read_timeout(Some(SOON)).expect("set");
    socket
}

pub(crate) fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 7 + len) % 256).expect("a byte")).collect()
}

#[test]
fn datagrams_of_every_length_up_to_the_mtu_arrive_and_no_checksum_is_wrong() {
    let network = Network::up();
    let peers: [SocketAddr; 2] = ["10.9.0.2:12000", "[fd09::2]:12000"].map(|peer| peer.parse().expect("one"));
    let sockets = [receiver(&network, "10.9.0.2"), receiver(&network, "[fd09::2]")];
    resolve(&network, &peers);
    for (peer, socket) in peers.into_iter().zip(sockets) {
        network.within("sender", move || {
            let mut sender = Sender::open(&[peer]);
            let longest = sender.lane.payload_max();
            assert_eq!(longest, if peer.is_ipv4() { 1472 } else { 1452 });
            let mut buffer = [0; 2048];
            for len in 0..=longest {
                sender.send(&payload(len));
                let (received, from) = socket.recv_from(&mut buffer).expect("it arrives");
                assert_eq!(buffer[..received], payload(len), "{len} bytes");
                assert_eq!(from, SocketAddr::new(sender.ways[0].source, PORT));
            }
        });
    }
    for name in ["UdpInCsumErrors", "Udp6InCsumErrors", "IpInHdrErrors", "UdpInErrors", "Udp6InErrors"] {
        assert_eq!(network.count(name), 0, "{name}");
    }
}

#[test]
fn the_receiving_kernel_verifies_the_checksums_of_what_is_sent_so() {
    // What the test above relies on: when a byte of the payload is another, the kernel drops the datagram.
    let network = Network::up();
    let peer: SocketAddr = "10.9.0.2:12000".parse().expect("one");
    let socket = receiver(&network, "10.9.0.2");
    resolve(&network, &[peer]);
    network.exec("receiver", "nft add table netdev garble");
    network.exec(
        "receiver",
        "nft add chain netdev garble in { type filter hook ingress device in priority 0 ; }",
    );
    network.exec("receiver", "nft add rule netdev garble in udp dport 12000 @th,64,8 0x77 @th,64,8 set 0x78");
    network.within("sender", move || {
        let mut sender = Sender::open(&[peer]);
        sender.send(b"wrong");
        sender.send(b"right");
    });
    let mut buffer = [0; 16];
    assert_eq!(socket.recv(&mut buffer).expect("it arrives"), 5);
    assert_eq!((&buffer[..5], network.count("UdpInCsumErrors")), (&b"right"[..], 1));
}

#[test]
fn an_interface_of_a_vlan_tags_the_frames_itself() {
    let network = Network::up();
    if !network.has_vlans() {
        // Nothing else can stand in for it.
        eprintln!("NOT TESTED: this kernel has no VLAN devices (CONFIG_VLAN_8021Q)");
        return;
    }
    network.ip("sender", "link add link out name out.7 type vlan id 7");
    network.ip("receiver", "link add link in name in.7 type vlan id 7");
    network.address("sender", "out.7", 8, 1);
    network.address("receiver", "in.7", 8, 2);
    let peers: [SocketAddr; 2] = ["10.8.0.2:12000", "[fd08::2]:12000"].map(|peer| peer.parse().expect("one"));
    let sockets = [receiver(&network, "10.8.0.2"), receiver(&network, "[fd08::2]")];
    resolve(&network, &peers);
    network.within("sender", move || Sender::open(&peers).send(b"tagged"));
    for socket in sockets {
        let mut buffer = [0; 16];
        assert_eq!(socket.recv(&mut buffer).expect("it arrives"), 6);
        assert_eq!(&buffer[..6], b"tagged");
    }
}

#[test]
fn frames_go_through_the_interfaces_own_way_of_sending() {
    // What the test above relies on, with a bridge instead of a VLAN: the interface is none that has a wire.
    let network = Network::up();
    network.ip("sender", "link add bridge type bridge");
    network.ip("sender", "link set out master bridge");
    network.address("sender", "bridge", 8, 1);
    network.address("receiver", "in", 8, 2);
    let peers: [SocketAddr; 2] = ["10.8.0.2:12000", "[fd08::2]:12000"].map(|peer| peer.parse().expect("one"));
    let sockets = [receiver(&network, "10.8.0.2"), receiver(&network, "[fd08::2]")];
    resolve(&network, &peers);
    network.within("sender", move || Sender::open(&peers).send(b"bridged"));
    for socket in sockets {
        assert_eq!(socket.recv(&mut [0; 16]).expect("it arrives"), 7);
    }
}

#[test]
fn a_message_to_all_takes_one_call_and_who_is_left_out_gets_none() {
    let network = Network::up();
    let peers: Vec<SocketAddr> =
        (0..100).map(|at| SocketAddr::new([10, 9, 0, 2].into(), PORT + at)).collect();
    resolve(&network, &peers[..1]);
    let sockets: Vec<UdpSocket> = network.within("receiver", {
        let peers = peers.clone();
        move || peers.iter().map(|peer| UdpSocket::bind(peer).expect("a socket")).collect()
    });
    network.within("sender", move || {
        let mut sender = Sender::open(&peers);
        let mut pass = |message: &[u8]| {
            sender.lane.begin(true);
            let progress = sender.lane.flush(&mut sender.xdp, message);
            assert_eq!((progress.outcome, progress.transient), (Outcome::Done, 0));
            // Linux before 6.17 takes 32 a call.
            assert!(progress.calls == 1 || progress.calls == progress.sent.div_ceil(32), "{progress:?}");
            sender.lane.leave_out(|at| at % 3 == 0);
            (progress.sent, sender.lane.left_out())
        };
        assert_eq!(pass(b"to all"), (100, 34));
        assert_eq!(pass(b"to some"), (66, 34));
        sender.lane.leave_out(|_| true);
        sender.lane.begin(true);
        let nobody = sender.lane.flush(&mut sender.xdp, b"to nobody");
        assert_eq!((nobody.outcome, nobody.sent, nobody.calls), (Outcome::Done, 0, 0));
        sender.lane.leave_out(|_| false);
        sender.send(b"again to all");
    });
    for (at, socket) in sockets.iter().enumerate() {
        socket.set_read_timeout(Some(SOON)).expect("set");
        let mut lens = vec![6, 7, 12];
        if at % 3 == 0 {
            lens.remove(1);
        }
        for len in lens {
            assert_eq!(socket.recv(&mut [0; 16]).expect("it arrives"), len, "peer {at}");
        }
    }
}

#[test]
fn more_peers_than_frames_are_sent_to_in_one_pass() {
    let network = Network::up();
    let peers: Vec<SocketAddr> =
        (0..5000).map(|at| SocketAddr::new([10, 9, 0, 2].into(), 20_000 + at)).collect();
    resolve(&network, &peers[..1]);
    let last: SocketAddr = peers[4999];
    let last = network.within("receiver", move || UdpSocket::bind(last).expect("a socket"));
    last.set_read_timeout(Some(SOON)).expect("set");
    network.within("sender", move || {
        let mut sender = Sender::open(&peers);
        assert!(peers.len() > sender.xdp.frames() as usize);
        sender.send(b"to all");
        assert_eq!(sender.xdp.in_flight(), 0);
    });
    assert_eq!(last.recv(&mut [0; 16]).expect("it arrives"), 6);
}

#[test]
fn an_interface_that_goes_down_says_who_was_not_sent_to() {
    let network = Network::up();
    let peers: Vec<SocketAddr> = (0..4).map(|at| SocketAddr::new([10, 9, 0, 2].into(), PORT + at)).collect();
    resolve(&network, &peers);
    let opened = peers.clone();
    let mut sender = network.within("sender", move || Sender::open(&opened));
    network.ip("sender", "link set out down");
    sender.lane.leave_out(|at| at == 2);
    sender.lane.begin(true);
    let progress = sender.lane.flush(&mut sender.xdp, b"nowhere");
    assert!(matches!(progress.outcome, Outcome::Fatal(_)) && progress.sent == 0, "{progress:?}");
    let mut left = Vec::new();
    sender.lane.give_up(&sender.xdp, |at| left.push(at));
    assert_eq!(left, [1, 3, 0]);
}

#[test]
fn a_queue_has_one_socket_and_a_second_is_told_so() {
    let network = Network::up();
    let peer: SocketAddr = "10.9.0.2:12000".parse().expect("one");
    resolve(&network, &[peer]);
    network.within("sender", move || {
        let sender = Sender::open(&[peer]);
        let interface = sender.xdp.interface();
        assert_eq!(Xdp::open(interface, 1, 1 << 20).err(), Some(XdpError::Busy));
        drop(sender);
        Xdp::open(interface, 1, 1 << 20).expect("it is free again");
        assert!(matches!(Xdp::open(interface + 1000, 1, 1 << 20), Err(XdpError::Interface(_))));
    });
}
