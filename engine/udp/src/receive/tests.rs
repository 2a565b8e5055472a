use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::*;

fn pair(receive_buffer: usize) -> (UdpSocket, UdpSocket) {
    let (to, _) =
        crate::ingress("127.0.0.1:0".parse().expect("an address"), receive_buffer).expect("a socket");
    let from = UdpSocket::bind("127.0.0.1:0").expect("a port");
    from.connect(to.local_addr().expect("an address")).expect("connected");
    (from, to)
}

#[test]
fn many_datagrams_come_in_one_call_with_their_source() {
    let (from, to) = pair(1 << 20);
    for message in ["a", "bb", ""] {
        from.send(message.as_bytes()).expect("sent");
    }
    let mut buffers = [[0u8; 16]; 4];
    let mut batch = ReceiveBatch::new();
    assert_eq!(batch.receive(to.as_fd(), &mut buffers, 8), Ok(3));
    let source = from.local_addr().ok();
    for (at, message) in ["a", "bb", ""].iter().enumerate() {
        let meta = batch.meta(at);
        assert_eq!((meta.len, meta.from, meta.truncated), (message.len(), source, false));
        assert_eq!(&buffers[at][8..8 + meta.len], message.as_bytes());
    }
    assert_eq!(batch.receive(to.as_fd(), &mut buffers, 8), Err(Errno::EAGAIN));
}

#[test]
fn a_train_says_how_long_its_datagrams_are_and_a_datagram_alone_says_nothing() {
    let (from, to) = pair(1 << 20);
    assert!(crate::receive_trains(&to));
    from.send(&[1; 30]).expect("sent");
    let split = [ControlMessage::UdpGsoSegments(&30)];
    sendmsg::<()>(from.as_raw_fd(), &[IoSlice::new(&[2; 100])], &split, MsgFlags::empty(), None)
        .expect("sent");
    from.send(&[3; 10]).expect("sent");
    let mut batch = ReceiveBatch::new();
    let (mut buffers, mut overflows) = ([[0u8; 40]; 4], [[0u8; 80]; 4]);
    assert_eq!(batch.receive_with_overflow(to.as_fd(), &mut buffers, 0, &mut overflows), Ok(3));
    let said: Vec<_> = (0..3).map(|at| (batch.meta(at).len, batch.meta(at).segment)).collect();
    assert_eq!(said, [(30, None), (100, Some(30)), (10, None)]);
    assert_eq!((buffers[1], overflows[1][..60].to_vec()), ([2; 40], vec![2; 60]));
}

#[test]
fn a_datagram_that_is_too_long_says_so() {
    let (from, to) = pair(1 << 20);
    from.send(&[7; 100]).expect("sent");
    let mut batch = ReceiveBatch::new();
    assert_eq!(batch.receive(to.as_fd(), &mut [[0u8; 10]], 0), Ok(1));
    assert_eq!((batch.meta(0).len, batch.meta(0).truncated), (10, true));
}

/// Buffers of 8 bytes behind an offset of 4, overflows of 10, and datagrams of all lengths up to 20.
fn assert_overflow(to: BorrowedFd<'_>, source: Option<SocketAddr>, send: impl Fn(&[u8])) {
    let datagrams: Vec<Vec<u8>> = (0..=20).map(|len| (100..100 + len).collect()).collect();
    for datagram in &datagrams {
        send(datagram);
    }
    let (mut buffers, mut overflows) = ([[0u8; 12]; 30], [[0u8; 10]; 30]);
    let mut batch = ReceiveBatch::new();
    assert_eq!(batch.receive_with_overflow(to, &mut buffers, 4, &mut overflows), Ok(21));
    for (at, datagram) in datagrams.iter().enumerate() {
        let meta = batch.meta(at);
        assert_eq!((meta.len, meta.from, meta.truncated), (at.min(18), source, at > 18));
        let (near, far) = datagram[..meta.len].split_at(meta.len.min(8));
        assert_eq!((&buffers[at][..4], &buffers[at][4..4 + near.len()]), (&[0; 4][..], near));
        assert_eq!(&overflows[at][..far.len()], far);
        assert!(
            buffers[at][4 + near.len()..].iter().chain(&overflows[at][far.len()..]).all(|byte| *byte == 0)
        );
    }

    // The plain way is not confused by what the other left behind.
    send(&datagrams[20]);
    assert_eq!(batch.receive(to, &mut buffers, 4), Ok(1));
    assert_eq!((batch.meta(0).len, batch.meta(0).truncated), (8, true));
}

#[test]
fn what_does_not_fit_goes_on_in_the_overflow_of_a_udp_socket() {
    let (from, to) = pair(1 << 20);
    assert_overflow(to.as_fd(), from.local_addr().ok(), |datagram| {
        from.send(datagram).expect("sent");
    });
}

#[test]
fn what_does_not_fit_goes_on_in_the_overflow_of_a_unix_socket() {
    let (from, to) = UnixDatagram::pair().expect("a pair");
    assert_overflow(to.as_fd(), None, |datagram| {
        from.send(datagram).expect("sent");
    });
}

#[test]
fn as_many_datagrams_come_as_there_are_buffers_and_overflows() {
    let (from, to) = pair(1 << 20);
    for message in [b"a", b"b", b"c"] {
        from.send(message).expect("sent");
    }
    let mut batch = ReceiveBatch::new();
    let mut overflows = [[0u8; 4]; 3];
    assert_eq!(batch.receive_with_overflow(to.as_fd(), &mut [[0u8; 4]; 2], 0, &mut overflows), Ok(2));
    assert_eq!(batch.receive_with_overflow(to.as_fd(), &mut [[0u8; 4]; 4], 0, &mut overflows), Ok(1));
}

#[test]
fn what_the_socket_dropped_is_told() {
    let (from, to) = pair(1);
    for _ in 0..1_000 {
        from.send(&[0; 100]).expect("sent");
    }
    let mut buffers = vec![[0u8; 128]; BATCH_MAX];
    let mut batch = ReceiveBatch::new();
    let mut received = 0;
    while let Ok(count) = batch.receive(to.as_fd(), &mut buffers, 0) {
        received += count;
    }
    from.send(&[0; 100]).expect("sent");
    assert_eq!(batch.receive(to.as_fd(), &mut buffers, 0), Ok(1));
    assert_eq!(batch.meta(0).dropped.map(|dropped| dropped as usize + received), Some(1_000));
}
