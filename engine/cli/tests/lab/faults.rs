//! The network as it is: full queues, lost datagrams, peers that cannot be reached.

use std::time::Duration;

use headcast::Backlog;
use headcast::peers::PeerSet;
use headcast_udp::Errno;

use crate::support::{Lab, Pods, SOON, publish_paced, publisher, ready};

#[test]
fn three_bad_peers_of_a_hundred_are_named_and_the_others_notice_nothing() {
    let lab = Lab::up("--pods 100");
    let mut addresses = lab.addresses();
    let bad = [addresses.remove(90), addresses.remove(50), addresses.remove(10)];
    for (fault, peer) in ["unreachable", "noroute", "block"].iter().zip(bad) {
        lab.run(&format!("{fault} {peer}"));
    }
    let pods = Pods::start(&lab, addresses);
    let publishing = lab.thread("publisher", || {
        let mut publisher = ready(publisher(), 100);
        publish_paced(&mut publisher, 0..1_000, Duration::from_millis(1));
        assert_eq!(publisher.close(SOON).expect("closed"), 0);
        let counters = publisher.counters();
        assert_eq!(counters.blocked.get() + counters.transient.get(), 0);
        let (rejected, left_out) = (counters.rejected.get(), counters.quarantined.get());
        let sent = counters.sent_first.get() + counters.sent_later.get() + counters.sent_heartbeats.get();
        assert_eq!(counters.offered.get(), sent + rejected + left_out);
        assert_eq!(rejected + left_out, 3 * (2 * 1_000 + counters.heartbeats.get()));
        assert!(left_out > rejected, "most of the time they are not even tried");
        publisher.monitor().failures()
    });
    let failures = publishing.join().expect("no panic");
    let mut named: Vec<_> = failures.iter().map(|failure| (failure.peer.ip(), failure.errno)).collect();
    named.sort_by_key(|(peer, _)| bad.iter().position(|ip| ip == peer));
    assert_eq!(named, [(bad[0], Errno::EHOSTUNREACH), (bad[1], Errno::ENETUNREACH), (bad[2], Errno::EPERM)]);
    for pod in pods.stop() {
        pod.assert_got(0..1_000);
        // One duplicate for each message: nothing was sent again for the sake of the bad ones.
        assert_eq!(pod.subscriber.counters().duplicates.get(), 1_000);
    }
}

#[test]
fn a_peer_that_heals_is_sent_to_again() {
    let lab = Lab::up("--pods 2");
    let (healthy, ill) = (lab.address(1), lab.address(2));
    lab.run(&format!("block {ill}"));
    let pods = Pods::start(&lab, vec![healthy, ill]);
    let (tell, is_ill) = std::sync::mpsc::channel();
    let (heal, told) = std::sync::mpsc::channel();
    let publishing = lab.thread("publisher", move || {
        let mut publisher = ready(publisher(), 2);
        let mut next = 0;
        while !publisher.monitor().failures().iter().any(|failure| failure.quarantined) {
            publish_paced(&mut publisher, next..next + 10, Duration::from_millis(1));
            next += 10;
            assert!(next < 10_000, "the peer is left out");
        }
        tell.send(()).expect("the test waits");
        told.recv().expect("the test goes on");
        // Longer than the longest quarantine.
        publish_paced(&mut publisher, next..next + 2_000, Duration::from_millis(1));
        assert_eq!(publisher.close(SOON).expect("closed"), 0);
        next + 2_000
    });
    is_ill.recv().expect("the peer is left out");
    lab.run("block --off");
    heal.send(()).expect("it waits");
    let messages = publishing.join().expect("no panic");
    let pods = pods.stop();
    pods[0].assert_got(0..messages);
    assert_eq!(pods[1].numbers.last(), Some(&(messages - 1)));
}

#[test]
fn a_batch_goes_on_where_a_full_socket_stopped_it() {
    a_full_socket_stops_a_batch(100, false, false);
    a_full_socket_stops_a_batch(100, false, true);
    // What comes while a pass waits joins datagrams, but not those that are going out.
    a_full_socket_stops_a_batch(3_000, true, true);
}

fn a_full_socket_stops_a_batch(messages: u64, packing: bool, gso: bool) {
    let lab = Lab::up("--pods 50");
    let pods = Pods::start(&lab, lab.addresses());
    let publishing = lab.thread("publisher", move || {
        let mut publisher = ready(publisher().send_buffer(1).copies(1).packing(packing).gso(gso), 50);
        // Peers are known; DNS would suffer from the queue as well.
        squeeze_is_on(&mut publisher);
        publisher
    });
    let mut publisher = publishing.join().expect("no panic");
    lab.run("squeeze 20mbit");
    let publishing = lab.thread("publisher", move || {
        for number in 0..messages {
            publisher.publish(&number.to_le_bytes()).expect("published");
        }
        assert_eq!(publisher.close(SOON).expect("closed"), 0);
        let counters = publisher.counters();
        assert_eq!(counters.trains.get() > 0, gso, "messages queued while the socket was full");
        assert_eq!(counters.packed.get() > 0, packing);
        assert!(counters.blocked.get() > 10, "the socket was full {} times only", counters.blocked.get());
        let datagrams = messages - counters.packed.get();
        assert_eq!((counters.sent_first.get(), counters.transient.get()), (50 * datagrams, 0));
    });
    publishing.join().expect("no panic");
    // What the queue still holds arrives within a moment.
    lab.run("squeeze off");
    for pod in pods.stop() {
        pod.assert_got(0..messages);
        assert_eq!(pod.numbers, (0..messages).collect::<Vec<_>>(), "in order, for nothing was sent twice");
        assert_eq!(pod.subscriber.counters().duplicates.get(), 0);
    }
}

#[test]
fn when_messages_may_be_dropped_the_counters_add_up_and_what_arrives_is_whole() {
    for (backlog, copies) in [
        (Backlog::DropNewest, 2),
        (Backlog::DropOldest, 2),
        (Backlog::DropNewest, 1),
        (Backlog::DropOldest, 1),
    ] {
        let lab = Lab::up("--pods 20");
        let pods = Pods::start(&lab, lab.addresses());
        let building = lab.thread("publisher", move || {
            let builder = publisher().send_buffer(1).ring(64).spacing(Duration::ZERO);
            ready(builder.backlog(backlog).copies(copies).packing(false), 20)
        });
        let mut publisher = building.join().expect("no panic");
        lab.run("squeeze 20mbit");
        let publishing = lab.thread("publisher", move || {
            let mut refused = 0;
            for number in 0..5_000u64 {
                refused += u64::from(publisher.publish(&number.to_le_bytes()).is_err());
                publisher.turn(Some(Duration::ZERO)).expect("a turn");
            }
            assert_eq!(publisher.close(SOON).expect("closed"), 0);
            let counters = publisher.counters();
            let dropped = counters.dropped_newest.get() + counters.dropped_oldest.get();
            assert!(
                counters.blocked.get() > 10 && dropped > 100,
                "{:?}",
                counters.each().collect::<Vec<_>>()
            );
            assert_eq!(refused, counters.dropped_newest.get());
            assert_eq!(counters.messages.get() + counters.dropped_newest.get(), 5_000);
            assert_eq!(counters.messages.get(), counters.passes_first.get() + counters.dropped_oldest.get());
            let later = counters.passes_later.get() + counters.copies_shed.get();
            assert_eq!(later, counters.passes_first.get() * (copies as u64 - 1));
            assert!(counters.trains.get() > 0, "messages queued while the socket was full");
            // Whatever was begun was finished.
            let sent = counters.sent_first.get() + counters.sent_later.get() + counters.sent_heartbeats.get();
            let all: Vec<_> = counters.each().collect();
            assert_eq!(
                counters.offered.get(),
                sent + counters.rejected.get() + counters.transient.get(),
                "{backlog:?}, {copies}: {all:?}"
            );
            assert_eq!(counters.sent_first.get(), 20 * counters.passes_first.get());
            counters.passes_first.get()
        });
        let passes = publishing.join().expect("no panic");
        lab.run("squeeze off");
        for pod in pods.stop() {
            let mut numbers = pod.numbers.clone();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), pod.numbers.len(), "{backlog:?}: nothing is handed on twice");
            let count = numbers.len() as u64;
            assert!(count == passes && numbers.last() < Some(&5_000), "{backlog:?}: {count} of {passes}");
        }
    }
}

/// Nothing has gone out yet: the sockets of the publisher are as they were made.
fn squeeze_is_on(publisher: &mut headcast::Publisher) {
    assert_eq!(publisher.counters().calls.get(), 0);
}

#[test]
fn with_five_percent_loss_two_spaced_copies_lose_what_theory_says() {
    const PODS: u64 = 100;
    const MESSAGES: u64 = 2_000;
    let lab = Lab::up(&format!("--pods {PODS}"));
    let pods = Pods::start(&lab, lab.addresses());
    lab.run("drop 5");
    let publishing = lab.thread("publisher", || {
        let mut publisher = ready(publisher(), 100);
        publish_paced(&mut publisher, 0..MESSAGES, Duration::from_millis(2));
        publisher.close(SOON).expect("closed")
    });
    assert_eq!(publishing.join().expect("no panic"), 0);
    let (mut delivered, mut rescued, mut booked) = (0, 0, 0);
    for pod in pods.stop() {
        let counters = pod.subscriber.counters();
        assert_eq!((counters.delivered.get(), counters.socket_dropped.get()), (pod.numbers.len() as u64, 0));
        let mut numbers = pod.numbers.clone();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), pod.numbers.len(), "nothing is handed on twice");
        delivered += counters.delivered.get();
        rescued += counters.rescued.get();
        booked += counters.lost.get() + pod.subscriber.missing();
    }
    // Independent loss p: a message is lost with p^2 = 0.25 %, and rescued with p(1 - p) = 4.75 %.
    let n = (PODS * MESSAGES) as f64;
    let within = |count: u64, p: f64| {
        let sigmas = (count as f64 - n * p) / (n * p * (1.0 - p)).sqrt();
        // 4.4 standard deviations: wrong once in 100,000 runs.
        assert!(sigmas.abs() < 4.4, "{count} of {n} is {sigmas:.1} standard deviations from {p}");
    };
    let lost = PODS * MESSAGES - delivered;
    within(lost, 0.05 * 0.05);
    within(rescued, 0.05 * 0.95);
    // A pod cannot know of messages before its first; it knows of all others, by the farewell at the latest.
    assert!(booked <= lost && lost - booked < 30, "{booked} of {lost} are booked");
}

#[test]
fn a_peers_file_is_followed() {
    let lab = Lab::up("--pods 3 --no-records");
    let file = std::env::temp_dir().join(format!("headcast-lab-peers-{}", std::process::id()));
    let write = |text: &str| {
        let next = file.with_extension("next");
        std::fs::write(&next, text).expect("written");
        std::fs::rename(&next, &file).expect("renamed");
    };
    let addresses = lab.addresses();
    write(&format!("{}\n", addresses[0]));
    let pods = Pods::start(&lab, addresses.clone());
    let path = file.clone();
    let (tell, told) = std::sync::mpsc::channel();
    let publishing = lab.thread("publisher", move || {
        let mut publisher = ready(headcast::Publisher::builder().peers_file(path, 12000).publisher_id(1), 1);
        publisher.publish(&0u64.to_le_bytes()).expect("published");
        tell.send(publisher.monitor()).expect("the test waits");
        while publisher.peers() != 2 {
            publisher.turn(Some(Duration::from_millis(10))).expect("a turn");
        }
        publisher.publish(&1u64.to_le_bytes()).expect("published");
        publisher.close(SOON).expect("closed")
    });
    let monitor = told.recv().expect("a publisher");
    // One bad line, and the whole update is ignored.
    write(&format!("{}\nnonsense\n{}\n", addresses[1], addresses[2]));
    crate::support::until("the bad line is named", || {
        monitor.status().outcome.is_some_and(|outcome| outcome.to_string().contains("line 2"))
    });
    let peers: PeerSet = monitor.status().peers.into_iter().collect();
    assert_eq!(peers.iter().map(std::net::SocketAddr::ip).collect::<Vec<_>>(), addresses[..1]);
    write(&format!("# two\n{}\n{}:12000 # the last\n", addresses[1], addresses[2]));
    assert_eq!(publishing.join().expect("no panic"), 0);
    std::fs::remove_file(&file).expect("removed");
    let got: Vec<_> = pods.stop().into_iter().map(|pod| pod.numbers).collect();
    assert_eq!(got, [vec![0], vec![1], vec![1]]);
}
