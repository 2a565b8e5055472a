use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::*;

const LOOPBACKS: [SocketAddr; 2] = [
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
];

/// An egress socket bound to all addresses, and the second one at its port.
fn open(loopback: SocketAddr) -> (UdpSocket, UdpSocket) {
    let any: SocketAddr = match loopback {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let (egress, _) = egress(any, 1 << 16).expect("a socket");
    let (answers, _) = answers(&egress, 1 << 20).expect("a second socket");
    (egress, answers)
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("an address").port()
}

fn wait_for_datagrams(socket: &UdpSocket) {
    socket.set_nonblocking(false).expect("blocking");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
}

#[test]
fn all_that_is_sent_to_the_egress_socket_arrives_at_the_second() {
    for loopback in LOOPBACKS {
        let (egress, answers) = open(loopback);
        assert_eq!(answers.local_addr().ok(), egress.local_addr().ok());
        let nothing = answers.recv(&mut [0; 8]).expect_err("nothing was sent");
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        wait_for_datagrams(&answers);
        let to = SocketAddr::new(loopback.ip(), port(&egress));
        for source in 0..50 {
            let from = UdpSocket::bind(loopback).expect("a port");
            for n in 0..4 {
                assert_eq!(from.send_to(&[source, n], to).ok(), Some(2));
            }
            for n in 0..4 {
                let mut buffer = [0; 8];
                assert_eq!(
                    answers.recv_from(&mut buffer).ok(),
                    Some((2, from.local_addr().expect("an address")))
                );
                assert_eq!(buffer[..2], [source, n]);
            }
        }
        let nothing = egress.recv(&mut [0; 8]).expect_err("all has arrived at the other");
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn what_the_egress_socket_sends_comes_from_the_port_that_answers_go_to() {
    for loopback in LOOPBACKS {
        let (egress, answers) = open(loopback);
        let peer = UdpSocket::bind(loopback).expect("a port");
        wait_for_datagrams(&peer);
        egress.send_to(b"x", peer.local_addr().expect("an address")).expect("sent");
        let (_, from) = peer.recv_from(&mut [0; 8]).expect("a datagram");
        assert_eq!(from, SocketAddr::new(loopback.ip(), port(&answers)));
    }
}

#[test]
fn no_two_pairs_are_at_one_port() {
    for loopback in LOOPBACKS {
        let pairs: Vec<_> = (0..50).map(|_| open(loopback)).collect();
        let mut ports: Vec<_> = pairs.iter().map(|(egress, _)| port(egress)).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), pairs.len());
    }
}

#[test]
fn without_the_second_socket_the_first_receives_again() {
    let loopback = LOOPBACKS[0];
    let (egress, answers) = open(loopback);
    drop(answers);
    wait_for_datagrams(&egress);
    let from = UdpSocket::bind(loopback).expect("a port");
    from.send_to(b"x", SocketAddr::new(loopback.ip(), port(&egress))).expect("sent");
    assert_eq!(egress.recv(&mut [0; 8]).ok(), Some(1));
}
