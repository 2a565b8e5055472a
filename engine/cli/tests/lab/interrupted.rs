//! Publisher and subscribers that are stopped, killed and held up in the middle of a stream, on a network that
//! loses one datagram in twenty, eight in a row, and one in twenty of the requests for repairs.

use std::time::Duration;

use crate::programs::{Listener, Sender, count};
use crate::support::Lab;

/// Lines of a stream, ten seconds long.
const LINES: u64 = 20_000;
/// A burst takes both copies of some messages.
const RATE: &str = "--rate 2000 --spacing 500us";

/// So that a sequence is the number of a line.
fn unpacked() -> String {
    format!("{RATE} --packing off")
}

fn lossy(options: &str) -> Lab {
    let lab = Lab::up(options);
    lab.run("drop 5 --burst 8");
    // By chance: requests are so few that eight in a row would be all that there are for one message.
    lab.run("drop 5 --at publisher");
    lab
}

/// Ends the subscribers: each has got everything, once.
fn all_have_everything(listeners: Vec<Listener>) {
    for (pod, listener) in (1..).zip(listeners) {
        let heard = listener.stop();
        heard.assert_whole(&format!("subscriber {pod} of those that stayed"), 1..=LINES);
        assert!(heard.total("repaired") > 100, "repairs were needed");
    }
}

#[test]
fn a_publisher_that_is_stopped_and_goes_on_has_lost_nothing() {
    let lab = lossy("--pods 5");
    let listeners = Listener::start_all(&lab, 1..=5);
    let mut sender = Sender::start(&lab, LINES, RATE);
    for (at, pause_ms) in [(2_000, 200), (5_000, 1_000), (8_000, 500), (11_000, 300), (14_000, 700)] {
        listeners[0].wait_for_line(at);
        sender.pause(Duration::from_millis(pause_ms));
    }
    let totals = sender.finish();
    assert_eq!((count(&totals, "messages"), count(&totals, "unsent")), (LINES, 0));
    all_have_everything(listeners);
}

#[test]
fn a_subscriber_that_is_stopped_and_goes_on_has_lost_nothing() {
    let lab = lossy("--pods 5");
    let mut listeners = Listener::start_all(&lab, 1..=5);
    let sender = Sender::start(&lab, LINES, RATE);
    for (at, pod, pause_ms) in [(2_000, 1, 200), (5_000, 2, 1_000), (8_000, 1, 500), (11_000, 2, 300)] {
        listeners[0].wait_for_line(at);
        listeners[pod].pause(Duration::from_millis(pause_ms));
    }
    sender.finish();
    all_have_everything(listeners);
}

#[test]
fn a_subscriber_that_is_killed_starts_again_at_what_it_hears_first_and_misses_nothing_from_there() {
    let lab = lossy("--pods 5");
    let listeners = Listener::start_all(&lab, 1..=4);
    let mut victim = Listener::start(&lab, 5, "");
    let sender = Sender::start(&lab, LINES, &unpacked());
    let mut lives = Vec::new();
    for at in [3_000, 6_000, 9_000] {
        listeners[0].wait_for_line(at);
        lives.push(victim.kill());
        victim = Listener::start(&lab, 5, "");
    }
    sender.finish();
    let last = victim.stop();

    let (first, late) = last.joined();
    assert!(late && first > 9_000, "it starts at {first}");
    last.assert_whole("the subscriber of the last start", first..=LINES);
    for life in &lives {
        let (first, numbers) = (life.joined().0, life.lines());
        let mut once = numbers.clone();
        once.dedup();
        assert_eq!(numbers, once, "nothing twice in a life either");
        assert_eq!(numbers.first(), Some(&first));
        assert!(life.lost().is_empty(), "nothing was given up before the kill: {:?}", life.lost());
    }
    all_have_everything(listeners);
}

#[test]
fn a_subscriber_behind_a_slow_link_says_exactly_what_it_lost_and_the_others_lose_nothing() {
    let lab = lossy("--isolated 1 --pods 4");
    let mut listeners = Listener::start_all(&lab, 1..=5);
    let squeezed = listeners.remove(0);
    let sender = Sender::start(&lab, LINES, &unpacked());
    listeners[0].wait_for_line(4_000);
    // Some 2.8 Mbit/s want to go through there, repairs not counted.
    lab.run("squeeze 1mbit --at pod-1");
    listeners[0].wait_for_line(12_000);
    lab.run("squeeze off --at pod-1");
    sender.finish();

    let heard = squeezed.stop();
    heard.assert_accounted("the squeezed subscriber", 1..=LINES);
    assert!(heard.lost().len() > 1_000, "it lost {} only", heard.lost().len());
    assert_eq!(heard.lost().len() as u64, heard.total("lost"));
    all_have_everything(listeners);
}

#[test]
fn a_publisher_whose_own_link_is_always_full_repairs_all_the_same() {
    let lab = Lab::up("--pods 6");
    lab.run("squeeze 8mbit");
    lab.run("drop 2");
    let listeners = Listener::start_all(&lab, 1..=6);
    // As fast as they can be sent; and what waits in the socket is sent within the time that subscribers wait.
    let sender = Sender::start(&lab, 6_000, "--mode nak --send-buffer 8192 --packing off");
    let totals = sender.finish();
    assert!(count(&totals, "blocked") > 1_000, "the socket was full: {totals:?}");
    for (pod, listener) in (1..).zip(listeners) {
        listener.stop().assert_whole(&format!("subscriber {pod}"), 1..=6_000);
    }
}
