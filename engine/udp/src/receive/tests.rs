use std::net::UdpSocket;
use std::os::fd::AsFd;

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
fn a_datagram_that_is_too_long_says_so() {
    let (from, to) = pair(1 << 20);
    from.send(&[7; 100]).expect("sent");
    let mut batch = ReceiveBatch::new();
    assert_eq!(batch.receive(to.as_fd(), &mut [[0u8; 10]], 0), Ok(1));
    assert_eq!((batch.meta(0).len, batch.meta(0).truncated), (10, true));
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
