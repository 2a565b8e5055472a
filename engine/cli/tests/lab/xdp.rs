//! A publisher whose messages go out as frames, by AF_XDP, while the network under it changes.

mod publishing;
mod refused;
mod together;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use headcast::{Backend, Mode, Publisher};

use crate::support::{Lab, Pods, now, until_within};
use publishing::Publishing;

/// How long the kernel may take for what it does by timers, and what waits for that.
const SETTLED: Duration = Duration::from_secs(20);

fn addresses(lab: &Lab, ipv6: bool) -> Vec<IpAddr> {
    let lines = if ipv6 { lab.run("addresses") + &lab.run("addresses --ipv6") } else { lab.run("addresses") };
    lines.split_whitespace().map(|line| line.parse().expect("an address")).collect()
}

fn peers(addresses: &[IpAddr]) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(*address, 12_000)).collect()
}

/// Each message once, by frames where that can be.
fn publisher(addresses: &[IpAddr]) -> headcast::PublisherBuilder {
    Publisher::builder().peers(peers(addresses)).publisher_id(1).mode(Mode::Once).backend(Backend::Xdp)
}

/// Runs `ip` in the publisher's or another namespace.
fn ip(lab: &Lab, place: &str, line: &str) {
    let output = lab.output(place, "ip", line);
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn sysctl(lab: &Lab, place: &str, settings: &[&str]) {
    for setting in settings {
        let output = lab.output(place, "sysctl", &format!("-qw {setting}"));
        assert!(output.status.success(), "{setting}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_pod_gets_every_message_once_and_all_of_them_by_frames_once_the_next_hops_are_known() {
    let lab = Lab::up("--pods 20 --ipv6 --no-records");
    let addresses = addresses(&lab, true);
    assert_eq!(addresses.len(), 40);
    let pods = Pods::start(&lab, addresses.clone());
    let publishing = Publishing::start(&lab, publisher(&addresses));
    publishing.until_framed(40);
    let framed = publishing.framed();
    publishing.until_framed_datagrams(framed + 40 * 500);
    let done = publishing.stop();
    assert!(done.count("sent_xdp") >= 40 * 500, "{:?}", done.counters);
    for name in ["rejected", "transient", "quarantined"] {
        assert_eq!(done.count(name), 0, "{name}");
    }
    for pod in pods.stop() {
        pod.assert_got(0..done.messages);
    }
}

#[test]
fn what_does_not_fit_into_a_frame_goes_to_all_by_the_socket() {
    let lab = Lab::up("--pods 3 --no-records");
    let addresses = addresses(&lab, false);
    let sockets: Vec<_> = peers(&addresses)
        .into_iter()
        .map(|peer| lab.thread("pods", move || std::net::UdpSocket::bind(peer).expect("a socket")))
        .map(|thread| thread.join().expect("no panic"))
        .collect();
    let builder = publisher(&addresses).raw(true).datagram_max(3_000);
    let sizes = [1, 2, 1471, 1472, 1473, 2_999];
    let counts = lab.thread("publisher", move || {
        let mut publisher = builder.build().expect("a publisher");
        publisher.wait_for_peers(SETTLED).expect("peers");
        // Until the next hops are known messages go by the socket, which is how they become known.
        let deadline = now() + SETTLED;
        while publisher.monitor().status().frames.is_none_or(|frames| frames.peers < 3) {
            assert!(now() < deadline, "the next hops become known");
            publisher.publish(b"").expect("published");
            publisher.turn(Some(Duration::from_millis(10))).expect("a turn");
        }
        publisher.turn(Some(Duration::ZERO)).expect("a turn");
        sizes.map(|len| {
            let before = publisher.counters().sent_xdp.get();
            publisher.publish(&vec![0x5a; len]).expect("published");
            publisher.counters().sent_xdp.get() - before
        })
    });
    assert_eq!(counts.join().expect("no panic"), [3, 3, 3, 3, 0, 0]);
    for socket in sockets {
        socket.set_read_timeout(Some(SETTLED)).expect("set");
        let mut buffer = [0; 4_096];
        let mut lens =
            std::iter::repeat_with(|| socket.recv(&mut buffer).expect("it arrives")).filter(|len| *len > 0);
        assert_eq!(lens.by_ref().take(sizes.len()).collect::<Vec<_>>(), sizes);
    }
}

#[test]
fn nothing_is_lost_while_the_route_moves_to_another_interface_and_back() {
    let lab = Lab::up("--pods 10 --no-records");
    // A second link between the same two.
    ip(&lab, "publisher", "link add eth1 type veth peer name other");
    let pods_namespace = lab.namespace("pods");
    ip(&lab, "publisher", &format!("link set other netns {pods_namespace}"));
    for (place, device, address) in [("publisher", "eth1", "10.79.0.1/24"), ("pods", "other", "10.79.0.2/24")]
    {
        ip(&lab, place, &format!("link set {device} up"));
        ip(&lab, place, &format!("address add {address} dev {device}"));
    }
    let addresses = addresses(&lab, false);
    let pods = Pods::start(&lab, addresses.clone());
    let publishing = Publishing::start(&lab, publisher(&addresses));
    for (route, interface) in [
        ("10.77.0.0/16 via 10.79.0.2", "eth1"),
        ("10.77.0.0/16 via 10.78.0.20", "eth0"),
        ("10.77.0.0/16 via 10.79.0.2", "eth1"),
    ] {
        publishing.until_framed(10);
        let framed = publishing.framed();
        publishing.until_framed_datagrams(framed + 1_000);
        ip(&lab, "publisher", &format!("route replace {route}"));
        publishing.until_framed_by(interface, 10);
    }
    // Half of them apart from the others: the lane is for those that are most.
    ip(&lab, "publisher", "route add 10.77.0.8/30 via 10.78.0.20");
    publishing.until_framed_by("eth1", 7);
    let framed = publishing.framed();
    publishing.until_framed_datagrams(framed + 1_000);
    let done = publishing.stop();
    for pod in pods.stop() {
        pod.assert_got(0..done.messages);
    }
}

#[test]
fn a_next_hop_whose_hardware_address_changes_silently_is_found_out_as_soon_as_the_kernel_would() {
    let lab = Lab::up("--pods 5 --no-records");
    // By default the kernel takes up to 45 s for the first, 5 s and 3 s for the others.
    sysctl(
        &lab,
        "publisher",
        &[
            "net.ipv4.neigh.eth0.base_reachable_time_ms=1000",
            "net.ipv4.neigh.eth0.delay_first_probe_time=1",
            "net.ipv4.neigh.eth0.retrans_time_ms=100",
        ],
    );
    let addresses = addresses(&lab, false);
    let pods = Pods::start(&lab, addresses.clone());
    let publishing = Publishing::start(&lab, publisher(&addresses));
    publishing.until_framed(5);
    let framed = publishing.framed();
    // Long enough for the neighbour to go stale and to be confirmed, more than once.
    publishing.until_framed_datagrams(framed + 5 * 4_000);
    let changed = now();
    ip(&lab, "pods", "link set eth0 address 02:00:00:00:00:77");
    until_within("the new address is known", SETTLED, || {
        let neighbours = lab.output("publisher", "ip", "neighbour show 10.78.0.20");
        String::from_utf8_lossy(&neighbours.stdout).contains("02:00:00:00:00:77")
    });
    let took = now() - changed;
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    publishing.until_framed(5);
    let framed = publishing.framed();
    publishing.until_framed_datagrams(framed + 500);
    // From here on nothing is lost.
    let healed = publishing.messages();
    publishing.until_framed_datagrams(framed + 5_000);
    let done = publishing.stop();
    assert!(done.messages > healed + 100);
    for pod in pods.stop() {
        let late = pod.numbers.iter().filter(|number| **number >= healed).count() as u64;
        assert_eq!(late, done.messages - healed, "every message since the new address was known");
        let early = pod.numbers.iter().filter(|number| **number < healed).count() as u64;
        assert!(early < healed, "the change was real: some were lost meanwhile");
    }
}

#[test]
fn a_hardware_address_that_is_announced_is_used_at_once() {
    let lab = Lab::up("--pods 5 --no-records");
    sysctl(&lab, "pods", &["net.ipv4.conf.eth0.arp_notify=1"]);
    let addresses = addresses(&lab, false);
    let pods = Pods::start(&lab, addresses.clone());
    let publishing = Publishing::start(&lab, publisher(&addresses));
    publishing.until_framed(5);
    let before = publishing.messages();
    ip(&lab, "pods", "link set eth0 address 02:00:00:00:00:78");
    publishing.until_messages(before + 2_000);
    let done = publishing.stop();
    for pod in pods.stop() {
        let got = pod.numbers.len() as u64;
        // A second's worth of messages at the most, out of an entry's lifetime of 30.
        assert!(done.messages - got < 1_000, "{got} of {} messages", done.messages);
        let last = *pod.numbers.iter().max().expect("some");
        assert_eq!(last, done.messages - 1);
    }
}

#[test]
fn an_interface_that_goes_down_and_up_again_carries_frames_again() {
    let lab = Lab::up("--pods 5 --no-records");
    let addresses = addresses(&lab, false);
    let pods = Pods::start(&lab, addresses.clone());
    let publishing = Publishing::start(&lab, publisher(&addresses));
    publishing.until_framed(5);
    let framed = publishing.framed();
    publishing.until_framed_datagrams(framed + 500);
    ip(&lab, "publisher", "link set eth0 down");
    publishing.until_unframed();
    ip(&lab, "publisher", "link set eth0 up");
    ip(&lab, "publisher", "route add 10.77.0.0/16 via 10.78.0.20");
    publishing.until_framed(5);
    let framed = publishing.framed();
    publishing.until_framed_datagrams(framed + 500);
    let healed = publishing.messages();
    publishing.until_framed_datagrams(framed + 2_000);
    let done = publishing.stop();
    for pod in pods.stop() {
        let late = pod.numbers.iter().filter(|number| **number >= healed).count() as u64;
        assert_eq!(late, done.messages - healed, "every message since the interface is up again");
    }
}
