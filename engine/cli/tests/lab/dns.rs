//! DNS as it is: it lags, it contradicts itself, it breaks.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use headcast::Monitor;
use headcast::peers::{LookupError, Outcome};

use crate::support::{Lab, Pods, SOON, now, publish_paced, publisher, ready, until};

/// A message every two milliseconds, from a thread in the publisher's namespace, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    monitor: Monitor,
    thread: JoinHandle<u64>,
}

impl Load {
    fn start(lab: &Lab, peers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let (tell, told) = channel();
        let thread = lab.thread("publisher", move || {
            let mut publisher = ready(publisher(), peers);
            tell.send(publisher.monitor()).expect("the test waits");
            let mut next = 0;
            while !stopping.load(Relaxed) {
                publish_paced(&mut publisher, next..next + 10, Duration::from_millis(2));
                next += 10;
            }
            assert_eq!(publisher.close(SOON).expect("closed"), 0);
            next
        });
        Self { stop, monitor: told.recv().expect("a publisher"), thread }
    }

    fn outcome(&self) -> Outcome {
        self.monitor.status().outcome.expect("it has asked")
    }

    fn peers(&self) -> Vec<IpAddr> {
        self.monitor.status().peers.iter().map(std::net::SocketAddr::ip).collect()
    }

    /// Waits until the source has been asked this often from now on.
    fn asked_again(&self, times: u64) {
        let until_lookup = self.monitor.status().lookups.0 + times;
        until("more lookups", || self.monitor.status().lookups.0 >= until_lookup);
    }

    /// Stops; how many messages there were.
    fn stop(self) -> u64 {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("no panic")
    }
}

/// Breaks DNS in a way, waits until the publisher has noticed, mends it, waits until that is noticed.
fn break_and_mend(lab: &Lab, load: &Load, how: &str, noticed: impl Fn(&Outcome) -> bool) {
    lab.run(&format!("dns fail {how}"));
    until(how, || noticed(&load.outcome()));
    lab.run("dns fail off");
    until("DNS answers again", || load.outcome().is_current());
    assert_eq!(load.peers().len(), 5, "after {how}");
}

#[test]
fn whatever_dns_answers_no_healthy_pod_misses_a_message() {
    let lab = Lab::up("--pods 5");
    let pods = Pods::start(&lab, lab.addresses());
    let load = Load::start(&lab, 5);

    break_and_mend(&lab, &load, "servfail", |outcome| *outcome == Outcome::Failed(LookupError::ServFail));
    break_and_mend(&lab, &load, "nxdomain", |outcome| {
        matches!(outcome, Outcome::NoSuchName { held_for: 1.., .. })
    });
    break_and_mend(&lab, &load, "empty", |outcome| matches!(outcome, Outcome::Empty { held_for: 1.., .. }));
    break_and_mend(&lab, &load, "garbage", |outcome| matches!(outcome, Outcome::Failed(_)));

    // A chain of names leads to the same addresses.
    lab.run("dns chain 5");
    load.asked_again(3);
    assert!(load.outcome().is_current() && load.peers().len() == 5);
    lab.run("dns chain 0");

    // Answers of two servers, one of which lags: each of two pods is absent every other time.
    let all = lab.addresses();
    let without = |absent: usize| {
        let present: Vec<String> =
            all.iter().filter(|ip| **ip != all[absent]).map(ToString::to_string).collect();
        format!("dns set {}", present.join(" "))
    };
    for turn in 0..6 {
        lab.run(&without(turn % 2));
        load.asked_again(1);
        assert_eq!(load.peers().len(), 5, "turn {turn}");
    }
    let every: Vec<String> = all.iter().map(ToString::to_string).collect();
    lab.run(&format!("dns set {}", every.join(" ")));

    let messages = load.stop();
    pods.stop().iter().for_each(|pod| pod.assert_got(0..messages));
}

#[test]
fn a_pod_appears_disappears_and_comes_back_and_the_others_notice_nothing() {
    let lab = Lab::up("--pods 4");
    let (steady, guest) = (lab.addresses()[..3].to_vec(), lab.address(4));
    lab.run(&format!("dns del {guest}"));
    let pods = Pods::start(&lab, steady);
    let load = Load::start(&lab, 3);

    let mut visits = Vec::new();
    for _ in 0..2 {
        let visit = Pods::start(&lab, vec![guest]);
        lab.run(&format!("dns add {guest}"));
        until("the pod is a peer", || load.peers().contains(&guest));
        load.asked_again(1);
        lab.run(&format!("dns del {guest}"));
        until("the pod is no peer any more", || !load.peers().contains(&guest));
        visits.push(visit.stop().remove(0).numbers);
    }

    let messages = load.stop();
    pods.stop().iter().for_each(|pod| pod.assert_got(0..messages));
    for numbers in &mut visits {
        // The first thing that a newcomer gets may be the second copy of an earlier message.
        numbers.sort_unstable();
        let (first, last) = (numbers[0], *numbers.last().expect("messages"));
        assert_eq!(*numbers, (first..=last).collect::<Vec<_>>(), "while it is a peer it misses nothing");
    }
    assert!(visits[0].last() < visits[1].first());
}

#[test]
fn dns_is_gone_for_a_minute_under_load_and_nobody_misses_a_message() {
    let lab = Lab::up("--pods 3");
    let pods = Pods::start(&lab, lab.addresses());
    let load = Load::start(&lab, 3);
    lab.run("dns stop --drop");
    let (gone, minute) = (now(), Duration::from_secs(60));
    while gone.elapsed() < minute {
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(load.peers().len(), 3);
    }
    let age = load.monitor.status().age.expect("it was known once");
    assert!(age > Duration::from_secs(55), "the set is said to be {age:?} old");
    assert!(matches!(load.outcome(), Outcome::Failed(LookupError::Timeout(_))), "{:?}", load.outcome());
    lab.run("dns start");
    until("DNS answers again", || load.outcome().is_current());
    let messages = load.stop();
    assert!(messages > 20_000);
    pods.stop().iter().for_each(|pod| pod.assert_got(0..messages));
}
