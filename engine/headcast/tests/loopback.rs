//! Publisher and subscribers on loopback, through real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use headcast::{Backlog, PublishError, Publisher, PublisherBuilder, Refusal, Subscriber};

const SOON: Duration = Duration::from_secs(10);

fn subscribers(n: usize) -> Vec<Subscriber> {
    let listen: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    (0..n).map(|_| Subscriber::builder().listen(listen).build().expect("a subscriber")).collect()
}

fn to(subscribers: &[Subscriber]) -> PublisherBuilder {
    let peers = subscribers.iter().map(|subscriber| subscriber.local_addr().expect("an address"));
    Publisher::builder().peers(peers).publisher_id(7)
}

fn ready(builder: PublisherBuilder) -> Publisher {
    let mut publisher = builder.build().expect("a publisher");
    publisher.wait_for_peers(SOON).expect("peers");
    publisher
}

/// Everything that is there, as text.
fn drain(subscriber: &mut Subscriber) -> Vec<String> {
    let mut messages = Vec::new();
    while let Some(message) = subscriber.try_recv().expect("a socket that works") {
        messages.push(String::from_utf8_lossy(message.payload).into_owned());
    }
    messages
}

#[test]
fn every_subscriber_hands_every_message_on_once() {
    let mut subscribers = subscribers(5);
    let mut publisher = ready(to(&subscribers));
    for n in 0..100 {
        publisher.publish(format!("message {n}").as_bytes()).expect("published");
    }
    assert_eq!(publisher.close(SOON).expect("closed"), 0);
    for subscriber in &mut subscribers {
        let expected: Vec<_> = (0..100).map(|n| format!("message {n}")).collect();
        assert_eq!(drain(subscriber), expected);
        let counters = subscriber.counters();
        assert_eq!((counters.delivered.get(), counters.duplicates.get()), (100, 100));
        assert_eq!((counters.ended.get(), counters.lost.get(), subscriber.missing()), (1, 0, 0));
    }
    let counters = publisher.counters();
    assert_eq!((counters.sent_first.get(), counters.sent_later.get()), (500, 500));
    assert!(counters.sent_heartbeats.get() >= 10, "the farewell, twice");
    assert_eq!(counters.offered.get(), 1000 + counters.sent_heartbeats.get());
}

#[test]
fn a_message_tells_where_it_stands() {
    let mut subscribers = subscribers(1);
    let mut publisher = ready(to(&subscribers));
    let seq = publisher.publish(b"x").expect("published");
    let message = subscribers[0].recv().expect("a message");
    let origin = message.origin.expect("framed");
    assert_eq!(
        (origin.publisher, origin.session, origin.stream, origin.seq),
        (7, publisher.session(), 0, seq)
    );
    assert!(!origin.rescued && message.source().is_some() && origin.timestamp_ns > 0);
}

#[test]
fn what_the_first_copy_lost_the_second_rescues() {
    let listen: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    // The low three bits of byte 3 say which copy it is.
    let first_copies_of_odd = |bytes: &[u8]| bytes[3] & 7 == 0 && bytes[24] % 2 == 1;
    let subscriber =
        Subscriber::builder().listen(listen).impair(first_copies_of_odd).build().expect("a subscriber");
    let mut subscribers = [subscriber];
    let mut publisher = ready(to(&subscribers));
    for n in 0..10 {
        publisher.publish(&[n]).expect("published");
    }
    publisher.close(SOON).expect("closed");
    assert_eq!(drain(&mut subscribers[0]).len(), 10);
    let counters = subscribers[0].counters();
    assert_eq!((counters.rescued.get(), counters.impaired.get(), counters.lost.get()), (5, 5, 0));
}

#[test]
fn a_claimed_message_is_written_in_place_and_an_abandoned_one_never_was() {
    let mut subscribers = subscribers(1);
    let mut publisher = ready(to(&subscribers));
    publisher.claim(10).expect("room").copy_from_slice(b"abandoned!");
    let mut claim = publisher.claim(10).expect("room");
    claim[..3].copy_from_slice(b"abc");
    claim.truncate(3);
    assert_eq!(claim.commit().expect("published"), 1);
    assert_eq!(subscribers[0].recv().expect("a message").payload, b"abc");
}

#[test]
fn a_message_over_the_limit_is_refused_and_one_at_the_limit_arrives() {
    let mut subscribers = subscribers(1);
    let mut publisher = ready(to(&subscribers));
    let max = publisher.payload_max();
    assert_eq!(max, 1392 - 40);
    assert_eq!(publisher.message_max(), 1 << 20);
    let error = publisher.claim(max + 1).err().expect("too long for a datagram");
    assert!(matches!(error, PublishError::TooLong { len: 1353, max: 1352 }), "{error}");
    let error = publisher.publish(&vec![1; (1 << 20) + 1]).expect_err("too long");
    assert!(matches!(error, PublishError::TooLong { len: 1_048_577, max: 1_048_576 }), "{error}");
    let error = publisher.handle().publish(&vec![1; (1 << 20) + 1]);
    assert!(matches!(error, Err(PublishError::TooLong { .. })));
    publisher.publish(&vec![1; max]).expect("published");
    assert_eq!(subscribers[0].recv().expect("a message").payload.len(), max);
}

#[test]
fn an_empty_message_is_a_message() {
    let mut subscribers = subscribers(1);
    let mut publisher = ready(to(&subscribers));
    publisher.publish(b"").expect("published");
    assert_eq!(subscribers[0].recv().expect("a message").payload, b"");
}

#[test]
fn messages_wait_until_somebody_says_who_the_peers_are() {
    let mut subscribers = subscribers(1);
    let mut publisher = to(&subscribers).build().expect("a publisher");
    // The control thread may or may not have answered yet; either way nothing is lost.
    publisher.publish(b"early").expect("published");
    publisher.close(SOON).expect("closed");
    assert_eq!(drain(&mut subscribers[0]), ["early"]);
}

#[test]
fn raw_mode_sends_the_payload_alone() {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let peers = [receiver.local_addr().expect("an address")];
    let mut publisher = ready(Publisher::builder().peers(peers).raw(true));
    publisher.publish(b"hello").expect("published");
    publisher.close(SOON).expect("closed");
    let mut buffer = [0; 64];
    assert_eq!(receiver.recv(&mut buffer).expect("a datagram"), 5);
    receiver.set_nonblocking(true).expect("non-blocking");
    assert!(receiver.recv(&mut buffer).is_err(), "one copy and no farewell");

    let listen = "127.0.0.1:0".parse().expect("an address");
    let mut subscriber = Subscriber::builder().listen(listen).raw(true).build().expect("a subscriber");
    receiver.send_to(b"plain", subscriber.local_addr().expect("an address")).expect("sent");
    let message = subscriber.recv().expect("a message");
    assert_eq!(
        (message.payload, message.source(), message.origin.is_none()),
        (&b"plain"[..], Some(peers[0]), true)
    );
}

#[test]
fn many_threads_publish_and_nothing_is_lost() {
    let mut subscribers = subscribers(2);
    let mut publisher = ready(to(&subscribers).queue(8));
    let handle = publisher.handle();
    let stopper = handle.clone();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let handle = handle.clone();
            std::thread::spawn(move || {
                for n in 0..250 {
                    handle.publish(format!("{thread} {n}").as_bytes()).expect("accepted");
                }
            })
        })
        .collect();
    let data = std::thread::spawn(move || {
        publisher.run().expect("a loop that works");
        assert_eq!(publisher.close(SOON).expect("closed"), 0);
        publisher.counters().messages.get()
    });
    for thread in threads {
        thread.join().expect("no panic");
    }
    stopper.stop();
    assert_eq!(data.join().expect("no panic"), 1000);
    assert!(matches!(handle.publish(b"late"), Err(PublishError::Closed)));
    for subscriber in &mut subscribers {
        let mut messages = drain(subscriber);
        messages.sort();
        messages.dedup();
        assert_eq!(messages.len(), 1000);
    }
}

#[test]
fn a_sleeping_publisher_is_woken_by_a_handle() {
    let mut subscribers = subscribers(1);
    let mut publisher = ready(to(&subscribers));
    let handle = publisher.handle();
    let data = std::thread::spawn(move || publisher.run());
    for n in 0..50u8 {
        handle.publish(&[n]).expect("accepted");
        let message = subscribers[0].recv_timeout(SOON).expect("a socket that works").expect("in time");
        assert_eq!(message.payload, [n]);
    }
    handle.stop();
    data.join().expect("no panic").expect("a loop that works");
}

#[test]
fn a_full_backlog_drops_the_newest_or_the_oldest_as_told() {
    let listen: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    for (backlog, kept) in [(Backlog::DropNewest, 0..16), (Backlog::DropOldest, 4..20)] {
        let mut subscriber = Subscriber::builder().listen(listen).build().expect("a subscriber");
        let peers = [subscriber.local_addr().expect("an address")];
        let builder =
            Publisher::builder().peers(peers).ring(16).backlog(backlog).packing(false).publisher_id(9);
        let mut publisher = builder.build().expect("a publisher");
        // Not one turn yet, so no peer set has been taken over.
        for n in 0..20u8 {
            match publisher.claim(1) {
                Ok(mut claim) => {
                    claim[0] = n;
                    claim.commit().expect("published");
                }
                Err(PublishError::Full) => assert_eq!(backlog, Backlog::DropNewest),
                Err(error) => panic!("{error}"),
            }
            if backlog == Backlog::DropNewest && publisher.peers() > 0 {
                // Its try to make room let the peers in, and everything went out: nothing to see here.
                return;
            }
        }
        publisher.close(SOON).expect("closed");
        let mut got = Vec::new();
        while let Some(message) = subscriber.try_recv().expect("a socket that works") {
            got.push(message.payload[0]);
        }
        assert_eq!(got, kept.collect::<Vec<u8>>(), "{backlog:?}");
        let counters = publisher.counters();
        let dropped = counters.dropped_newest.get() + counters.dropped_oldest.get();
        assert_eq!((dropped, counters.messages.get() + counters.dropped_newest.get()), (4, 20));
    }
}

#[test]
fn forged_datagrams_are_counted_by_reason_and_change_nothing() {
    let mut subscribers = subscribers(1);
    let address = subscribers[0].local_addr().expect("an address");
    let forger = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    forger.send_to(b"short", address).expect("sent");
    forger.send_to(&[0xff; 60], address).expect("sent");
    let mut publisher = ready(to(&subscribers));
    publisher.publish(b"true").expect("published");
    publisher.close(SOON).expect("closed");
    assert_eq!(drain(&mut subscribers[0]), ["true"]);
    let refusals = subscribers[0].refusals();
    assert_eq!(
        (refusals.get(Refusal::TooShort), refusals.get(Refusal::Version), refusals.total()),
        (1, 1, 2)
    );
    let counters = subscribers[0].counters();
    let booked =
        counters.delivered.get() + counters.duplicates.get() + counters.notes.get() + refusals.total();
    assert_eq!(counters.datagrams.get(), booked);
}

#[test]
fn settings_out_of_range_say_what_would_be_right() {
    let peers = || Publisher::builder().peers(["127.0.0.1:9".parse().expect("an address")]);
    let wrong = [
        (peers().copies(8), "1 to 7"),
        (peers().copies(0), "1 to 7"),
        (peers().ring(1000), "power of two"),
        (peers().datagram_max(40), "41 to 65507"),
        (peers().send_batch(1025), "1 to 1024"),
        (peers().max_peers(0), "1 to 100000"),
        (Publisher::builder(), "no peers"),
        (Publisher::builder().peers([]), "empty"),
    ];
    for (builder, hint) in wrong {
        let error = builder.build().err().expect("refused").to_string();
        assert!(error.contains(hint), "{error}");
    }
    assert!(Subscriber::builder().window(100).build().is_err());
    assert!(Subscriber::builder().publishers(0).build().is_err());
}

#[test]
fn a_port_in_use_says_so() {
    let taken = subscribers(1);
    let address = taken[0].local_addr().expect("an address");
    let error = Subscriber::builder().listen(address).build().err().expect("refused").to_string();
    assert!(error.contains("another process has it") && error.contains(&address.to_string()), "{error}");
}

#[test]
fn handles_of_a_publisher_that_is_gone_are_told() {
    let subscribers = subscribers(1);
    let publisher = to(&subscribers).queue(4).build().expect("a publisher");
    let handle = publisher.handle();
    drop(publisher);
    assert!(matches!(handle.publish(b"late"), Err(PublishError::Closed)));
}
