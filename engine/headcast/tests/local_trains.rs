//! Datagrams that a local application sends as one (`UDP_SEGMENT`) become messages, each its own.

mod support;

use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Duration;

use headcast::{Backlog, Mode, Publisher, PublisherBuilder, Subscriber};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use support::{PUBLISHER, Peer, SOON, TURN, assert_booked, ready, to, turn_until};

/// What fits into a datagram of the default size beside its header.
const PAYLOAD_MAX: usize = 1392 - 40;

/// A socket that sends to the local one of this publisher.
fn application(publisher: &Publisher) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(publisher.ingress_address().expect("a UDP address")).expect("connected");
    socket
}

/// Sends these as one packet: all as long as the first, but for the last, which may be shorter.
fn send_train(application: &UdpSocket, messages: &[Vec<u8>]) {
    let segment = u16::try_from(messages[0].len()).expect("it fits");
    let split = [ControlMessage::UdpGsoSegments(&segment)];
    let bytes = messages.concat();
    let sent =
        sendmsg::<()>(application.as_raw_fd(), &[IoSlice::new(&bytes)], &split, MsgFlags::empty(), None);
    assert_eq!(sent, Ok(bytes.len()));
}

/// So many messages of one length, all of them different, and a last one.
fn train(count: usize, len: usize, last: usize) -> Vec<Vec<u8>> {
    let message = |seed: usize, len| (0..len).map(|at| (at * 7 + seed * 3).to_le_bytes()[0]).collect();
    (0..count).map(|seed| message(seed, len)).chain((last > 0).then(|| message(99, last))).collect()
}

fn listening(builder: PublisherBuilder) -> Publisher {
    ready(builder.listen("udp://127.0.0.1:0".parse().expect("a place to listen")))
}

#[test]
fn trains_of_every_shape_arrive_as_the_messages_that_they_are() {
    // Many small ones, boundaries within and at the end of a slot, single bytes, messages that are cut themselves.
    let trains = [
        train(63, 128, 17),
        train(2, 5, 0),
        train(13, 104, 0),
        train(3, PAYLOAD_MAX, 1),
        train(40, PAYLOAD_MAX + 1, PAYLOAD_MAX),
        train(5, PAYLOAD_MAX - 1, 2),
        train(64, 1, 0),
        train(9, 4_000, 3_999),
        train(2, 30_000, 0),
    ];
    let loose = [vec![1; 10], vec![2; 3_000], vec![], vec![3; PAYLOAD_MAX]];
    for (ring, packing) in [(16, true), (16, false), (8192, true), (8192, false)] {
        let mut subscriber = Subscriber::builder()
            .listen("127.0.0.1:0".parse().expect("an address"))
            .ordered(SOON)
            .build()
            .expect("a subscriber");
        let peers = [subscriber.local_addr().expect("an address")];
        let builder = Publisher::builder().peers(peers).publisher_id(PUBLISHER).mode(Mode::Nak);
        let mut publisher = listening(builder.ring(ring).packing(packing));
        let application = application(&publisher);
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for (at, train) in trains.iter().enumerate() {
            // What is alone lies before and behind it, so that places in the ring move.
            let alone = &loose[at % loose.len()];
            application.send(alone).expect("sent");
            send_train(&application, train);
            application.send(alone).expect("sent");
            let around = std::slice::from_ref(alone);
            sent.extend([around, train, around].concat());
            turn_until(&mut publisher, |publisher| {
                while let Some(message) = subscriber.try_recv().expect("a socket that works") {
                    got.push(message.payload.to_vec());
                }
                got.len() == sent.len() && publisher.backlog() == 0
            });
        }
        assert!(got == sent, "ring of {ring}, packing {packing}");
        let c = publisher.counters();
        assert_eq!((c.messages.get(), c.oversized.get()), (sent.len() as u64, 0));
        publisher.close(SOON).expect("closed");
        assert_booked(&publisher);
    }
}

#[test]
fn what_of_a_train_is_too_long_is_refused_and_the_rest_is_not() {
    let peer = Peer::new();
    let mut publisher = listening(to(&[&peer], Mode::Once).message_max(2_000).packing(false));
    let application = application(&publisher);
    send_train(&application, &train(3, 2_001, 1_000));
    send_train(&application, &train(20, 300, 0));
    turn_until(&mut publisher, |publisher| publisher.counters().messages.get() == 21);
    assert_eq!(publisher.counters().oversized.get(), 3);
    turn_until(&mut publisher, |publisher| publisher.backlog() == 0);
    let lens: Vec<_> = peer.data().iter().map(|got| got.datagram().payload().len()).collect();
    assert_eq!(lens, [vec![1_000], vec![300; 20]].concat());
}

#[test]
fn a_train_for_which_there_is_no_room_is_taken_in_as_far_as_there_is() {
    let peer = Peer::new();
    for backlog in [Backlog::DropNewest, Backlog::DropOldest, Backlog::Block] {
        let mut publisher = listening(to(&[&peer], Mode::Once).ring(16).backlog(backlog).packing(false));
        let application = application(&publisher);
        let messages = train(40, 50, 7);
        send_train(&application, &messages);
        turn_until(&mut publisher, |publisher| {
            let c = publisher.counters();
            c.messages.get() + c.dropped_newest.get() == 41 && publisher.backlog() == 0
        });
        let got: Vec<_> = peer.data().iter().map(|got| got.datagram().payload().to_vec()).collect();
        let c = publisher.counters();
        let (newest, oldest) = (c.dropped_newest.get(), c.dropped_oldest.get());
        // It is taken in at once, and nothing goes out meanwhile.
        match backlog {
            Backlog::Block => assert!(got == messages && (newest, oldest) == (0, 0)),
            Backlog::DropNewest => assert!(got == messages[..16] && (newest, oldest) == (25, 0)),
            Backlog::DropOldest => assert!(got == messages[25..] && (newest, oldest) == (0, 25)),
        }
        assert_booked(&publisher);
    }
}

#[test]
fn raw_messages_of_a_train_go_out_as_they_are() {
    let peer = Peer::new();
    let mut publisher = listening(to(&[&peer], Mode::Once).raw(true));
    let application = application(&publisher);
    let messages = train(30, 200, 100);
    send_train(&application, &messages);
    turn_until(&mut publisher, |publisher| {
        publisher.counters().messages.get() == 31 && publisher.backlog() == 0
    });
    assert_eq!(peer.drain().into_iter().map(|got| got.bytes).collect::<Vec<_>>(), messages);
}

#[test]
fn the_end_finishes_a_train_that_is_half_taken() {
    let peer = Peer::new();
    let mut publisher = listening(to(&[&peer], Mode::Once).ring(16).packing(false));
    let application = application(&publisher);
    let messages = train(40, 50, 7);
    send_train(&application, &messages);
    while publisher.counters().messages.get() == 0 {
        publisher.turn(TURN).expect("a turn");
    }
    assert!(publisher.counters().messages.get() < 41, "it is half taken");
    assert_eq!(publisher.close(SOON).expect("closed"), 0);
    let got: Vec<_> = peer.data().iter().map(|got| got.datagram().payload().to_vec()).collect();
    assert!(got == messages);

    // Without the time for that it says how many are left.
    let mut publisher = listening(to(&[&peer], Mode::Once).ring(16).packing(false));
    let application = self::application(&publisher);
    send_train(&application, &messages);
    while publisher.counters().messages.get() == 0 {
        publisher.turn(TURN).expect("a turn");
    }
    let unsent = publisher.close(Duration::ZERO).expect("closed");
    assert_eq!(publisher.counters().sent_first.get() + unsent as u64, 41);
}

#[test]
fn between_two_looks_at_anything_else_no_more_is_taken_in_than_of_datagrams_that_come_alone() {
    let peer = Peer::new();
    // All 1,260 at once would not fit; 256 a turn do, of which 64 go out before the next ones come.
    let builder = to(&[&peer], Mode::Once).ring(1024).backlog(Backlog::DropOldest).packing(false);
    let mut publisher = listening(builder);
    let application = application(&publisher);
    for _ in 0..20 {
        send_train(&application, &train(63, 50, 0));
    }
    turn_until(&mut publisher, |publisher| {
        publisher.counters().messages.get() == 20 * 63 && publisher.backlog() == 0
    });
    let c = publisher.counters();
    assert_eq!((c.sent_first.get(), c.dropped_oldest.get()), (20 * 63, 0));
}

#[test]
fn a_train_that_the_local_socket_had_no_room_for_counts_once() {
    let peer = Peer::new();
    let listen = "udp://127.0.0.1:0".parse().expect("a place to listen");
    let mut publisher = ready(to(&[&peer], Mode::Once).listen(listen).receive_buffer(100_000));
    let application = application(&publisher);
    for _ in 0..100 {
        send_train(&application, &train(63, 128, 0));
    }
    // The kernel tells of those that it has dropped with the next one that gets through.
    turn_until(&mut publisher, |publisher| {
        publisher.backlog() == 0 && publisher.counters().messages.get() > 0
    });
    application.send(b"next").expect("sent");
    turn_until(&mut publisher, |publisher| {
        let c = publisher.counters();
        (c.messages.get() - 1) / 63 + c.ingress_dropped.get() == 100
    });
    let c = publisher.counters();
    assert!(c.ingress_dropped.get() > 0);
    assert_eq!(c.messages.get() % 63, 1, "all of a train or nothing");
}
