//! Messages in the order of their sequences.

use super::source::*;
use super::*;

fn ordered() -> Receiver {
    receiver().order(Order::Ordered { max_hold_ns: SECOND })
}

/// Sends one that is in its turn, so that the session is open.
fn begin(to: &mut Receiver, source: &Source) {
    source.send(to, 1, 0, at(1));
    assert_eq!(events(to), ["1"]);
}

#[test]
fn what_is_in_its_turn_is_delivered_at_once() {
    let (mut to, source) = (ordered(), Source::new(1, 0));
    begin(&mut to, &source);
    assert_eq!(source.send(&mut to, 2, 0, at(1)), NEW);
    assert_eq!(source.send(&mut to, 3, 1, at(1)), RESCUED);
    assert_eq!((events(&mut to).len(), to.memory().0), (0, 0));
}

#[test]
fn what_is_ahead_waits_for_what_is_missing() {
    let (mut to, source) = (ordered(), Source::new(1, 0));
    begin(&mut to, &source);
    assert_eq!(source.send(&mut to, 4, 0, at(1)), Verdict::Kept);
    assert_eq!(source.send(&mut to, 3, 0, at(1)), Verdict::Kept);
    assert!(events(&mut to).is_empty());
    assert_eq!(source.send(&mut to, 2, 1, at(2)), Verdict::Kept);
    let three = (2..5).map(|seq: u64| (seq, seq.to_le_bytes().to_vec())).collect::<Vec<_>>();
    assert_eq!(messages(&mut to), three);
    assert_eq!(source.send(&mut to, 5, 0, at(2)), NEW);
    assert_eq!(to.memory().0, 0);
}

#[test]
fn a_copy_of_what_is_held_back_is_a_duplicate() {
    let (mut to, source) = (ordered(), Source::new(1, 0));
    begin(&mut to, &source);
    source.send(&mut to, 3, 0, at(1));
    assert_eq!(source.send(&mut to, 3, 1, at(1)), Verdict::Duplicate);
}

#[test]
fn a_gap_is_told_before_the_messages_that_follow_it() {
    let (mut to, source) = (ordered(), Source::new(1, 0));
    begin(&mut to, &source);
    source.send(&mut to, 4, 0, at(1));
    source.send(&mut to, 5, 0, at(1));
    assert_eq!(pass(&mut to, at(100)), ["2-3", "4", "5"]);
    assert_eq!(source.send(&mut to, 2, 1, at(100)), Verdict::Refused(Refusal::Late));
}

#[test]
fn nothing_is_held_back_longer_than_allowed() {
    let mut to = receiver().order(Order::Ordered { max_hold_ns: 10 * MS });
    let source = Source::new(1, 0);
    begin(&mut to, &source);
    source.send(&mut to, 3, 0, at(5));
    assert!(pass(&mut to, at_ns(15 * MS - 1)).is_empty());
    assert_eq!(pass(&mut to, at(15)), ["2-2", "3"]);
}

#[test]
fn who_asks_holds_back_until_the_repair_comes() {
    let (own, source) = (Sequencer::new(99, Session::new(1, 1), 0), Source::new(1, 0));
    let mut to = ordered().asking(own);
    begin(&mut to, &source);
    source.send(&mut to, 3, 0, at(5));
    assert_eq!(requests(&mut to, at(6)), [[2]]);
    source.repair(&mut to, 2, at(7));
    assert_eq!(events(&mut to), ["2", "3"]);
}

#[test]
fn the_past_comes_before_what_was_heard_first() {
    let (own, source) = (Sequencer::new(99, Session::new(1, 1), 0), Source::new(1, 0));
    let mut to = ordered().asking(own).history(3);
    source.send(&mut to, 10, 0, at(1));
    source.repair(&mut to, 8, at(2));
    source.repair(&mut to, 7, at(2));
    assert_eq!(pass(&mut to, at(2)), ["7", "8"]);
    assert_eq!(pass(&mut to, at(1_001)), ["10"], "9 did not come, and was not promised");
}

#[test]
fn a_change_of_session_hands_on_what_was_held_back() {
    let (mut to, source) = (ordered(), Source::new(1, 0));
    begin(&mut to, &source);
    source.send(&mut to, 3, 0, at(1));
    Source::new(1, 2).send(&mut to, 1, 0, at(3));
    assert_eq!(all_events(&mut to), ["2-2", "3", "opened at 1", "1"]);
}

#[test]
fn after_a_change_of_session_messages_come_whoever_was_heard_in_between() {
    let (mut to, source, other) = (ordered(), Source::new(1, 0), Source::new(2, 0));
    begin(&mut to, &source);
    begin(&mut to, &other);
    source.send(&mut to, 3, 0, at(1));
    other.send(&mut to, 2, 0, at(1));
    let next = Source::new(1, 2);
    next.send(&mut to, 1, 0, at(3));
    assert_eq!(events(&mut to), ["2-2", "3", "1"]);
    assert_eq!(next.send(&mut to, 2, 0, at(3)), NEW);
    next.send(&mut to, 4, 0, at(3));
    next.send(&mut to, 3, 0, at(3));
    assert_eq!(events(&mut to), ["3", "4"]);
}

#[test]
fn who_takes_the_place_of_another_hands_on_what_was_held_back_for_it() {
    let limits = Limits { publishers: 2, window: 256, ..Limits::default() };
    let mut to = Receiver::new(&limits, &[]).order(Order::Ordered { max_hold_ns: SECOND });
    let (source, other, newcomer) = (Source::new(1, 0), Source::new(2, 0), Source::new(3, 0));
    begin(&mut to, &source);
    source.send(&mut to, 3, 0, at(1));
    begin(&mut to, &other);
    other.send(&mut to, 2, 0, at(40_000));
    // No time to tick in between.
    newcomer.send(&mut to, 1, 0, at(40_000));
    assert_eq!(all_events(&mut to)[..3], ["2-2", "3", "opened at 1"]);
    newcomer.send(&mut to, 3, 0, at(40_000));
    newcomer.send(&mut to, 2, 0, at(40_000));
    assert_eq!(events(&mut to), ["2", "3"]);
}

#[test]
fn with_no_room_left_the_first_hole_is_given_up() {
    let limits = Limits { publishers: 4, window: 256, memory: 3 * 1_408, ..Limits::default() };
    let mut to = Receiver::new(&limits, &[]).order(Order::Ordered { max_hold_ns: SECOND });
    let source = Source::new(1, 0);
    begin(&mut to, &source);
    for seq in [3, 4, 5] {
        assert_eq!(source.send(&mut to, seq, 0, at(1)), Verdict::Kept);
    }
    assert_eq!(source.send(&mut to, 6, 0, at(1)), Verdict::Refused(Refusal::Memory));
    assert_eq!(events(&mut to), ["2-2", "3", "4", "5"]);
    assert_eq!(source.send(&mut to, 6, 1, at(1)), RESCUED, "its next copy is in its turn");
    assert_eq!(to.memory().0, 0);
}

#[test]
fn one_publisher_has_only_its_part_of_the_memory() {
    let limits = Limits { publishers: 4, window: 256, memory_each: 2 * 1_408, ..Limits::default() };
    let mut to = Receiver::new(&limits, &[]).order(Order::Ordered { max_hold_ns: SECOND });
    let sources = [Source::new(1, 0), Source::new(2, 0)];
    for source in &sources {
        begin(&mut to, source);
        for seq in [3, 4] {
            assert_eq!(source.send(&mut to, seq, 0, at(1)), Verdict::Kept);
        }
        assert_eq!(source.send(&mut to, 5, 0, at(1)), Verdict::Refused(Refusal::Memory));
        assert_eq!(events(&mut to), ["2-2", "3", "4"]);
    }
}

#[test]
fn a_session_whose_first_datagram_finds_no_room_is_not_held_back_by_it() {
    let limits = Limits { publishers: 4, window: 256, memory: 1_408, ..Limits::default() };
    let mut to = Receiver::new(&limits, &[]).order(Order::Ordered { max_hold_ns: SECOND });
    let (other, source) = (Source::new(2, 0), Source::new(1, 0));
    begin(&mut to, &other);
    other.send(&mut to, 3, 0, at(1));
    assert_eq!(source.send(&mut to, 1, 0, at(1)), Verdict::Refused(Refusal::Memory));
    let mut told = pass(&mut to, at(500));
    told.sort();
    assert_eq!(told, ["1-1", "2-2", "3"]);
    assert!(matches!(source.send(&mut to, 2, 0, at(501)), Verdict::Kept | NEW));
    pass(&mut to, at(501));
    assert_eq!(source.send(&mut to, 3, 0, at(502)), NEW);
}

#[test]
fn messages_in_parts_keep_their_turn() {
    let (mut to, source) = (ordered(), Source::new(1, 0));
    begin(&mut to, &source);
    source.part(&mut to, 3, (1, 2), b"nd", at(1));
    source.send(&mut to, 5, 0, at(1));
    source.part(&mut to, 3, (0, 2), b"e", at(1));
    assert!(events(&mut to).is_empty());
    source.send(&mut to, 2, 0, at(1));
    assert_eq!(events(&mut to), ["2", "3", "5"]);
}

#[test]
fn a_message_that_misses_a_part_does_not_hold_up_the_next_one_for_ever() {
    let (mut to, source) = (ordered(), Source::new(1, 0));
    begin(&mut to, &source);
    source.part(&mut to, 2, (0, 3), b"x", at(1));
    source.part(&mut to, 2, (2, 3), b"x", at(1));
    source.send(&mut to, 5, 0, at(1));
    assert_eq!(pass(&mut to, at(100)), ["3-3", "5"]);
    assert_eq!((to.memory().0, to.stats().dropped_parts), (0, 2));
}

#[test]
fn order_holds_up_to_the_last_sequence_of_all() {
    let (mut to, source) = (ordered(), Source::new(1, 0));
    source.send(&mut to, u64::MAX - 3, 0, at(1));
    source.send(&mut to, u64::MAX, 0, at(1));
    source.part(&mut to, u64::MAX - 2, (1, 2), b"x", at(1));
    source.part(&mut to, u64::MAX - 2, (0, 2), b"x", at(1));
    let expected = [u64::MAX - 3, u64::MAX - 2, u64::MAX].map(|seq| seq.to_string());
    assert_eq!(events(&mut to), expected);
    assert_eq!(source.send(&mut to, u64::MAX, 1, at(1)), Verdict::Duplicate);
    assert_eq!(to.memory().0, 0);
}
