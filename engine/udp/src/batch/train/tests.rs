use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use super::*;
use crate::batch::CALL_MAX;

fn receivers(n: usize) -> Vec<UdpSocket> {
    let listen = |_| {
        let any = "127.0.0.1:0".parse().expect("an address");
        crate::ingress(any, 4 << 20).expect("a socket").0
    };
    let mut sockets: Vec<UdpSocket> = (0..n).map(listen).collect();
    sockets.sort_by_key(|socket| socket.local_addr().expect("an address"));
    sockets
}

fn batch(sockets: &[UdpSocket]) -> Batch {
    let addresses: Vec<SocketAddr> =
        sockets.iter().map(|socket| socket.local_addr().expect("an address")).collect();
    Batch::new(&addresses, CALL_MAX)
}

fn egress() -> UdpSocket {
    crate::egress("127.0.0.1:0".parse().expect("an address"), 4 << 20).expect("a socket").0
}

fn without_checksums(socket: &UdpSocket) {
    let (fd, on) = (socket.as_raw_fd(), 1i32);
    // SAFETY: the option is an int, which is borrowed for the call; the descriptor is open.
    let set = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_NO_CHECK, (&raw const on).cast(), 4) };
    assert_eq!(set, 0);
}

/// `count` datagrams of `len` bytes and one of `last`, each of other bytes.
fn datagrams(count: u8, len: usize, last: usize) -> Vec<Vec<u8>> {
    let lens = (0..count).map(|_| len).chain([last]);
    lens.zip(1..).map(|(len, byte): (usize, u8)| vec![byte; len]).collect()
}

fn send(batch: &mut Batch, socket: &UdpSocket, datagrams: &[Vec<u8>]) -> TrainProgress {
    batch.begin_train(0, true, datagrams.len());
    batch.flush_train(socket.as_fd(), datagrams.iter().map(Vec::as_slice), 0)
}

fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 65_536];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())).collect()
}

#[test]
fn every_peer_gets_the_datagrams_of_a_train_as_they_were() {
    let (sockets, socket) = (receivers(3), egress());
    let mut batch = batch(&sockets);
    let most = crate::Capabilities::probe_train();
    assert!(most >= 64, "this kernel cuts trains up");
    let most = u8::try_from(most).expect("at most 128");
    for (count, len, last) in
        [(1, 1, 1), (1, 1_392, 1), (46, 1_392, 1_392), (46, 1_392, 1_475), (63, 168, 168), (most - 1, 168, 5)]
    {
        let last = last.min(len);
        let train = datagrams(count, len, last);
        let done = send(&mut batch, &socket, &train);
        let sent = 3 * train.len();
        let progress = Progress { sent, rejected: 0, transient: 0, calls: 1, outcome: Outcome::Done };
        assert_eq!(done, TrainProgress { progress, trains: 3, refused: 0 }, "{count} x {len}, {last}");
        for receiver in &sockets {
            assert_eq!(received(receiver), train);
        }
    }
    assert_eq!(batch.refusing(), 0);
}

#[test]
fn single_datagrams_and_trains_take_turns() {
    let (sockets, socket) = (receivers(2), egress());
    let mut batch = batch(&sockets);
    for round in 0..6u8 {
        batch.begin(0, true);
        assert_eq!(batch.flush(socket.as_fd(), &[round; 700], 0).sent, 2);
        let train = datagrams(round % 3 + 1, 50, 9);
        assert_eq!(send(&mut batch, &socket, &train).trains, 2);
        for receiver in &sockets {
            let mut datagrams = received(receiver);
            assert_eq!(datagrams.remove(0), [round; 700], "a single one is not cut up");
            assert_eq!(datagrams, train);
        }
    }
}

#[test]
fn another_peer_is_first_each_time() {
    let sockets = receivers(3);
    let mut batch = batch(&sockets);
    let socket = egress();
    let mut firsts = Vec::new();
    for _ in 0..4 {
        batch.begin_train(0, true, 2);
        firsts.push(batch.first);
        batch.flush_train(socket.as_fd(), [&b"a"[..], b"b"].into_iter(), 0);
    }
    assert_eq!(firsts, [1, 2, 0, 1]);
}

#[test]
fn where_the_kernel_refuses_a_train_its_datagrams_go_one_by_one() {
    let (sockets, socket) = (receivers(9), egress());
    let mut batch = batch(&sockets);
    let train = datagrams(3, 100, 40);
    // Without checksums there is no segmentation offload: EINVAL.
    without_checksums(&socket);
    let done = send(&mut batch, &socket, &train);
    let progress = done.progress;
    assert_eq!((progress.sent, progress.outcome, done.trains, done.refused), (36, Outcome::Done, 0, 9));
    assert!(sockets.iter().all(|receiver| received(receiver) == train));
    assert_eq!(batch.refusing(), 9);
    // They are not asked again, not even by another set.
    let addresses = batch.peers().addresses().to_vec();
    let mut next = Batch::new(&addresses[1..], CALL_MAX);
    next.inherit(&batch);
    let done = send(&mut next, &socket, &train);
    assert_eq!((done.progress.sent, done.progress.calls, done.refused), (32, 32, 0));
    assert_eq!(next.refusing(), 8);
}

#[test]
fn a_refusal_half_way_changes_nothing_for_the_others() {
    let (sockets, socket) = (receivers(9), egress());
    for refusing in 0..9 {
        let mut batch = batch(&sockets);
        batch.peers().refuse(refusing);
        batch.mark_dirty_if(true);
        for round in 0..3 {
            let train = datagrams(4 + round, 30, 30);
            let done = send(&mut batch, &socket, &train);
            assert_eq!((done.progress.sent, done.trains, done.refused), (9 * train.len(), 8, 0));
            assert!(sockets.iter().all(|receiver| received(receiver) == train));
        }
        assert_eq!(batch.refusing(), 1);
    }
}

#[test]
fn a_peer_that_is_refused_altogether_is_left_out() {
    let sockets = receivers(3);
    let socket = egress();
    // Nothing is sent to port 0: EINVAL, for a train and for a datagram.
    let mut peers: Vec<SocketAddr> = addresses_of(&sockets);
    peers.insert(0, "127.0.0.1:0".parse().expect("an address"));
    let mut batch = Batch::new(&peers, CALL_MAX);
    for pass in 1..=4 {
        let train = datagrams(2, 60, 60);
        batch.begin_train(pass * 10_000_000, true, 3);
        let done =
            batch.flush_train(socket.as_fd(), train.iter().map(Vec::as_slice), pass * 10_000_000).progress;
        let rejected = if pass < 4 { 3 } else { 0 };
        assert_eq!((done.sent, done.rejected, done.outcome), (9, rejected, Outcome::Done), "pass {pass}");
        assert!(sockets.iter().all(|receiver| received(receiver) == train));
    }
    assert_eq!(batch.quarantined(), 1);
}

fn addresses_of(sockets: &[UdpSocket]) -> Vec<SocketAddr> {
    sockets.iter().map(|socket| socket.local_addr().expect("an address")).collect()
}
