//! What is missing is asked for, at its time.

use super::source::*;
use super::*;
use crate::repair::ANSWER_MAX;

fn asking() -> Receiver {
    receiver().asking(Sequencer::new(99, Session::new(1, 1), 0))
}

/// When a receiver asks for something until it gives up, and when that is, in microseconds after `from`. Meanwhile
/// the publisher is heard, but has nothing to tell.
fn times_us(of: &mut Receiver, source: &Source, from: Now) -> (Vec<u64>, u64) {
    let mut asked = Vec::new();
    of.tick(from);
    loop {
        let now = at_ns(of.deadline_ns());
        let after_us = (now.mono_ns - from.mono_ns) / 1_000;
        if !requests(of, now).is_empty() {
            asked.push(after_us);
            source.heartbeat(of, 1, at_ns(now.mono_ns + 1));
        }
        if !events(of).is_empty() {
            return (asked, after_us);
        }
    }
}

/// Has 2 lost, revealed by 3 at `now`.
fn lose_one(to: &mut Receiver, source: &Source, now: Now) {
    source.send(to, 1, 0, now);
    source.send(to, 3, 0, now);
    events(to);
}

#[test]
fn a_hole_is_asked_for_after_200_us_then_each_time_after_twice_as_long_until_50_ms() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    lose_one(&mut to, &source, at(10));
    assert!(requests(&mut to, at_ns(10 * MS + 199_999)).is_empty());
    let asked = vec![200, 1_200, 3_200, 7_200, 15_200, 23_200, 31_200, 39_200, 47_200];
    assert_eq!(times_us(&mut to, &source, at(10)), (asked, 50_200), "8 ms are long enough");
}

#[test]
fn a_publisher_that_stands_still_is_waited_for_until_it_counts_as_silent() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    lose_one(&mut to, &source, at(10));
    assert!(pass(&mut to, at(3_009)).is_empty());
    assert_eq!(pass(&mut to, at(3_010)), ["2-2", "silent"]);
}

#[test]
fn a_publisher_that_stood_still_can_repair_what_was_missing_before() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    lose_one(&mut to, &source, at(10));
    assert!(pass(&mut to, at(1_500)).is_empty());
    assert_eq!(source.repair(&mut to, 2, at(1_500)), RESCUED);
}

#[test]
fn who_is_hardly_heard_is_hardly_asked() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    let mut asked = 0;
    for at_ms in 0..2_000 {
        // One datagram in a while, each of them a hole: what a forger would send to have somebody else asked.
        if at_ms % 100 == 0 {
            source.send(&mut to, at_ms / 50 + 1, 0, at(at_ms));
        }
        to.tick(at(at_ms));
        asked += requests(&mut to, at(at_ms)).len();
        events(&mut to);
    }
    assert_eq!(asked, 64 + 20 / 4);
}

#[test]
fn a_hole_is_asked_for_200_us_after_its_last_copy_was_due() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(10));
    accept(&mut to, &source.bytes(1, 1, at(10)), at(13));
    source.send(&mut to, 3, 0, at(20));
    events(&mut to);
    let (asked, given_up) = times_us(&mut to, &source, at(20));
    assert_eq!((asked[0], given_up), (3_200, 53_200));
}

#[test]
fn it_asks_again_after_two_round_trips_once_it_knows_them() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    lose_one(&mut to, &source, at(10));
    assert_eq!(requests(&mut to, at(11)), [[2]]);
    assert_eq!(source.repair(&mut to, 2, at(16)), RESCUED);
    source.send(&mut to, 5, 0, at(20));
    let asked = (0..8).map(|n| 200 + n * 10_000).collect();
    assert_eq!(times_us(&mut to, &source, at(20)), (asked, 74_200), "after 50 ms, not before the eighth");
    assert_eq!(to.stats().repaired, 1);
}

#[test]
fn a_distant_publisher_is_asked_eight_times() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    lose_one(&mut to, &source, at(10));
    assert_eq!(requests(&mut to, at(11)), [[2]]);
    source.repair(&mut to, 2, at(31));
    source.send(&mut to, 5, 0, at(40));
    let asked = vec![200, 40_200, 80_200, 120_200, 184_200, 248_200, 312_200, 376_200];
    assert_eq!(times_us(&mut to, &source, at(40)), (asked, 384_200));
}

#[test]
fn what_is_not_repaired_is_not_asked_for() {
    let (mut to, source) = (asking(), Source::new(1, 0).without_repair());
    lose_one(&mut to, &source, at(10));
    assert_eq!(times_us(&mut to, &source, at(10)), (vec![], 50_000));
    assert_eq!(to.stats().requests, 0);
}

#[test]
fn who_does_not_ask_makes_no_request() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    lose_one(&mut to, &source, at(10));
    assert!(times_us(&mut to, &source, at(10)).0.is_empty());
}

#[test]
fn a_request_names_who_is_asked_and_what_is_missing() {
    let (mut to, source) = (asking(), Source { stream: 6, ..Source::new(5, 0) });
    assert_eq!(to.noticed(), None);
    source.send(&mut to, 10, 0, at(10));
    assert_eq!(to.noticed(), Some(0));
    source.send(&mut to, 13, 0, at(10));
    source.send(&mut to, 200, 0, at(10));
    assert_eq!(to.noticed(), Some(0));
    to.tick(at(11));
    let mut bytes = [0; NAK_MAX];
    let request = to.request(at(11), &mut bytes).expect("a request");
    assert_eq!(request.place, 0);
    let nak = Datagram::parse(&bytes[..request.len]).expect("a valid datagram");
    assert_eq!((nak.kind(), nak.publisher(), nak.seq()), (Kind::Nak, 99, 1));
    let (head, entries) = crate::body::nak(nak.payload()).expect("a request for repairs");
    assert_eq!((head.publisher.get(), head.stream.get()), (5, 6));
    assert_eq!(head.session.get(), source.session.to_bits());
    assert_eq!((entries[0].base.get(), entries[0].bitmap.get() & 0b111), (11, 0b101), "11, 12 and 14");
}

#[test]
fn no_request_asks_for_more_than_it_is_answered_with() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(10));
    source.send(&mut to, 160, 0, at(10));
    let asked = requests(&mut to, at(11));
    assert_eq!(
        asked.iter().map(Vec::len).collect::<Vec<_>>(),
        [ANSWER_MAX, ANSWER_MAX, 158 - 2 * ANSWER_MAX]
    );
    assert_eq!(asked.concat(), (2..160).collect::<Vec<_>>());
    assert_eq!((to.stats().requests, to.stats().requested), (3, 158));
}

#[test]
fn scattered_holes_take_at_most_16_entries_to_a_request() {
    let mut to = Receiver::new(&Limits { publishers: 4, window: 8192, ..Limits::default() }, &[])
        .asking(Sequencer::new(99, Session::new(1, 1), 0));
    let source = Source::new(1, 0);
    source.send(&mut to, 1, 0, at(10));
    for hole in 1..=20 {
        for seq in 100 * (hole - 1) + 2..100 * hole {
            source.send(&mut to, seq, 0, at(10));
        }
        source.send(&mut to, 100 * hole + 1, 0, at(10));
    }
    let asked = requests(&mut to, at(11));
    assert_eq!(asked.iter().map(Vec::len).collect::<Vec<_>>(), [16, 4]);
    assert_eq!(asked.concat(), (1..=20).map(|hole| 100 * hole).collect::<Vec<_>>());
}

#[test]
fn what_came_meanwhile_is_not_asked_for() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(10));
    source.send(&mut to, 5, 0, at(10));
    source.send(&mut to, 3, 1, at(10));
    assert_eq!(requests(&mut to, at(11)), [[2, 4]]);
    source.repair(&mut to, 2, at(11));
    assert_eq!(requests(&mut to, at(12)), [[4]]);
}

#[test]
fn the_tail_is_asked_for_when_a_heartbeat_tells_of_it() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(10));
    source.heartbeat(&mut to, 2, at(11));
    assert_eq!(requests(&mut to, at_ns(11 * MS + 200_000)), [[2]]);
}

#[test]
fn next_to_the_last_sequence_nothing_is_asked_for_twice() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    source.send(&mut to, u64::MAX - 40, 0, at(10));
    source.heartbeat(&mut to, u64::MAX, at(10));
    assert_eq!(requests(&mut to, at(11)), [(u64::MAX - 39..=u64::MAX).collect::<Vec<_>>()]);
    assert_eq!(to.stats().requested, 40);
}

#[test]
fn each_publisher_is_asked_for_its_own() {
    let (mut to, sources) = (asking(), [Source::new(1, 0), Source::new(2, 0)]);
    for (source, hole) in sources.iter().zip([5, 7]) {
        source.send(&mut to, hole - 1, 0, at(10));
        source.send(&mut to, hole + 1, 0, at(10));
    }
    to.tick(at(11));
    let (mut places, mut bytes) = (Vec::new(), [0; NAK_MAX]);
    while let Some(request) = to.request(at(11), &mut bytes) {
        places.push(request.place);
    }
    assert_eq!(places, [0, 1]);
}
