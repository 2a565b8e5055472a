use super::*;
use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

#[test]
fn datagrams_come_whole_and_with_their_source_again_and_again() {
    let (receiver, _) =
        crate::ingress("127.0.0.1:0".parse().expect("an address"), 1 << 20).expect("a socket");
    let senders = [(), ()].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    let to = receiver.local_addr().expect("an address");
    let mut inbox = Inbox::new(100);
    assert_eq!(inbox.receive(receiver.as_fd()), Err(Errno::EAGAIN));
    for round in 0..3u8 {
        for at in 0..90u8 {
            let payload = vec![at ^ round; usize::from(at) + 20];
            senders[usize::from(at) % 2].send_to(&payload, to).expect("sent");
        }
        let mut inbox = std::mem::replace(&mut inbox, Inbox::new(100));
        let mut next = 0u8;
        while next < 90 {
            let count = inbox.receive(receiver.as_fd()).expect("datagrams");
            for at in 0..count {
                let (bytes, truncated) = inbox.datagram(at);
                let len = usize::from(next) + 20;
                assert_eq!((bytes.len(), truncated), (len.min(100), len > 100));
                assert!(bytes.iter().all(|byte| *byte == next ^ round));
                assert_eq!(inbox.source(at), senders[usize::from(next) % 2].local_addr().ok());
                next += 1;
            }
        }
    }
}

/// Sends these bytes as datagrams of `size`, the last of which may be shorter.
fn send_train(from: &UdpSocket, train: &[u8], size: u16) {
    let sent = sendmsg::<SockaddrStorage>(
        from.as_raw_fd(),
        &[IoSlice::new(train)],
        &[ControlMessage::UdpGsoSegments(&size)],
        MsgFlags::empty(),
        None,
    );
    assert_eq!(sent, Ok(train.len()));
}

#[test]
fn the_datagrams_of_a_train_are_told_apart_beside_others_and_with_their_source() {
    let (receiver, _) =
        crate::ingress("127.0.0.1:0".parse().expect("an address"), 1 << 20).expect("a socket");
    assert!(crate::receive_trains(&receiver), "this kernel does");
    let from = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    from.connect(receiver.local_addr().expect("an address")).expect("connected");
    let bytes: Vec<u8> = (0..1_000u32).map(|at| (at % 251) as u8).collect();
    let mut inbox = Inbox::new(1_000);
    for size in [1_000, 999, 500, 333, 100, 99, 16] {
        from.send(&bytes[..7]).expect("sent");
        send_train(&from, &bytes, size);
        from.send(&[]).expect("sent");
        assert_eq!(inbox.receive(receiver.as_fd()), Ok(3));
        let expected = [&bytes[..7]].into_iter().chain(segments(&bytes, size.into())).chain([&[][..]]);
        let mut found = Vec::new();
        let mut told = 0;
        while let Some(opened) = inbox.next_buffer() {
            told += opened.datagrams;
            loop {
                assert_eq!((inbox.flaw(), inbox.segment_source()), (None, from.local_addr().ok()));
                found.push(inbox.segment().to_vec());
                if !inbox.next_segment() {
                    break;
                }
            }
        }
        assert!(found.iter().map(Vec::as_slice).eq(expected), "{size}");
        assert_eq!(found.len(), told);
    }
    assert_eq!(inbox.receive(receiver.as_fd()), Err(Errno::EAGAIN));
    assert_eq!(
        (inbox.next_buffer(), inbox.next_segment()),
        (None, false),
        "nothing is left of the last call"
    );
}

#[test]
fn of_a_train_that_is_longer_than_the_room_only_the_last_datagram_is_cut() {
    let (receiver, _) =
        crate::ingress("127.0.0.1:0".parse().expect("an address"), 1 << 20).expect("a socket");
    assert!(crate::receive_trains(&receiver), "this kernel does");
    let from = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    from.connect(receiver.local_addr().expect("an address")).expect("connected");
    let mut inbox = Inbox::new(250);
    send_train(&from, &[7; 1_000], 100);
    assert_eq!(inbox.receive(receiver.as_fd()), Ok(1));
    assert_eq!(inbox.next_buffer(), Some(Opened { bytes: 250, datagrams: 3 }));
    let mut found = vec![(inbox.segment().len(), inbox.flaw())];
    while inbox.next_segment() {
        found.push((inbox.segment().len(), inbox.flaw()));
    }
    assert_eq!(found, [(100, None), (100, None), (50, Some(Flaw::Truncated))]);
}
