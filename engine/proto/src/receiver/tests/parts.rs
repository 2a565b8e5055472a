//! Messages of several datagrams, handed on at once.

use super::source::*;
use super::*;
use crate::header::path;

fn asking() -> Receiver {
    receiver().asking(Sequencer::new(99, Session::new(1, 1), 0))
}

/// The events without the sessions that open.
fn next_message(of: &mut Receiver) -> Option<(u64, u64, bool, Vec<u8>)> {
    loop {
        match of.event()? {
            Event::Message { seq, timestamp, rescued, payload, .. } => {
                return Some((seq, timestamp, rescued, payload.to_vec()));
            }
            Event::Opened { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn parts_make_their_message_in_whatever_order_they_come() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (mut to, source) = (receiver(), Source::new(1, 0));
        for (time, index) in (1..).zip(order) {
            let part = [b"Head", &b"ca"[..], b"st"][usize::from(index)];
            assert_eq!(source.part(&mut to, 7, (index, 3), part, at(time)), Verdict::Kept);
        }
        let (seq, timestamp, rescued, payload) = next_message(&mut to).expect("complete");
        assert_eq!((seq, rescued, &payload[..]), (7, false, &b"Headcast"[..]), "{order:?}");
        let first = order.iter().position(|index| *index == 0).expect("it came") as u64 + 1;
        assert_eq!(timestamp, at(first).unix_ns, "that of its first part");
        assert_eq!(next_message(&mut to), None);
        assert_eq!((to.memory().0, to.stats().completed), (0, 1));
    }
}

#[test]
fn a_copy_of_a_part_is_a_duplicate_before_and_after_the_message_is_complete() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.part(&mut to, 1, (0, 2), b"x", at(1));
    assert_eq!(source.part(&mut to, 1, (0, 2), b"x", at(1)), Verdict::Duplicate);
    source.part(&mut to, 1, (1, 2), b"x", at(1));
    assert_eq!(events(&mut to), ["1"]);
    assert_eq!(source.part(&mut to, 1, (1, 2), b"x", at(1)), Verdict::Duplicate);
    assert!(events(&mut to).is_empty());
}

#[test]
fn other_messages_do_not_wait_for_the_parts_of_one() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.part(&mut to, 1, (0, 3), b"x", at(1));
    assert_eq!(source.send(&mut to, 4, 0, at(1)), NEW);
    source.part(&mut to, 1, (2, 3), b"x", at(1));
    source.part(&mut to, 1, (1, 3), b"x", at(1));
    assert_eq!(events(&mut to), ["1"]);
}

#[test]
fn a_single_lost_part_is_asked_for_and_completes_its_message() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    source.part(&mut to, 1, (0, 3), b"x", at(1));
    source.part(&mut to, 1, (2, 3), b"z", at(1));
    assert_eq!(requests(&mut to, at(2)), [[2]]);
    source.part_on(&mut to, 1, (1, 3), b"y", path::RETRANSMISSION, at(3));
    let (seq, _, rescued, payload) = next_message(&mut to).expect("complete");
    assert_eq!((seq, rescued, &payload[..]), (1, true, &b"xyz"[..]));
    assert_eq!(to.stats().repaired, 1);
}

#[test]
fn a_lost_part_is_a_gap_and_its_message_is_not_handed_on() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.part(&mut to, 1, (0, 3), b"x", at(1));
    source.part(&mut to, 1, (2, 3), b"z", at(1));
    assert_eq!(pass(&mut to, at(100)), ["2-2"]);
    assert_eq!((to.memory().0, to.stats().dropped_parts, to.stats().completed), (0, 2, 0));
    assert_eq!(source.part(&mut to, 1, (1, 3), b"y", at(100)), Verdict::Refused(Refusal::Late));
}

#[test]
fn parts_that_come_after_one_was_given_up_are_not_kept_for_ever() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    source.part(&mut to, 2, (1, 3), b"y", at(1));
    assert_eq!(pass(&mut to, at(100)), ["2-2"]);
    source.part(&mut to, 2, (2, 3), b"z", at(100));
    assert!(events(&mut to).is_empty());
    assert_eq!(to.memory().0, 0);
}

#[test]
fn a_session_that_is_first_heard_within_a_message_awaits_that_message() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    source.part(&mut to, 50, (2, 4), b"c", at(1));
    assert_eq!((all_events(&mut to), to.missing()), (vec!["opened at 52".to_owned()], 2));
    assert_eq!(requests(&mut to, at(2)), [[50, 51]]);
    for (index, part) in [(0, b"a"), (1, b"b"), (3, b"d")] {
        source.part(&mut to, 50, (index, 4), part, at(3));
    }
    assert_eq!(messages(&mut to), [(50, b"abcd".to_vec())]);
}

#[test]
fn the_longest_message_is_put_together() {
    let limits = Limits { publishers: 1, ..Limits::default() };
    let (mut to, source) = (Receiver::new(&limits, &[]), Source::new(1, 0));
    let part: Vec<u8> = (0..=255).cycle().map(|at: u8| at.rotate_left(3)).take(1_024).collect();
    for index in (0..1_024).rev() {
        assert_eq!(source.part(&mut to, 1, (index, 1_024), &part, at(1)), Verdict::Kept);
    }
    let [(1, payload)] = &messages(&mut to)[..] else { panic!("one message") };
    assert_eq!(payload.len(), MESSAGE_MAX);
    assert!(payload.chunks(1_024).all(|found| found == part));
    assert_eq!(to.memory().0, 0);
}

#[test]
fn a_message_that_is_too_long_is_refused_and_told_as_lost() {
    let limits = Limits { publishers: 4, window: 256, message_max: 1_000, ..Limits::default() };
    let (mut to, source) = (Receiver::new(&limits, &[]), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    for index in 0..3 {
        let refused = source.part(&mut to, 2, (index, 3), &[0; 501], at(1));
        assert!(index == 2 || refused == Verdict::Refused(Refusal::MessageTooLong), "{refused:?}");
    }
    source.send(&mut to, 5, 0, at(1));
    assert_eq!(pass(&mut to, at(100)), ["2-3"]);
    assert_eq!(to.memory().0, 0);
}

#[test]
fn a_message_of_more_parts_than_a_window_holds_is_refused() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    let refused = source.part(&mut to, 1, (0, 193), b"x", at(1));
    assert_eq!(refused, Verdict::Refused(Refusal::MessageTooLong));
    assert_eq!(source.part(&mut to, 1_000, (0, 192), b"x", at(200)), Verdict::Refused(Refusal::Jump));
}

#[test]
fn a_part_that_finds_no_room_is_given_up_with_its_message() {
    let limits = Limits { publishers: 4, window: 256, memory: 2 * 1_408, ..Limits::default() };
    let (mut to, source) = (Receiver::new(&limits, &[]), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    for (index, verdict) in [(0, Verdict::Kept), (1, Verdict::Kept), (2, Verdict::Refused(Refusal::Memory))] {
        assert_eq!(source.part(&mut to, 2, (index, 3), b"x", at(1)), verdict);
    }
    assert_eq!(pass(&mut to, at(1)), ["4-4"]);
    assert_eq!((to.missing(), to.memory().0), (0, 0));
}

#[test]
fn a_leap_takes_half_messages_with_it() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.part(&mut to, 1, (0, 3), b"x", at(1));
    source.send(&mut to, 1_000, 0, at(200));
    source.send(&mut to, 1_001, 0, at(200));
    pass(&mut to, at(1_000));
    assert_eq!(to.memory().0, 0);
}

#[test]
fn a_change_of_session_drops_half_messages() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.part(&mut to, 1, (0, 2), b"x", at(1));
    Source::new(1, 2).send(&mut to, 1, 0, at(3));
    events(&mut to);
    assert_eq!(to.memory().0, 0);
}

#[test]
fn parts_of_different_messages_are_not_put_together() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    source.part(&mut to, 2, (0, 2), b"x", at(1));
    // It says that it is the second of three that begin at 2.
    source.part(&mut to, 2, (1, 3), b"y", at(1));
    source.send(&mut to, 4, 0, at(1));
    assert!(pass(&mut to, at(1_000)).is_empty());
    assert_eq!(to.stats().completed, 0);
}

#[test]
fn a_message_may_end_at_the_last_sequence_of_all() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    for (index, part) in (0..).zip(["a", "b", "c"]) {
        source.part(&mut to, u64::MAX - 2, (index, 3), part.as_bytes(), at(1));
    }
    assert_eq!(messages(&mut to), [(u64::MAX - 2, b"abc".to_vec())]);
}
