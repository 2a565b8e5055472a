//! Messages that share a datagram: one sequence to everything but the hand that passes them on.

use super::source::*;
use super::*;

const THREE: [&[u8]; 3] = [b"one", b"", b"three"];

fn ordered() -> Receiver {
    receiver().order(Order::Ordered { max_hold_ns: SECOND })
}

/// A receiver in order that has heard sequence 1.
fn begun(source: &Source) -> Receiver {
    let mut to = ordered();
    source.send(&mut to, 1, 0, at(1));
    assert_eq!(events(&mut to), ["1"]);
    to
}

/// The messages that come with events: sequence, part and payload of each.
fn parts(of: &mut Receiver) -> Vec<(u64, u16, Vec<u8>)> {
    let mut parts = Vec::new();
    while let Some(event) = of.event() {
        if let Event::Message { seq, part, payload, .. } = event {
            parts.push((seq, part, payload.to_vec()));
            let last = parts.last().expect("one was pushed");
            assert_eq!(of.payload(), last.2, "it can be had once more");
        }
    }
    parts
}

fn three_at(seq: u64) -> Vec<(u64, u16, Vec<u8>)> {
    (0..).zip(THREE).map(|(part, message)| (seq, part, message.to_vec())).collect()
}

#[test]
fn at_once_they_are_delivered_like_a_whole_one() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    assert_eq!(source.shared(&mut to, 5, &THREE, 0, at(1)), OPENED);
    assert_eq!(source.shared(&mut to, 5, &THREE, 1, at(1)), Verdict::Duplicate);
    assert_eq!(source.shared(&mut to, 7, &THREE, 0, at(1)), NEW);
    assert_eq!((to.missing(), events(&mut to).len()), (1, 0));
    assert_eq!(source.shared(&mut to, 6, &[b""], 1, at(1)), RESCUED);
    assert_eq!(source.send(&mut to, 8, 0, at(1)), NEW);
    assert_eq!((to.missing(), to.memory().0), (0, 0));
}

#[test]
fn in_order_and_in_their_turn_they_are_delivered_at_once() {
    let source = Source::new(1, 0);
    let mut to = begun(&source);
    assert_eq!(source.shared(&mut to, 2, &THREE, 0, at(1)), NEW);
    assert_eq!(source.shared(&mut to, 3, &THREE, 1, at(1)), RESCUED);
    assert_eq!((parts(&mut to).len(), to.memory().0), (0, 0));
}

#[test]
fn behind_a_hole_they_wait_together_and_come_one_by_one() {
    let source = Source::new(1, 0);
    let mut to = begun(&source);
    assert_eq!(source.shared(&mut to, 4, &[b"last"], 0, at(1)), Verdict::Kept);
    assert_eq!(source.shared(&mut to, 3, &THREE, 0, at(1)), Verdict::Kept);
    assert_eq!(source.shared(&mut to, 3, &THREE, 1, at(1)), Verdict::Duplicate);
    assert!(parts(&mut to).is_empty());
    assert_eq!(source.shared(&mut to, 2, &[b"", b""], 1, at(2)), Verdict::Kept);
    let empty = |part| (2, part, Vec::new());
    let expected = [vec![empty(0), empty(1)], three_at(3), vec![(4, 0, b"last".to_vec())]].concat();
    assert_eq!(parts(&mut to), expected);
    assert_eq!((to.memory().0, to.stats().completed), (0, 0));
}

#[test]
fn what_is_true_of_the_datagram_is_told_with_each() {
    let source = Source::new(1, 0);
    let mut to = begun(&source);
    source.shared(&mut to, 3, &THREE, 1, at(5));
    source.send(&mut to, 2, 0, at(6));
    let mut told = Vec::new();
    while let Some(event) = to.event() {
        if let Event::Message { id, seq: 3, timestamp, rescued, .. } = event {
            told.push((id, timestamp, rescued));
        }
    }
    assert_eq!(told, [(source.id(), at(5).unix_ns, true); 3]);
}

#[test]
fn a_lost_one_is_one_gap_and_what_follows_comes_behind_it() {
    let source = Source::new(1, 0);
    let mut to = begun(&source);
    source.shared(&mut to, 3, &THREE, 0, at(1));
    assert_eq!(pass(&mut to, at(100)), ["2-2", "3", "3", "3"]);
    assert_eq!(source.shared(&mut to, 2, &THREE, 1, at(100)), Verdict::Refused(Refusal::Late));
    assert_eq!((to.lost(), to.missing(), to.memory().0), (1, 0, 0));
}

#[test]
fn a_lost_one_is_asked_for_by_its_one_sequence() {
    let source = Source::new(1, 0);
    let mut to = receiver().asking(Sequencer::new(99, Session::new(1, 1), 0));
    source.shared(&mut to, 1, &THREE, 0, at(1));
    source.shared(&mut to, 3, &THREE, 0, at(1));
    events(&mut to);
    assert_eq!(requests(&mut to, at(2)), [[2]]);
    assert_eq!(source.shared(&mut to, 2, &THREE, crate::header::path::RETRANSMISSION, at(3)), RESCUED);
    assert_eq!((to.missing(), to.stats().repaired), (0, 1));
}

#[test]
fn a_session_that_makes_way_hands_them_on_first() {
    let source = Source::new(1, 0);
    let mut to = begun(&source);
    source.shared(&mut to, 3, &THREE, 0, at(1));
    source.send(&mut to, 5, 0, at(1));
    Source::new(1, 2).shared(&mut to, 1, &THREE, 0, at(3));
    let told = ["2-2", "4-4", "3", "3", "3", "5", "opened at 1", "1", "1", "1"];
    assert_eq!(all_events(&mut to), told);
    assert_eq!(to.memory().0, 0);
}

#[test]
fn another_datagram_between_two_of_them_changes_nothing() {
    let (source, other) = (Source::new(1, 0), Source::new(2, 0));
    let mut to = begun(&source);
    source.shared(&mut to, 3, &THREE, 0, at(1));
    source.send(&mut to, 2, 0, at(1));
    let mut got = Vec::new();
    for seq in 1..20 {
        if let Some(Event::Message { id, seq: 3, part, payload, .. }) = to.event() {
            assert_eq!(id, source.id());
            got.push((3, part, payload.to_vec()));
            assert_eq!(to.place(), 0, "what it is of is where it was");
        }
        // Nobody does that, and nothing that waits may suffer by it.
        other.shared(&mut to, 100 + seq, &THREE, 0, at(1));
    }
    assert_eq!(got, three_at(3));
}

#[test]
fn those_that_fill_a_datagram_can_wait_in_any_memory_that_holds_it() {
    let limits = Limits { publishers: 1, window: 256, memory: 47 * 1_408, ..Limits::default() };
    let mut to = Receiver::new(&limits, &[]).order(Order::Ordered { max_hold_ns: SECOND });
    let source = Source::new(1, 0);
    source.send(&mut to, 1, 0, at(1));
    events(&mut to);
    let long = vec![7; 65_507 - 40 - 2 * 3];
    let messages = [&long[..], b"", b""];
    assert_eq!(source.shared(&mut to, 3, &messages, 0, at(1)), Verdict::Kept);
    assert_eq!(source.shared(&mut to, 4, &[b"x"], 0, at(1)), Verdict::Refused(Refusal::Memory));
    assert_eq!(parts(&mut to), (0..).zip(messages).map(|(n, it)| (3, n, it.to_vec())).collect::<Vec<_>>());
    let empty = vec![&b""[..]; 32_733];
    source.send(&mut to, 4, 0, at(1));
    assert_eq!(source.shared(&mut to, 6, &empty, 0, at(1)), Verdict::Kept);
    assert_eq!(source.send(&mut to, 5, 0, at(1)), Verdict::Refused(Refusal::Memory));
    let got = parts(&mut to);
    assert_eq!((got.len(), got.last()), (32_733, Some(&(6, 32_732, vec![]))));
}

#[test]
fn the_last_sequence_of_all_may_be_shared() {
    let mut to = ordered();
    let source = Source::new(1, 0);
    source.shared(&mut to, u64::MAX - 2, &THREE, 0, at(1));
    source.shared(&mut to, u64::MAX, &THREE, 0, at(1));
    source.shared(&mut to, u64::MAX - 1, &THREE, 0, at(1));
    let expected: Vec<_> = [u64::MAX - 2, u64::MAX - 1, u64::MAX].into_iter().flat_map(three_at).collect();
    assert_eq!(parts(&mut to), expected);
}

#[test]
fn what_is_sealed_or_claims_to_be_a_part_as_well_is_not_taken() {
    let mut bytes = Source::new(1, 0).shared_bytes(1, &THREE, 0, at(1));
    bytes[1] |= flags::FRAGMENT;
    assert_eq!(Datagram::parse(&bytes).err(), Some(Refusal::Fragment));
    let mut sealed = Source::new(1, 0).shared_bytes(1, &THREE, 0, at(1));
    (sealed[1], sealed[2]) = (sealed[1] | flags::SEALED, 1);
    sealed.extend([0; crate::header::TAG_LEN]);
    assert_eq!(accept(&mut receiver(), &sealed, at(1)), Verdict::Refused(Refusal::Sealed));
}
