//! Messages of several datagrams: cut by the publisher, put together here by hand.

mod support;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use headcast::{Backlog, Mode, PublishError, Publisher, PublisherBuilder};
use headcast_proto::body;
use headcast_proto::header::flags;

use support::{Got, Peer, SOON, TURN, assert_booked, is_settled, ready, to, turn_until};

const MIB: usize = 1 << 20;

/// A message that is like no other of its length.
fn message(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at % 251).to_le_bytes()[0] ^ (at >> 12).to_le_bytes()[0] ^ seed).collect()
}

/// The messages of these datagrams in their order, each whole; copies and repairs are the same as what they
/// repeat.
fn assemble(got: &BTreeMap<u64, Got>) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut parts: Vec<u8> = Vec::new();
    let mut expected = (0, 1);
    for (seq, (place, got)) in (1..).zip(got) {
        assert_eq!(seq, *place, "one is missing");
        let datagram = got.datagram();
        let (index, count) = (datagram.header().index.get(), datagram.header().frag_count.get());
        if datagram.flags() & flags::COALESCED != 0 {
            assert_eq!(expected.0, 0, "the parts of a message follow one another");
            messages.extend(body::coalesced(datagram.payload()).map(<[u8]>::to_vec));
            continue;
        }
        let fragment = datagram.flags() & flags::FRAGMENT != 0;
        assert_eq!(fragment, count > 1);
        assert_eq!(index, expected.0, "the parts of a message follow one another");
        assert!(index == 0 || count == expected.1);
        parts.extend(datagram.payload());
        expected = (index + 1, count);
        if expected.0 == count {
            messages.push(std::mem::take(&mut parts));
            expected = (0, 1);
        }
    }
    assert!(parts.is_empty(), "the last message is whole");
    messages
}

/// Adds what has come, by sequence.
fn collect(peer: &Peer, got: &mut BTreeMap<u64, Got>) {
    for one in peer.data() {
        got.entry(one.seq()).or_insert(one);
    }
}

/// Asks for the first few that are missing among all that have been sealed; returns whether any is.
fn ask_for_missing(peer: &mut Peer, publisher: &Publisher, got: &BTreeMap<u64, Got>) -> bool {
    let c = publisher.counters();
    let all = 1..=c.messages.get() + c.fragments.get();
    let missing: Vec<u64> = all.filter(|seq| !got.contains_key(seq)).take(16).collect();
    if let (false, Some(one)) = (missing.is_empty(), got.values().next()) {
        peer.ask(one.from, publisher.session(), &missing);
    }
    !missing.is_empty()
}

/// Turns, and reads what comes, until all of so many messages are there. The socket's buffer has room for
/// what one turn sends of a short ring; what it has none for is asked for again.
fn turn_and_collect(publisher: &mut Publisher, peer: &mut Peer, messages: u64) -> BTreeMap<u64, Got> {
    let mut got = BTreeMap::new();
    turn_until(publisher, |publisher| {
        collect(peer, &mut got);
        publisher.counters().messages.get() == messages
            && publisher.backlog() == 0
            && !ask_for_missing(peer, publisher, &got)
    });
    got
}

#[test]
fn messages_of_all_lengths_are_cut_and_can_be_put_together() {
    let messages = [1, 1352, 1353, 2 * 1352, 2 * 1352 + 1, MIB, 0].map(|len| message(len, 3));
    let mut peer = Peer::new();
    let mut publisher = ready(to(&[&peer], Mode::DupNak).ring(2048));
    for message in &messages {
        publisher.publish(message).expect("published");
    }
    let got = turn_and_collect(&mut publisher, &mut peer, messages.len() as u64);
    assert!(assemble(&got) == messages);
    turn_until(&mut publisher, |publisher| is_settled(publisher));
    assert_booked(&publisher);
}

#[test]
fn a_message_that_is_longer_than_the_ring_goes_out_as_it_is_cut() {
    // As much at a time as the socket's buffer has room for.
    let messages = [40 * 1352, 5, 17 * 1352 + 1, 16 * 1352].map(|len| message(len, 4));
    let peer = Peer::new();
    let mut publisher = ready(to(&[&peer], Mode::Once).ring(16));
    let mut got = BTreeMap::new();
    for message in &messages {
        let seq = publisher.publish(message).expect("published");
        assert_eq!(seq, got.len() as u64 + 1, "its first datagram's");
        turn_until(&mut publisher, |publisher| publisher.backlog() == 0);
        collect(&peer, &mut got);
    }
    assert!(assemble(&got) == messages);
    assert_booked(&publisher);
}

#[test]
fn a_handle_takes_messages_of_all_lengths_and_keeps_their_order() {
    let lengths = [5, 1353, 0, MIB, 7, 1352, 100_000, 9];
    let messages: Vec<_> = lengths.iter().zip(0..).map(|(len, seed)| message(*len, seed)).collect();
    for (mode, ring) in [(Mode::Dup, 16), (Mode::Nak, 2048)] {
        let mut peer = Peer::new();
        let mut publisher = ready(to(&[&peer], mode).ring(ring).spacing(Duration::from_micros(200)));
        let handle = publisher.handle();
        for message in &messages {
            handle.publish(message).expect("accepted");
        }
        let got = turn_and_collect(&mut publisher, &mut peer, messages.len() as u64);
        assert!(assemble(&got) == messages, "with a ring of {ring}");
        let c = publisher.counters();
        assert_eq!(c.messages.get() + c.fragments.get(), got.len() as u64);
        assert_eq!(c.message_bytes.get(), lengths.iter().sum::<usize>() as u64);
        publisher.close(SOON).expect("closed");
        assert_booked(&publisher);
    }
}

#[test]
fn nothing_comes_between_the_parts_of_a_message() {
    let peer = Peer::new();
    let listen = "udp://127.0.0.1:0".parse().expect("a place to listen");
    let builder = to(&[&peer], Mode::Once).ring(16).queue(16).listen(listen);
    let mut publisher = ready(builder);
    let local = publisher.ingress_address().expect("a UDP address");
    let application = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let handle = publisher.handle();
    let long = message(60_000, 1);
    let mut got = BTreeMap::new();
    let mut messages = 0;
    for round in 0..8u8 {
        handle.publish(&long).expect("accepted");
        handle.publish(&[round]).expect("accepted");
        application.send_to(&message(300, 2), local).expect("sent");
        application.send_to(&message(5_000, 3), local).expect("sent");
        publisher.turn(TURN).expect("a turn");
        // While one of the handle's may be half cut.
        publisher.publish(&message(10, 4)).expect("published");
        collect(&peer, &mut got);
        publisher.publish(&message(3_000, 5)).expect("published");
        collect(&peer, &mut got);
        messages += 6;
    }
    turn_until(&mut publisher, |publisher| {
        collect(&peer, &mut got);
        publisher.counters().messages.get() == messages && publisher.backlog() == 0
    });
    collect(&peer, &mut got);
    let mut count = BTreeMap::new();
    for message in assemble(&got) {
        *count.entry(message.len()).or_insert(0) += 1;
    }
    assert_eq!(
        count.into_iter().collect::<Vec<_>>(),
        [(1, 8), (10, 8), (300, 8), (3_000, 8), (5_000, 8), (60_000, 8)]
    );
}

#[test]
fn long_datagrams_of_local_applications_are_cut_in_their_order() {
    let lengths = [10, 1352, 1353, 3_000, 7, 60_000, 8, 65_507];
    let path = std::env::temp_dir().join(format!("headcast-long-{}.sock", std::process::id()));
    let udp = "udp://127.0.0.1:0".to_owned();
    for (listen, longest) in [(udp, 65_507), (format!("unix://{}", path.display()), 150_000)] {
        let unix = longest > 65_507;
        let lengths: Vec<usize> = lengths.into_iter().chain(unix.then_some(longest)).collect();
        let messages: Vec<_> = lengths.iter().zip(0..).map(|(len, seed)| message(*len, seed)).collect();
        for (mode, ring) in [(Mode::Dup, 16), (Mode::Nak, 1024)] {
            let mut peer = Peer::new();
            let listening = listen.parse().expect("a place to listen");
            let spacing = Duration::from_micros(200);
            let mut publisher = ready(to(&[&peer], mode).ring(ring).spacing(spacing).listen(listening));
            let mut got = BTreeMap::new();
            // Two or three at a time: the kernel holds ten in a Unix socket.
            for (before, some) in (0u64..).step_by(3).zip(messages.chunks(3)) {
                for message in some {
                    match publisher.ingress_address() {
                        Some(local) => {
                            let application = UdpSocket::bind("127.0.0.1:0").expect("a port");
                            application.send_to(message, local).expect("sent")
                        }
                        None => {
                            let application = UnixDatagram::unbound().expect("a socket");
                            application.send_to(message, &path).expect("sent")
                        }
                    };
                }
                let all = before + some.len() as u64;
                turn_until(&mut publisher, |publisher| {
                    collect(&peer, &mut got);
                    publisher.counters().messages.get() == all
                        && publisher.backlog() == 0
                        && !ask_for_missing(&mut peer, publisher, &got)
                });
            }
            assert!(assemble(&got) == messages, "{listen} with a ring of {ring}");
            assert_eq!(publisher.counters().oversized.get(), 0);
            publisher.close(SOON).expect("closed");
            assert_booked(&publisher);
        }
    }
}

#[test]
fn a_local_datagram_that_is_too_long_is_refused_and_those_around_it_are_not() {
    let mut peer = Peer::new();
    let listen = "udp://127.0.0.1:0".parse().expect("a place to listen");
    let mut publisher = ready(to(&[&peer], Mode::Nak).message_max(4_000).listen(listen));
    let local = publisher.ingress_address().expect("a UDP address");
    let application = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for (len, seed) in [(100, 0), (5_000, 1), (4_000, 2), (4_001, 3), (1_000, 4)] {
        application.send_to(&message(len, seed), local).expect("sent");
    }
    let got = turn_and_collect(&mut publisher, &mut peer, 3);
    assert!(assemble(&got) == [message(100, 0), message(4_000, 2), message(1_000, 4)]);
    assert_eq!(publisher.counters().oversized.get(), 2);
}

#[test]
fn the_limit_is_what_the_datagrams_can_hold() {
    let peer = Peer::new();
    let mut publisher = ready(to(&[&peer], Mode::Dup).datagram_max(50));
    assert_eq!(publisher.message_max(), 10 * 1024);
    let error = publisher.publish(&[0; 10_241]).expect_err("too long");
    assert!(matches!(error, PublishError::TooLong { len: 10_241, max: 10_240 }), "{error}");
    let mut raw = ready(to(&[&peer], Mode::Once).raw(true));
    assert_eq!((raw.message_max(), raw.payload_max()), (1392, 1392));
    let error = raw.publish(&[0; 1393]).expect_err("too long");
    assert!(matches!(error, PublishError::TooLong { len: 1393, max: 1392 }), "{error}");
}

/// A publisher with a ring of 16 that has not been told its peers yet, so nothing leaves the ring.
fn stuck(peer: &Peer, backlog: Backlog) -> Publisher {
    let builder: PublisherBuilder = to(&[peer], Mode::Nak).ring(16).backlog(backlog).packing(false);
    builder.build().expect("a publisher")
}

#[test]
fn a_message_that_has_to_fit_into_the_ring_and_does_not_is_refused() {
    let peer = Peer::new();
    for backlog in [Backlog::DropNewest, Backlog::DropOldest] {
        let mut publisher = stuck(&peer, backlog);
        let long = message(16 * 1352 + 1, 0);
        let errors = [publisher.publish(&long).map(drop), publisher.handle().publish(&long)];
        for error in errors.map(|result| result.expect_err("it does not fit")) {
            assert!(matches!(error, PublishError::RingTooShort { datagrams: 17, ring: 16 }), "{error}");
            assert!(error.to_string().contains("a longer ring would do"), "{error}");
        }
        assert_eq!(publisher.counters().messages.get(), 0);
    }
}

#[test]
fn dropping_the_oldest_makes_room_for_all_of_a_long_message() {
    let peer = Peer::new();
    for by_handle in [false, true] {
        let mut publisher = stuck(&peer, Backlog::DropOldest);
        let long = message(10 * 1352, 0);
        for n in 0..10u8 {
            publisher.publish(&[n]).expect("published");
        }
        if by_handle {
            publisher.handle().publish(&long).expect("accepted");
        } else {
            publisher.publish(&long).expect("published");
        }
        // Whether anything went out before depends on how quick the control thread was.
        let mut got = BTreeMap::new();
        turn_until(&mut publisher, |publisher| {
            collect(&peer, &mut got);
            publisher.counters().messages.get() == 11 && publisher.backlog() == 0 && publisher.peers() > 0
        });
        collect(&peer, &mut got);
        let parts: Vec<u8> = got
            .values()
            .filter(|got| got.seq() > 10)
            .flat_map(|got| got.datagram().payload().to_vec())
            .collect();
        assert!(parts == long);
        assert_booked(&publisher);
    }
}

#[test]
fn dropping_the_newest_drops_all_of_a_long_message_or_nothing() {
    let mut peer = Peer::new();
    let mut publisher = stuck(&peer, Backlog::DropNewest);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..4 {
        match publisher.publish(&message(5 * 1352, 0)) {
            Ok(_) => accepted += 1,
            Err(PublishError::Full) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    let c = publisher.counters();
    // Three fit; the fourth did only if the peers were there by then.
    assert!(accepted >= 3);
    assert_eq!((c.messages.get(), c.fragments.get()), (accepted, 4 * accepted));
    assert_eq!(c.dropped_newest.get(), refused);
    let got = turn_and_collect(&mut publisher, &mut peer, accepted);
    assert_eq!(assemble(&got).len() as u64, accepted);
}

#[test]
fn long_messages_that_wait_take_no_more_memory_than_they_may() {
    let peer = Peer::new();
    let builder = to(&[&peer], Mode::Nak).backlog(Backlog::DropNewest);
    let mut publisher = builder.build().expect("a publisher");
    let handle = publisher.handle();
    let long = message(MIB, 0);
    let most = (64 << 20) / (MIB - 1352);
    for _ in 0..most {
        handle.publish(&long).expect("accepted");
    }
    assert!(matches!(handle.publish(&long), Err(PublishError::Full)));
    handle.publish(b"short").expect("accepted");
    assert_eq!(publisher.dropped_by_handles(), (1, 0));
    // One is cut, so there is room for one more.
    turn_until(&mut publisher, |publisher| publisher.counters().messages.get() >= 2);
    handle.publish(&long).expect("accepted");
}
