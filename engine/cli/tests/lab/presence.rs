//! Who is there, since when, and how it ends.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::programs::{Listener, PUBLISHER, Sender, Told, count};
use crate::support::{Lab, until_within};

fn is_silent(told: &Told) -> bool {
    matches!(told, Told::Silent { publisher: PUBLISHER })
}

fn is_end(told: &Told) -> bool {
    matches!(told, Told::End { publisher: PUBLISHER })
}

#[test]
fn a_publisher_that_is_killed_falls_silent_and_one_that_stops_says_so() {
    let lab = Lab::up("--pods 2");
    for (signal, is_told, is_not) in [
        (Signal::SIGKILL, is_silent as fn(&Told) -> bool, is_end as fn(&Told) -> bool),
        (Signal::SIGTERM, is_end, is_silent),
    ] {
        let listeners = Listener::start_all(&lab, 1..=2);
        let mut sender = Sender::start(&lab, 1_000_000, "--rate 500");
        listeners.iter().for_each(|listener| listener.wait_for_line(200));
        sender.running.signal(signal);
        until_within("the publisher ends", Duration::from_secs(10), || {
            sender.running.child().try_wait().expect("a child").is_some()
        });
        for listener in listeners {
            listener.wait_for(&format!("what becomes of it after {signal}"), is_told);
            let heard = listener.stop();
            let told = heard.0.iter().filter(|told| is_told(told)).count();
            let other = heard.0.iter().filter(|told| is_not(told)).count();
            assert_eq!((told, other), (1, 0), "{signal} is told once, and as what it is");
            let last = *heard.lines().last().expect("messages");
            heard.assert_whole("a subscriber", 1..=last);
        }
    }
}

#[test]
fn the_last_messages_are_repaired_though_nothing_follows_them() {
    const LINES: u64 = 100;
    let lab = Lab::up("--pods 3");
    let victim = lab.address(2);
    // Every copy of the last two, but no repair. In the transport header: the type at 8, the path byte at 11,
    // the sequence at 32, with the low byte first. Single datagrams (no packing, no GSO), for of a train the rules
    // would see the first header only.
    let of_seq = |seq: u64| {
        let seq = seq.swap_bytes();
        format!(
            "ip daddr {victim} udp dport 12000 @th,64,8 0x10 @th,256,64 {seq:#x} @th,88,8 & 0x08 == 0 counter drop"
        )
    };
    lab.nft(
        "pods",
        &format!(
            "table inet last {{\nchain in {{\ntype filter hook prerouting priority -350;\n{}\n{}\n}}\n}}\n",
            of_seq(LINES - 1),
            of_seq(LINES)
        ),
    );
    for (mode, repaired, lost) in [("dup+nak", 2, 0), ("nak", 2, 0), ("dup", 0, 2)] {
        let listeners = Listener::start_all(&lab, 1..=3);
        let totals =
            Sender::start(&lab, LINES, &format!("--mode {mode} --rate 1000 --packing off --gso off"))
                .finish();
        assert_eq!(count(&totals, "messages"), LINES);
        for (pod, listener) in (1..).zip(listeners) {
            listener.wait_for("the end", is_end);
            let heard = listener.stop();
            let who = format!("subscriber {pod}, mode {mode}");
            if pod == 2 {
                assert_eq!((heard.total("repaired"), heard.total("lost")), (repaired, lost), "{who}");
                heard.assert_accounted(&who, 1..=LINES);
            } else {
                heard.assert_whole(&who, 1..=LINES);
                assert_eq!(heard.total("requested"), 0, "{who} had nothing to ask for");
            }
        }
        // The victim may ask again before the answer is there, but not for more than it lacks.
        assert!(mode == "dup" || count(&totals, "repairs_sent") >= 2, "{totals:?}");
    }
}

#[test]
fn a_late_joiner_begins_with_what_it_hears_first_or_with_as_much_of_the_past_as_it_wants() {
    const LINES: u64 = 6_000;
    let lab = Lab::up("--pods 3");
    let early = Listener::start(&lab, 1, "");
    let sender = Sender::start(&lab, LINES, "--rate 1000 --packing off");
    early.wait_for_line(1_000);
    let late = Listener::start(&lab, 2, "");
    let curious = Listener::start(&lab, 3, "--history 50");
    let totals = sender.finish();

    early.stop().assert_whole("who was there from the beginning", 1..=LINES);
    let heard = late.stop();
    let (first, is_late) = heard.joined();
    assert!(is_late && first >= 1_000, "it begins at {first}");
    heard.assert_whole("the late joiner", first..=LINES);
    // What it hears first may be the later copy of a message, ahead of those of the next ones.
    assert!(heard.total("requested") < 20, "it asks for nothing of the past: {:?}", heard.totals());

    let heard = curious.stop();
    let (first, is_late) = heard.joined();
    assert!(is_late && first >= 1_000, "it begins at {first}");
    heard.assert_whole("the one that wants the past", first - 50..=LINES);
    // Later copies of the last ones come by themselves. It may ask again before the answer is there, but for no
    // more of the past.
    assert!((30..500).contains(&heard.total("requested")), "{:?}", heard.totals());
    assert!((1..500).contains(&count(&totals, "repairs_sent")), "{totals:?}");
}
