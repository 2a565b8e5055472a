//! What is missing is noticed, and given up in time.

use super::source::*;
use super::*;

#[test]
fn a_gap_is_told_once_and_what_comes_after_it_is_late() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    source.send(&mut to, 4, 0, at(1));
    assert_eq!(pass(&mut to, at(1_000)), ["2-3"]);
    assert_eq!((to.lost(), to.missing()), (2, 0));
    assert_eq!(source.send(&mut to, 2, 0, at(1_000)), Verdict::Refused(Refusal::Late));
    assert_eq!(source.send(&mut to, 3, 1, at(1_000)), Verdict::Refused(Refusal::Late));
    assert!(pass(&mut to, at(2_000)).is_empty());
    assert_eq!(to.lost(), 2);
}

#[test]
fn a_hole_that_is_filled_is_no_gap() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    source.send(&mut to, 3, 0, at(1));
    source.send(&mut to, 2, 1, at(50));
    assert!(pass(&mut to, at(1_000)).is_empty());
    assert_eq!((to.lost(), to.missing()), (0, 0));
}

#[test]
fn without_repair_a_hole_is_given_up_50_ms_after_it_was_noticed() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(10));
    source.send(&mut to, 3, 0, at(10));
    assert!(pass(&mut to, at_ns(60 * MS - 1)).is_empty());
    assert_eq!(pass(&mut to, at(60)), ["2-2"]);
}

#[test]
fn the_last_copy_is_awaited_as_long_as_it_took_before() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(10));
    accept(&mut to, &source.bytes(1, 1, at(10)), at(13));
    source.send(&mut to, 3, 0, at(20));
    assert!(pass(&mut to, at_ns(73 * MS - 1)).is_empty());
    assert_eq!(pass(&mut to, at(73)), ["2-2"]);
}

#[test]
fn the_lag_of_the_last_copy_counts_and_not_that_of_an_earlier_one() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(10));
    accept(&mut to, &source.bytes(1, 2, at(10)), at(18));
    accept(&mut to, &source.bytes(1, 1, at(10)), at(90));
    source.send(&mut to, 3, 0, at(100));
    assert!(pass(&mut to, at_ns(158 * MS - 1)).is_empty());
    assert_eq!(pass(&mut to, at(158)), ["2-2"]);
}

#[test]
fn a_window_that_slides_over_a_hole_gives_it_up() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    for seq in 3..256 {
        source.send(&mut to, seq, 0, at(1));
    }
    assert!(events(&mut to).is_empty());
    source.send(&mut to, 256, 0, at(1));
    assert_eq!(events(&mut to), ["2-2"]);
    assert_eq!(source.send(&mut to, 2, 1, at(1)), Verdict::Refused(Refusal::Behind));
}

#[test]
fn a_leap_tells_what_it_leaps_over() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    source.send(&mut to, 10_000, 0, at(200));
    assert!(events(&mut to).is_empty(), "not confirmed");
    source.send(&mut to, 10_001, 0, at(200));
    assert_eq!(events(&mut to), ["2-9791"], "below the window, which now begins at 9792");
    assert_eq!(pass(&mut to, at(300)), ["9792-10000"]);
    assert_eq!(to.lost(), 9_999);
}

#[test]
fn a_heartbeat_reveals_what_was_lost_at_the_tail() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    assert_eq!(source.heartbeat(&mut to, 1, at(2)), Verdict::Noted);
    assert_eq!(to.missing(), 0);
    source.heartbeat(&mut to, 3, at(3));
    assert_eq!(to.missing(), 2);
    assert_eq!(source.send(&mut to, 3, 1, at(4)), RESCUED);
    assert_eq!(pass(&mut to, at(100)), ["2-2"]);
}

#[test]
fn an_end_reveals_what_was_lost_at_the_tail() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    source.end(&mut to, 3, at(3));
    assert_eq!(pass(&mut to, at(100)), ["ended", "2-3"]);
}

#[test]
fn the_last_sequence_of_all_can_be_missing_and_come() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, u64::MAX - 2, 0, at(1));
    source.heartbeat(&mut to, u64::MAX, at(1));
    assert_eq!(source.send(&mut to, u64::MAX, 1, at(2)), RESCUED);
    assert_eq!(pass(&mut to, at(100)), [format!("{0}-{0}", u64::MAX - 1)]);
}

#[test]
fn every_lost_sequence_is_told_however_the_holes_lie() {
    let mut to = Receiver::new(&Limits { publishers: 4, window: 256, ..Limits::default() }, &[]);
    let source = Source::new(1, 0);
    let (mut told, mut now_ms) = (0, 1);
    let mut take = |to: &mut Receiver| {
        while let Some(event) = to.event() {
            if let Event::Gap { from, to, .. } = event {
                told += to - from + 1;
            }
        }
    };
    source.send(&mut to, 256, 0, at(1));
    // As many holes as are told apart, with one on both sides of each edge between blocks. No time to tick.
    let comes = |seq: &u64| match seq % 64 {
        0 | 63 => false,
        near @ 1..=30 => near % 2 == 1,
        far => [40, 42, 44, 46, 62].contains(&far),
    };
    for seq in (258..512).filter(comes) {
        source.send(&mut to, seq, 0, at(now_ms));
        take(&mut to);
        now_ms += 3;
    }
    // A leap loses them all, in one datagram.
    source.heartbeat(&mut to, 10_000, at(now_ms + 200));
    source.end(&mut to, 10_001, at(now_ms + 200));
    take(&mut to);
    assert_eq!(to.lost(), told);
}

#[test]
fn nothing_is_due_while_nothing_is_missing() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    assert_eq!(to.deadline_ns(), u64::MAX, "nobody is heard");
    source.send(&mut to, 1, 0, at(1));
    pass(&mut to, at(100));
    assert_eq!(to.deadline_ns(), SECOND + MS, "when to look for silent publishers");
}

#[test]
fn what_a_session_misses_is_told_before_the_next_one_opens() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    source.send(&mut to, 3, 0, at(1));
    all_events(&mut to);
    Source::new(1, 5).send(&mut to, 1, 0, at(6));
    assert_eq!(all_events(&mut to), ["2-2", "opened at 1"]);
}
