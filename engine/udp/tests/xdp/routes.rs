//! The ways are what the kernel would take, and when they change that is noticed.

use std::net::SocketAddr;

use headcast_udp::{Routes, Way};

use crate::frames::{resolve, until};
use crate::network::Network;

fn peers<const N: usize>(peers: [&str; N]) -> [SocketAddr; N] {
    peers.map(|peer| peer.parse().expect("an address"))
}

fn routes(network: &Network) -> Routes {
    network.within("sender", || Routes::open().expect("routes"))
}

/// Looks for the way to one peer.
fn way(network: &Network, mut routes: Routes, peer: SocketAddr) -> (Routes, Option<Way>) {
    network.within("sender", move || {
        let way = routes.look_up(&[peer], [1, 1]).expect("looked up")[0];
        (routes, way)
    })
}

/// Waits until the kernel has told of a change.
fn changed(network: &Network, mut routes: Routes) -> Routes {
    network.within("sender", move || {
        until("a change is noticed", || routes.update().expect("news"));
        routes
    })
}

#[test]
fn who_is_on_this_host_unknown_or_not_to_be_reached_has_no_way() {
    let network = Network::up();
    network.ip("sender", "route add blackhole 10.66.0.0/16");
    network.ip("sender", "route add 10.67.0.0/16 via 10.9.0.2");
    let peers = peers([
        "127.0.0.1:1",
        "10.9.0.1:1",
        "[::1]:1",
        "10.66.0.1:1",
        "192.0.2.1:1",
        "10.9.0.99:1",
        "[fd09::99]:1",
        "10.9.0.255:1",
        "10.67.0.5:1",
    ]);
    resolve(&network, &["10.9.0.2:1".parse().expect("one")]);
    let ways = network.within("sender", move || {
        Routes::open().expect("routes").look_up(&peers, [1, 1]).expect("looked up")
    });
    let (routed, others) = ways.split_last().expect("nine");
    assert!(others.iter().all(Option::is_none), "{others:?}");
    let routed = routed.expect("by the router");
    assert_eq!((routed.source, routed.hop.mtu), ("10.9.0.1".parse().expect("one"), 1500));
}

#[test]
fn a_hardware_address_that_changes_is_noticed() {
    let network = Network::up();
    let peers = peers(["10.9.0.2:1", "[fd09::2]:1"]);
    resolve(&network, &peers);
    let mut routes = routes(&network);
    for peer in peers {
        let before;
        (routes, before) = way(&network, routes, peer);
        assert_ne!(before.expect("a way").hop.to, [2, 0, 0, 0, 0, 9]);
        network.ip(
            "sender",
            &format!("neighbour replace {} lladdr 02:00:00:00:00:09 dev out nud reachable", peer.ip()),
        );
        routes = changed(&network, routes);
        let after;
        (routes, after) = way(&network, routes, peer);
        assert_eq!(after.expect("a way").hop.to, [2, 0, 0, 0, 0, 9]);
        network.ip("sender", &format!("neighbour delete {} dev out", peer.ip()));
        routes = changed(&network, routes);
        let gone;
        (routes, gone) = way(&network, routes, peer);
        assert_eq!(gone, None);
    }
}

#[test]
fn a_next_hop_that_nobody_confirms_waits_for_the_socket() {
    let network = Network::up();
    let [peer] = peers(["10.9.0.2:1"]);
    resolve(&network, &[peer]);
    let mut routes = routes(&network);
    let confirmed;
    (routes, confirmed) = way(&network, routes, peer);
    assert!(confirmed.is_some() && !routes.is_stale() && routes.stale().is_empty());
    network.ip("sender", "neighbour change 10.9.0.2 dev out nud stale");
    routes = changed(&network, routes);
    let stale;
    (routes, stale) = way(&network, routes, peer);
    assert!(stale.is_none() && routes.is_stale());
    assert_eq!(routes.stale(), [confirmed.expect("a way").interface]);
    // The IP stack sends there once: the kernel begins to ask, and the way is good meanwhile.
    let asked = network.within("sender", move || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.send_to(b"hello", peer).expect("sent");
        routes.read_neighbours().expect("read");
        (routes.look_up(&[peer], [1, 1]).expect("looked up")[0], routes.is_stale())
    });
    assert_eq!(asked, (confirmed, false));
}

#[test]
fn a_route_and_an_interface_that_change_are_noticed() {
    let network = Network::up();
    network.ip("sender", "link add second type veth peer name other");
    network.address("sender", "second", 7, 1);
    network.ip("sender", "link set other up");
    network.ip("sender", "neighbour replace 10.7.0.2 lladdr 02:00:00:00:00:07 dev second nud permanent");
    network.ip("sender", "route add 10.50.0.0/24 via 10.9.0.2");
    let [peer] = peers(["10.50.0.1:1"]);
    resolve(&network, &["10.9.0.2:1".parse().expect("one")]);
    let mut routes = routes(&network);
    let first;
    (routes, first) = way(&network, routes, peer);
    network.ip("sender", "route replace 10.50.0.0/24 via 10.7.0.2");
    routes = changed(&network, routes);
    let second;
    (routes, second) = way(&network, routes, peer);
    let (first, second) = (first.expect("a way"), second.expect("another"));
    assert_ne!(first.interface, second.interface);
    assert_eq!((second.hop.to, second.source), ([2, 0, 0, 0, 0, 7], "10.7.0.1".parse().expect("one")));
    network.ip("sender", "link set second down");
    routes = changed(&network, routes);
    let down;
    (routes, down) = way(&network, routes, peer);
    assert_eq!(down, None);
    network.ip("sender", "route replace 10.50.0.0/24 via 10.9.0.2 mtu 1200");
    routes = changed(&network, routes);
    let (_, narrow) = way(&network, routes, peer);
    assert_eq!(narrow.expect("a way").hop.mtu, 1200);
}
