use std::net::UdpSocket;
use std::os::fd::AsFd;

use super::*;

fn receivers(n: usize) -> Vec<UdpSocket> {
    let mut sockets: Vec<_> = (0..n)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            socket.set_nonblocking(true).expect("non-blocking");
            socket
        })
        .collect();
    sockets.sort_by_key(|socket| socket.local_addr().expect("an address"));
    sockets
}

fn addresses(sockets: &[UdpSocket]) -> Vec<SocketAddr> {
    sockets.iter().map(|socket| socket.local_addr().expect("an address")).collect()
}

fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())).collect()
}

fn egress() -> UdpSocket {
    crate::egress("127.0.0.1:0".parse().expect("an address"), 1 << 20).expect("a socket").0
}

#[test]
fn every_peer_gets_every_message_once() {
    for n in [1, 2, 7] {
        let sockets = receivers(n);
        let mut batch = Batch::new(&addresses(&sockets), CALL_MAX);
        let socket = egress();
        for message in [&b"one"[..], b"two", b""] {
            batch.begin(0, true);
            let progress = batch.flush(socket.as_fd(), message, 0);
            let calls = 1;
            assert_eq!(
                progress,
                Progress { sent: n, rejected: 0, transient: 0, calls, outcome: Outcome::Done }
            );
        }
        for receiver in &sockets {
            assert_eq!(received(receiver), [&b"one"[..], b"two", b""]);
        }
    }
}

#[test]
fn more_peers_than_a_call_takes_need_more_calls() {
    let sockets = receivers(5);
    let mut batch = Batch::new(&addresses(&sockets), 2);
    batch.begin(0, true);
    let progress = batch.flush(egress().as_fd(), b"x", 0);
    assert_eq!((progress.sent, progress.calls), (5, 3));
    assert!(sockets.iter().all(|receiver| received(receiver).len() == 1));
}

#[test]
fn twenty_five_hundred_peers_take_three_calls() {
    let any = "0.0.0.0:0".parse().expect("an address");
    let (receiver, _) = crate::ingress(any, 4 << 20).expect("a socket");
    let port = receiver.local_addr().expect("an address").port();
    // All of 127.0.0.0/8 is this host.
    let peers: Vec<_> =
        (0..2_500u32).map(|n| SocketAddr::from(((0x7f01_0000 + n).to_be_bytes(), port))).collect();
    let mut batch = Batch::new(&peers, CALL_MAX);
    batch.begin(0, true);
    let progress = batch.flush(egress().as_fd(), b"x", 0);
    assert_eq!((progress.sent, progress.calls, progress.outcome), (2_500, 3, Outcome::Done));
    assert_eq!(received(&receiver).len(), 2_500);
}

#[test]
fn another_peer_is_first_each_time() {
    let sockets = receivers(3);
    let mut batch = Batch::new(&addresses(&sockets), CALL_MAX);
    let firsts: Vec<_> = (0..6)
        .map(|_| {
            batch.begin(0, true);
            batch.memory.peer_of(batch.first)
        })
        .collect();
    assert_eq!(firsts, [1, 2, 0, 1, 2, 0]);
}

#[test]
fn later_copies_go_out_in_the_order_of_the_first() {
    let sockets = receivers(4);
    let mut batch = Batch::new(&addresses(&sockets), CALL_MAX);
    let firsts: Vec<_> = (0..8)
        .map(|pass| {
            batch.begin(0, pass % 2 == 0);
            batch.memory.peer_of(batch.first)
        })
        .collect();
    assert_eq!(firsts, [1, 1, 2, 2, 3, 3, 0, 0], "with two copies and four peers everybody is first once");
}

/// Port 0 is an address that the kernel will not send to: EINVAL.
#[test]
fn a_bad_peer_is_skipped_counted_and_quarantined_and_the_others_get_all() {
    let sockets = receivers(4);
    let bad: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let mut peers = addresses(&sockets);
    peers.insert(0, bad);
    let mut batch = Batch::new(&peers, CALL_MAX);
    let socket = egress();
    let mut rejected = Vec::new();
    for now_ns in (0..6).map(|pass| pass * 6_000_000) {
        batch.begin(now_ns, true);
        let progress = batch.flush(socket.as_fd(), b"x", now_ns);
        assert_eq!((progress.sent, progress.outcome), (4, Outcome::Done));
        rejected.push(progress.rejected);
    }
    assert_eq!(rejected, [1, 1, 1, 0, 0, 0]);
    assert_eq!(batch.quarantined(), 1);
    let failures: Vec<_> = batch.peers().failures().collect();
    assert_eq!(failures.len(), 1);
    assert_eq!((failures[0].peer, failures[0].rejected, failures[0].errno), (bad, 3, Errno::EINVAL));
    assert!(sockets.iter().all(|receiver| received(receiver).len() == 6));

    // The quarantine ends, the probe fails, and it begins again.
    batch.begin(1_000_000_000, true);
    assert_eq!(batch.flush(socket.as_fd(), b"x", 1_000_000_000).rejected, 1);
    batch.begin(1_000_000_001, true);
    assert_eq!(batch.quarantined(), 1);
}

#[test]
fn a_new_batch_inherits_the_quarantine() {
    let sockets = receivers(2);
    let mut peers = addresses(&sockets);
    peers.insert(0, "127.0.0.1:0".parse().expect("an address"));
    let mut old = Batch::new(&peers, CALL_MAX);
    let socket = egress();
    for now_ns in (0..3).map(|pass| pass * 6_000_000) {
        old.begin(now_ns, true);
        old.flush(socket.as_fd(), b"x", now_ns);
    }
    let mut new = Batch::new(&peers[..2], CALL_MAX);
    new.inherit(&old);
    new.begin(10, true);
    let progress = new.flush(socket.as_fd(), b"x", 10);
    assert_eq!((progress.sent, progress.rejected, new.quarantined()), (1, 0, 1));
}

#[test]
fn one_peer_can_be_sent_to_in_the_middle_of_a_pass() {
    let sockets = receivers(4);
    let mut batch = Batch::new(&addresses(&sockets), CALL_MAX);
    let socket = egress();
    batch.begin(0, true);
    // As if the socket had been full after two.
    batch.cursor += batch.memory.send(socket.as_fd(), b"pass", batch.first, 2).expect("sent");
    for (address, digit) in addresses(&sockets).into_iter().zip([b"0", b"1", b"2", b"3"]) {
        let peer = batch.peers().position(address).expect("a peer");
        assert_eq!(batch.send_one(socket.as_fd(), digit, peer), Ok(()));
    }
    let progress = batch.flush(socket.as_fd(), b"pass", 0);
    assert_eq!((progress.sent, progress.outcome), (2, Outcome::Done));
    for (receiver, messages) in
        sockets.iter().zip([[&b"0"[..], b"pass"], [b"pass", b"1"], [b"pass", b"2"], [b"3", b"pass"]])
    {
        assert_eq!(received(receiver), messages);
    }
}

#[test]
fn a_peer_in_quarantine_can_be_sent_to_and_what_comes_of_it_is_not_booked() {
    let sockets = receivers(1);
    let mut peers = addresses(&sockets);
    peers.insert(0, "127.0.0.1:0".parse().expect("an address"));
    let mut batch = Batch::new(&peers, CALL_MAX);
    let socket = egress();
    for now_ns in (0..3).map(|pass| pass * 6_000_000) {
        batch.begin(now_ns, true);
        batch.flush(socket.as_fd(), b"x", now_ns);
        // The other one is fine, whatever the kernel says of it; it goes into quarantine all the same.
        batch.mark_dirty_if(batch.peers.reject(1, Errno::EPERM, batch.pass, now_ns));
    }
    batch.begin(13_000_000, true);
    assert_eq!(batch.quarantined(), 2);
    let failures: Vec<_> = batch.peers().failures().collect();
    assert_eq!(batch.send_one(socket.as_fd(), b"y", 0), Err(SendError::PeerRejected(Errno::EINVAL)));
    assert_eq!(batch.send_one(socket.as_fd(), b"y", 1), Ok(()));
    assert_eq!(batch.peers().failures().collect::<Vec<_>>(), failures);
    assert_eq!(received(&sockets[0]), [b"x", b"x", b"x", b"y"]);
}

#[test]
#[should_panic(expected = "one of the peers")]
fn a_peer_that_is_not_there_cannot_be_sent_to() {
    let sockets = receivers(2);
    let mut batch = Batch::new(&addresses(&sockets), CALL_MAX);
    let _ = batch.send_one(egress().as_fd(), b"x", 2);
}

#[test]
fn without_peers_a_pass_is_done_at_once() {
    let mut batch = Batch::new(&[], CALL_MAX);
    batch.begin(0, true);
    assert_eq!(batch.flush(egress().as_fd(), b"x", 0).outcome, Outcome::Done);
    assert!(batch.is_empty());
}

#[test]
fn a_socket_that_is_none_is_fatal() {
    let sockets = receivers(2);
    let mut batch = Batch::new(&addresses(&sockets), CALL_MAX);
    batch.begin(0, true);
    let file = std::fs::File::open("/dev/null").expect("/dev/null");
    assert_eq!(batch.flush(file.as_fd(), b"x", 0).outcome, Outcome::Fatal(Errno::ENOTSOCK));
}

#[test]
fn ipv6_peers_are_reached() {
    let receiver = UdpSocket::bind("[::1]:0").expect("a port");
    let address = receiver.local_addr().expect("an address");
    let mut batch = Batch::new(&[address], CALL_MAX);
    let (socket, _) = crate::egress("[::]:0".parse().expect("an address"), 1 << 16).expect("a socket");
    batch.begin(0, true);
    assert_eq!(batch.flush(socket.as_fd(), b"six", 0).sent, 1);
    assert_eq!(received_one(&receiver), b"six");
}

fn received_one(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 64];
    let len = socket.recv(&mut buffer).expect("a datagram");
    buffer[..len].to_vec()
}
