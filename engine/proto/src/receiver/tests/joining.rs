//! Where a session is awaited from.

use super::source::*;
use super::*;

fn asking() -> Receiver {
    receiver().asking(Sequencer::new(99, Session::new(1, 1), 0))
}

#[test]
fn who_joins_late_does_not_ask_for_the_past() {
    let (mut to, source) = (asking(), Source::new(1, 0));
    source.send(&mut to, 500, 0, at(10));
    assert!(requests(&mut to, at(100)).is_empty());
    assert_eq!(all_events(&mut to), ["opened at 500"]);
    assert_eq!(source.send(&mut to, 499, 0, at(100)), Verdict::Refused(Refusal::Behind));
    assert_eq!((to.lost(), to.missing()), (0, 0));
}

#[test]
fn a_session_that_began_meanwhile_is_awaited_from_its_first_sequence() {
    let (mut to, source) = (receiver().since(at(0)), Source::new(1, 5));
    assert_eq!(source.send(&mut to, 4, 0, at(10)), OPENED);
    assert_eq!(to.missing(), 3);
    assert_eq!(source.send(&mut to, 2, 1, at(11)), RESCUED);
    assert_eq!(pass(&mut to, at(100)), ["1-1", "3-3"]);
}

#[test]
fn a_session_that_began_before_is_awaited_from_what_is_heard_first() {
    let (mut to, source) = (receiver().since(at(6)), Source::new(1, 5));
    source.send(&mut to, 4, 0, at(10));
    assert_eq!(to.missing(), 0);
}

#[test]
fn a_session_that_has_come_far_is_awaited_from_what_is_heard_first() {
    for (first, missing) in [(64, 63), (65, 0)] {
        let (mut to, source) = (receiver().since(at(0)), Source::new(1, 5));
        source.send(&mut to, first, 0, at(10));
        assert_eq!(to.missing(), missing);
    }
}

#[test]
fn a_heartbeat_tells_of_a_session_of_which_everything_was_lost() {
    let (mut to, source) = (asking().since(at(0)), Source::new(1, 5));
    assert_eq!(source.heartbeat(&mut to, 2, at(10)), Verdict::Noted);
    assert_eq!(requests(&mut to, at(11)), [[1, 2]]);
    assert_eq!(source.repair(&mut to, 2, at(12)), RESCUED);
    assert_eq!(all_events(&mut to), ["opened at 2"]);
    assert_eq!(pass(&mut to, at(3_010)), ["1-1"]);
}

#[test]
fn a_heartbeat_opens_no_session_that_began_before_or_has_sent_nothing() {
    let mut to = receiver().since(at(6));
    Source::new(1, 5).heartbeat(&mut to, 2, at(10));
    Source::new(2, 7).heartbeat(&mut to, 0, at(10));
    assert!(all_events(&mut to).is_empty());
}

#[test]
fn the_past_is_asked_for_at_once_as_far_as_it_is_wanted() {
    let (mut to, source) = (asking().history(70), Source::new(1, 0));
    source.send(&mut to, 200, 0, at(10));
    let asked = requests(&mut to, at(10));
    assert_eq!(asked.iter().map(Vec::len).collect::<Vec<_>>(), [64, 6]);
    assert_eq!(asked.concat(), (130..200).collect::<Vec<_>>());
}

#[test]
fn no_more_of_the_past_is_asked_for_than_there_is() {
    let (mut to, source) = (asking().history(70), Source::new(1, 0));
    source.send(&mut to, 3, 0, at(10));
    assert_eq!(requests(&mut to, at(10)), [[1, 2]]);
}

#[test]
fn no_more_of_the_past_is_asked_for_than_is_remembered() {
    let (mut to, source) = (asking().history(u64::MAX), Source::new(1, 0));
    source.send(&mut to, 10_000, 0, at(10));
    let asked = requests(&mut to, at(10)).concat();
    assert_eq!((asked[0], asked.len()), (9_792, 208), "the window holds 4 blocks");
}

#[test]
fn the_past_is_handed_on_if_it_comes_and_is_no_gap_if_it_does_not() {
    let (mut to, source) = (asking().history(3), Source::new(1, 0));
    source.send(&mut to, 10, 0, at(10));
    assert_eq!(source.repair(&mut to, 8, at(12)), RESCUED);
    assert!(pass(&mut to, at(3_011)).is_empty());
    assert_eq!((to.lost(), to.missing()), (0, 0));
    assert_eq!(source.repair(&mut to, 7, at(3_011)), Verdict::Duplicate);
}

#[test]
fn the_past_of_who_does_not_repair_is_not_asked_for() {
    let (mut to, source) = (asking().history(70), Source::new(1, 0).without_repair());
    source.send(&mut to, 200, 0, at(10));
    assert!(requests(&mut to, at(10)).is_empty());
    assert_eq!(to.missing(), 0);
}

#[test]
fn a_session_that_opens_tells_which_one_it_replaces() {
    let (mut to, old, new) = (receiver(), Source::new(1, 0), Source::new(1, 5));
    old.send(&mut to, 7, 0, at(1));
    assert_eq!(to.event(), Some(Event::Opened { id: old.id(), seq: 7, from: 7, before: None }));
    assert_eq!(to.event(), None);
    new.send(&mut to, 1, 0, at(6));
    assert_eq!(to.event(), Some(Event::Opened { id: new.id(), seq: 1, from: 1, before: Some(old.session) }));
    assert_eq!(to.event(), None);
}

#[test]
fn every_change_of_session_is_told_even_by_a_datagram_that_is_not_handed_on() {
    let (mut to, old) = (receiver(), Source::new(1, 0));
    old.send(&mut to, 7, 0, at(1));
    Source::new(1, 5).send(&mut to, 1, 0, at(6));
    all_events(&mut to);
    assert_eq!(old.send(&mut to, 7, 1, at(6_000)), Verdict::Refused(Refusal::Behind));
    assert_eq!(all_events(&mut to), ["opened at 7"]);
}
