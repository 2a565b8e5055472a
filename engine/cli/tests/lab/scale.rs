//! Few pods and many.

use std::time::Duration;

use crate::support::{Lab, NAME, Pods, SOON, publish_paced, publisher, ready};

fn all_get_everything_once(pods: usize, messages: u64, every: Duration) {
    let lab = Lab::up(&format!("--pods {pods}"));
    let receiving = Pods::start(&lab, lab.addresses());
    let totals = lab.thread("publisher", move || {
        let mut publisher = ready(publisher(), pods);
        publish_paced(&mut publisher, 0..messages, every);
        assert_eq!(publisher.close(SOON).expect("closed"), 0);
        let counters = publisher.counters();
        (counters.sent_first.get(), counters.sent_later.get(), counters.rejected.get())
    });
    let sent = pods as u64 * messages;
    assert_eq!(totals.join().expect("no panic"), (sent, sent, 0));
    for pod in receiving.stop() {
        pod.assert_got(0..messages);
        let counters = pod.subscriber.counters();
        assert_eq!((counters.duplicates.get(), counters.ended.get(), counters.lost.get()), (messages, 1, 0));
    }
}

#[test]
fn three_pods_get_every_message_once() {
    all_get_everything_once(3, 2_000, Duration::from_micros(200));
}

#[test]
fn a_hundred_pods_get_every_message_once() {
    all_get_everything_once(100, 500, Duration::from_millis(2));
}

#[test]
fn a_thousand_pods_get_every_message_once() {
    all_get_everything_once(1_000, 100, Duration::from_millis(30));
}

#[test]
fn the_answer_for_a_thousand_pods_comes_over_tcp_after_truncation() {
    let lab = Lab::up("--pods 1000");
    let ask = |how: &str| lab.output("publisher", "dig", &format!("+bufsize=1232 {how} {NAME} A"));
    let by_udp = String::from_utf8_lossy(&ask("+notcp +ignore").stdout).into_owned();
    assert!(by_udp.contains("flags: qr aa tc"), "{by_udp}");
    let resolved = lab.output("publisher", crate::support::HEADCAST, &format!("resolve {NAME}:12000"));
    let text = String::from_utf8_lossy(&resolved.stdout);
    assert!(text.ends_with("= 1000 peers, TTL 1 s\n"), "{text}");
}

#[test]
fn both_families_behind_one_name_are_reached() {
    let lab = Lab::up("--pods 5 --ipv6");
    let mut addresses = lab.addresses();
    addresses.extend(
        lab.run("addresses --ipv6")
            .split_whitespace()
            .map(|line| -> std::net::IpAddr { line.parse().expect("an address") }),
    );
    assert_eq!(addresses.len(), 10);
    let receiving = Pods::start(&lab, addresses);
    let publishing = lab.thread("publisher", || {
        let mut publisher = ready(publisher(), 10);
        publish_paced(&mut publisher, 0..200, Duration::from_millis(1));
        publisher.close(SOON).expect("closed")
    });
    assert_eq!(publishing.join().expect("no panic"), 0);
    receiving.stop().iter().for_each(|pod| pod.assert_got(0..200));
}
