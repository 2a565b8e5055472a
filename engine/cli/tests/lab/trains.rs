//! Several datagrams in one send, on paths that do not take them.

use std::net::IpAddr;
use std::time::Duration;

use headcast::Publisher;

use crate::support::{Lab, Pods, SOON, publisher, ready};

/// An MTU that a datagram of a number does not fit into, and a heartbeat does.
const NARROW: u32 = 70;
/// Datagrams that are posted before they are flushed.
const TOGETHER: u64 = 40;

/// Says that only short packets may go to a peer.
fn narrow(lab: &Lab, peer: IpAddr) {
    let family = if peer.is_ipv6() { "-6" } else { "-4" };
    let way = lab.output("publisher", "ip", &format!("{family} -o route get {peer}"));
    let way = String::from_utf8_lossy(&way.stdout).into_owned();
    let mut words = way.split_whitespace().skip_while(|word| *word != "dev");
    let device = words.nth(1).unwrap_or_else(|| panic!("a device in {way}")).to_owned();
    let done =
        lab.output("publisher", "ip", &format!("{family} route replace {peer} dev {device} mtu {NARROW}"));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Posts numbered messages, many at a time, and sends them.
fn post(publisher: &mut Publisher, numbers: std::ops::Range<u64>) {
    for number in numbers {
        publisher.post(&number.to_le_bytes()).expect("taken in");
        if number % TOGETHER == TOGETHER - 1 {
            publisher.flush().expect("sent");
            publisher.turn(Some(Duration::from_millis(1))).expect("a turn");
        }
    }
}

#[test]
fn a_path_that_becomes_too_narrow_for_trains_is_sent_single_datagrams_and_loses_nothing() {
    const PODS: usize = 10;
    let lab = Lab::up(&format!("--pods {PODS}"));
    let pods = Pods::start(&lab, lab.addresses());
    let (ask, asked) = std::sync::mpsc::channel();
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let publishing = lab.thread("publisher", move || {
        let mut publisher = ready(publisher().packing(false).copies(2), PODS);
        post(&mut publisher, 0..2_000);
        let before = publisher.counters().gso_refused.get();
        ask.send(()).expect("the test waits");
        told.recv().expect("the test goes on");
        post(&mut publisher, 2_000..6_000);
        assert_eq!(publisher.close(SOON).expect("closed"), 0);
        let counters = publisher.counters();
        assert_eq!((before, counters.gso_refused.get()), (0, 1), "found out once, and remembered");
        let failed =
            [&counters.rejected, &counters.transient, &counters.quarantined].map(|count| count.get());
        assert_eq!(failed, [0; 3]);
        let sent = [&counters.sent_first, &counters.sent_later].map(|count| count.get());
        assert_eq!(sent, [6_000 * PODS as u64; 2]);
        // All of them to nine peers, and to the tenth those of the beginning.
        let together = counters.train_datagrams.get();
        assert!(together > 6_000 * 9 && together < 2 * 6_000 * PODS as u64, "{together}");
    });
    asked.recv().expect("a publisher");
    narrow(&lab, lab.address(7));
    tell.send(()).expect("it waits");
    publishing.join().expect("no panic");
    for pod in pods.stop() {
        pod.assert_got(0..6_000);
    }
}
