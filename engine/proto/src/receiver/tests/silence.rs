//! Publishers that are not heard any more.

use super::source::*;
use super::*;

#[test]
fn a_silent_publisher_is_told_once_and_again_after_it_was_heard() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    assert!(pass(&mut to, at(2_999)).is_empty());
    assert_eq!(pass(&mut to, at(60_000)), ["silent"]);
    source.send(&mut to, 2, 0, at(60_000));
    assert_eq!(pass(&mut to, at(120_000)), ["silent"]);
}

#[test]
fn a_publisher_that_is_only_heard_to_beat_is_not_silent() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    for second in 1..20 {
        source.heartbeat(&mut to, 1, at(1_000 * second));
        assert!(pass(&mut to, at(1_000 * second + 999)).is_empty());
    }
    assert_eq!(pass(&mut to, at(30_000)), ["silent"]);
}

#[test]
fn a_publisher_that_has_stopped_is_not_silent() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    source.end(&mut to, 1, at(2));
    assert_eq!(pass(&mut to, at(60_000)), ["ended"]);
}

#[test]
fn half_a_message_waits_for_a_publisher_that_was_silent() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.part(&mut to, 1, (0, 2), b"ab", at(1));
    assert_eq!(pass(&mut to, at(20_000)), ["silent"]);
    assert_eq!(source.part(&mut to, 1, (1, 2), b"cd", at(20_000)), Verdict::Kept);
    assert_eq!(messages(&mut to), [(1, b"abcd".to_vec())]);
}

#[test]
fn half_a_message_of_a_publisher_that_stays_silent_is_a_gap() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.part(&mut to, 1, (0, 3), b"half", at(1));
    source.part(&mut to, 1, (1, 3), b"half", at(1));
    assert_eq!(to.memory().0, 2 * 1_408);
    assert_eq!(pass(&mut to, at(40_000)), ["silent", "1-2"]);
    assert_eq!((to.memory().0, to.stats().dropped_parts, to.lost()), (0, 2, 2));
    assert_eq!(source.part(&mut to, 1, (2, 3), b"half", at(40_000)), Verdict::Kept);
    assert!(events(&mut to).is_empty());
    assert_eq!(to.memory().0, 0);
}

#[test]
fn what_waits_behind_half_a_message_of_a_silent_publisher_is_handed_on() {
    let mut to = receiver().order(Order::Ordered { max_hold_ns: SECOND });
    let source = Source::new(1, 0);
    source.part(&mut to, 1, (0, 9), b"x", at(1));
    source.send(&mut to, 2, 0, at(1));
    assert_eq!(pass(&mut to, at(40_000)), ["silent", "1-1", "2"]);
    assert_eq!(to.memory().0, 0);
}

#[test]
fn contradictory_parts_take_no_memory_once_the_publisher_is_silent() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    source.part(&mut to, 2, (1, 2), b"x", at(1));
    source.send(&mut to, 2, 0, at(1));
    pass(&mut to, at(40_000));
    assert_eq!(to.memory().0, 0);
}

#[test]
fn at_the_end_everything_that_waits_is_handed_on() {
    let mut to = receiver().order(Order::Ordered { max_hold_ns: SECOND });
    let source = Source::new(1, 0);
    for seq in [1, 3, 6] {
        source.send(&mut to, seq, 0, at(1));
    }
    assert_eq!(events(&mut to), ["1"]);
    let mut told = Vec::new();
    while to.finish() {
        told.append(&mut events(&mut to));
    }
    told.append(&mut events(&mut to));
    told.sort();
    assert_eq!(told, ["2-2", "3", "4-5", "6"]);
    assert_eq!((to.memory().0, to.missing(), to.lost()), (0, 0, 3));
}
