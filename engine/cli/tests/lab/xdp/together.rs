//! Frames together with everything else that a publisher does: copies, repairs, packed datagrams, trains.

use std::time::Duration;

use headcast::Mode;

use super::publishing::Publishing;
use super::{SETTLED, addresses, ip, publisher};
use crate::support::{Lab, Pods, SOON, now};

#[test]
fn what_is_lost_is_repaired_while_copies_go_by_frames_and_next_hops_come_and_go() {
    const PODS: u64 = 5;
    let lab = Lab::up("--pods 5 --no-records");
    lab.run("drop 5 --burst 8");
    lab.run("drop 5 --at publisher");
    let addresses = addresses(&lab, false);
    let pods = Pods::start(&lab, addresses.clone());
    let builder = publisher(&addresses).mode(Mode::DupNak).spacing(Duration::from_millis(1));
    let publishing = Publishing::start(&lab, builder);
    for _ in 0..5 {
        publishing.until_framed(5);
        let framed = publishing.framed();
        publishing.until_framed_datagrams(framed + 2 * PODS * 1_000);
        // All of them by the socket until it is confirmed.
        ip(&lab, "publisher", "neighbour change 10.78.0.20 dev eth0 nud stale");
    }
    let done = publishing.stop();
    assert!(done.count("sent_xdp") > done.messages * PODS, "{:?}", done.counters);
    assert!(done.count("repairs_sent") > 0, "{:?}", done.counters);
    assert_eq!(done.count("peer_sets"), 1, "other ways are no other peers");
    for pod in pods.stop() {
        pod.assert_got(0..done.messages);
        assert!(pod.subscriber.counters().repaired.get() > 0, "{:?}", pod.counts());
    }
}

#[test]
fn what_queues_goes_out_together_and_single_datagrams_by_frames() {
    const ROUNDS: u64 = 300;
    const EACH: usize = 20;
    let lab = Lab::up("--pods 3 --no-records");
    let addresses = addresses(&lab, false);
    for packing in [true, false] {
        let pods = Pods::start(&lab, addresses.clone());
        let builder = publisher(&addresses).packing(packing);
        let publishing = lab.thread("publisher", move || {
            let mut publisher = builder.build().expect("a publisher");
            publisher.wait_for_peers(SOON).expect("peers");
            let deadline = now() + SETTLED;
            let mut numbers = 0u64..;
            while publisher.monitor().status().frames.is_none_or(|frames| frames.peers < 3) {
                assert!(now() < deadline, "the next hops become known");
                let number = numbers.next().expect("one more");
                publisher.publish(&number.to_le_bytes()).expect("published");
                publisher.turn(Some(Duration::from_millis(10))).expect("a turn");
            }
            publisher.turn(Some(Duration::ZERO)).expect("a turn");
            for _ in 0..ROUNDS {
                for number in numbers.by_ref().take(EACH) {
                    publisher.post(&number.to_le_bytes()).expect("posted");
                }
                publisher.flush().expect("sent");
                publisher.publish(&numbers.next().expect("one more").to_le_bytes()).expect("published");
                // So that the pods' buffers hold it.
                publisher.turn(Some(Duration::from_millis(1))).expect("a turn");
            }
            assert_eq!(publisher.close(SOON).expect("closed"), 0);
            (numbers.start, publisher.counters().each().collect::<std::collections::BTreeMap<_, _>>())
        });
        let (messages, counters) = publishing.join().expect("no panic");
        // Every round one that goes alone; packed, what queued is a single datagram as well.
        let alone = if packing { 2 * ROUNDS } else { ROUNDS } * 3;
        assert!(counters["sent_xdp"] >= alone, "{counters:?}");
        assert_eq!(counters["packed"] > 0, packing, "{counters:?}");
        assert_eq!(counters["train_datagrams"] > 0, !packing, "{counters:?}");
        assert!(
            counters["sent_xdp"] + counters["train_datagrams"]
                <= counters["sent_first"] + counters["sent_heartbeats"]
        );
        for pod in pods.stop() {
            pod.assert_got(0..messages);
        }
    }
}
