use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::header::{PATH_OFFSET, flags};
use crate::{Datagram, Kind, Refusal, Session};

mod accepting;
mod asking;
mod holes;
mod joining;
mod order;
mod parts;
mod shared;
mod silence;
mod source;

use source::{Source, at};

const SECOND: u64 = 1_000_000_000;

fn receiver() -> Receiver {
    Receiver::new(&Limits { publishers: 4, window: 256, ..Limits::default() }, &[])
}

const OPENED: Verdict = Verdict::Deliver { rescued: false, opened: true };
const NEW: Verdict = Verdict::Deliver { rescued: false, opened: false };
const RESCUED: Verdict = Verdict::Deliver { rescued: true, opened: false };

#[test]
fn the_first_datagram_is_delivered_and_its_copy_is_not() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    assert_eq!(source.send(&mut to, 500, 0, at(1)), OPENED);
    assert_eq!(source.send(&mut to, 500, 1, at(2)), Verdict::Duplicate);
    assert_eq!(source.send(&mut to, 502, 0, at(3)), NEW);
    assert_eq!(to.missing(), 1);
    assert_eq!(source.send(&mut to, 501, 1, at(4)), RESCUED);
    assert_eq!((to.missing(), to.lost()), (0, 0));
}

#[test]
fn publishers_and_streams_stay_apart() {
    let mut to = receiver();
    let sources = [Source::new(1, 0), Source::new(2, 0), Source { stream: 1, ..Source::new(1, 0) }];
    for source in &sources {
        assert_eq!(source.send(&mut to, 1, 0, at(1)), OPENED);
    }
    for source in &sources {
        assert_eq!(source.send(&mut to, 1, 1, at(1)), Verdict::Duplicate);
        assert_eq!(source.send(&mut to, 2, 0, at(1)), NEW);
    }
}

#[test]
fn only_the_streams_that_were_asked_for_are_accepted() {
    let mut to = Receiver::new(&Limits::default(), &[3]);
    assert_eq!(Source::new(1, 0).send(&mut to, 1, 0, at(1)), Verdict::Refused(Refusal::Stream));
    assert_eq!(Source { stream: 3, ..Source::new(1, 0) }.send(&mut to, 1, 0, at(1)), OPENED);
}

#[test]
fn a_restarted_publisher_is_heard_at_once_and_its_old_session_no_more() {
    let (mut to, old) = (receiver(), Source::new(1, 0));
    old.send(&mut to, 900, 0, at(1));
    let new = Source::new(1, 5);
    assert_eq!(new.send(&mut to, 1, 0, at(6)), OPENED);
    assert_eq!(old.send(&mut to, 901, 0, at(7)), Verdict::Refused(Refusal::SessionOld));
    assert_eq!(new.send(&mut to, 2, 0, at(8)), NEW);
}

#[test]
fn a_later_session_with_a_strange_time_waits_for_silence() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    let mut bytes = Source::new(1, 40_000).bytes(1, 0, at(40_000));
    let mut forged = |now| to.accept(now, &Datagram::parse(&bytes).expect("valid"));
    assert_eq!(forged(at(2)), Verdict::Refused(Refusal::SessionImplausible));
    assert_eq!(forged(at(3_000)), Verdict::Refused(Refusal::SessionImplausible));
    assert_eq!(forged(at(3_001)), OPENED);
    bytes[PATH_OFFSET] = 1;
    assert_eq!(forged_copy(&mut to, &bytes, at(3_002)), Verdict::Duplicate);
}

fn forged_copy(to: &mut Receiver, bytes: &[u8], now: Now) -> Verdict {
    to.accept(now, &Datagram::parse(bytes).expect("valid"))
}

#[test]
fn an_ended_session_makes_way_for_a_later_one_but_not_for_an_older_one() {
    let (mut to, source) = (receiver(), Source::new(1, 10));
    source.send(&mut to, 1, 0, at(11));
    assert_eq!(source.end(&mut to, 1, at(12)), Verdict::Ended);
    assert_eq!(source.end(&mut to, 1, at(12)), Verdict::Noted);
    assert_eq!(Source::new(1, 0).send(&mut to, 1, 0, at(13)), Verdict::Refused(Refusal::SessionOld));
    let later = Source::new(1, 50_000).bytes(1, 0, at(50_000));
    assert_eq!(forged_copy(&mut to, &later, at(14)), OPENED);
}

#[test]
fn a_publisher_whose_clock_stepped_back_is_heard_after_silence() {
    let (mut to, source) = (receiver(), Source::new(1, 100));
    source.send(&mut to, 1, 0, at(101));
    let back = Source::new(1, 0);
    assert_eq!(back.send(&mut to, 1, 0, at(200)), Verdict::Refused(Refusal::SessionOld));
    assert_eq!(back.send(&mut to, 2, 0, at(3_101)), OPENED);
}

#[test]
fn a_session_that_comes_back_is_not_delivered_twice() {
    let (mut to, source) = (receiver(), Source::new(1, 100));
    for seq in 1..=5 {
        source.send(&mut to, seq, 0, at(101));
    }
    let usurper = Source::new(1, 102);
    assert_eq!(usurper.send(&mut to, 1, 0, at(103)), OPENED);
    let later = at(103 + 3_000);
    assert_eq!(source.send(&mut to, 4, 1, later), Verdict::Refused(Refusal::Behind));
    assert_eq!(source.send(&mut to, 6, 0, later), NEW);
    assert_eq!(source.send(&mut to, 5, 1, later), Verdict::Refused(Refusal::Behind));
}

#[test]
fn one_forged_sequence_does_not_blind_a_stream() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    for (k, seq) in (2..1_000).enumerate() {
        let now = at(2 + k as u64);
        assert_eq!(source.send(&mut to, seq, 0, now), NEW);
        assert_eq!(source.send(&mut to, u64::MAX - seq, 0, now), Verdict::Refused(Refusal::Jump));
    }
    assert_eq!(to.lost() + to.missing(), 0);
}

#[test]
fn a_true_leap_is_followed_once_a_second_datagram_confirms_it() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    assert_eq!(source.send(&mut to, 10_000, 0, at(200)), Verdict::Refused(Refusal::Jump));
    assert_eq!(source.send(&mut to, 10_000, 1, at(201)), Verdict::Refused(Refusal::Jump));
    assert_eq!(source.send(&mut to, 10_001, 0, at(202)), NEW);
    assert_eq!(source.send(&mut to, 10_000, 1, at(203)), RESCUED);
    assert_eq!(to.lost() + to.missing(), 10_001 - 3);
}

#[test]
fn at_a_high_rate_a_leap_is_followed_without_the_wait() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    // All within one millisecond; with second copies that trail by 50, as they do.
    let mut refused = 0;
    for seq in 10_000..11_000u64 {
        refused += u64::from(source.send(&mut to, seq, 0, at(2)) == Verdict::Refused(Refusal::Jump));
        source.send(&mut to, seq - 50, 1, at(2));
    }
    assert_eq!(refused, u64::from(JUMP_RUN) + 1);
}

#[test]
fn a_flood_next_to_the_last_sequence_does_not_blind_a_stream() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    let mut random = 1u64;
    for seq in 1..200 {
        assert!(matches!(source.send(&mut to, seq, 0, at(seq)), Verdict::Deliver { .. }));
        for _ in 0..1_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let forged = source.send(&mut to, u64::MAX - (random >> 59), 0, at(seq));
            assert_eq!(forged, Verdict::Refused(Refusal::Jump));
        }
    }
}

#[test]
fn what_was_lost_at_the_tail_is_known_from_the_end() {
    let (mut to, source) = (receiver(), Source::new(1, 0));
    source.send(&mut to, 1, 0, at(1));
    source.end(&mut to, 4, at(2));
    assert_eq!(to.missing(), 3);
    assert_eq!(source.send(&mut to, 4, 1, at(3)), RESCUED);
    assert_eq!(to.missing(), 2);
    assert_eq!(Source::new(1, 5).send(&mut to, 1, 0, at(6)), OPENED);
    assert_eq!((to.lost(), to.missing()), (2, 0), "a new session books what the old one missed");
}

#[test]
fn a_newcomer_takes_only_the_place_of_one_that_is_not_heard() {
    let mut to = receiver();
    for publisher in 1..=4 {
        Source::new(publisher, 0).send(&mut to, 1, 0, at(1));
        Source::new(publisher, 0).send(&mut to, 2, 0, at(1));
    }
    let newcomer = Source::new(9, 0);
    assert_eq!(newcomer.send(&mut to, 1, 0, at(2)), Verdict::Refused(Refusal::TableFull));
    for publisher in [1, 2, 4] {
        Source::new(publisher, 0).send(&mut to, 3, 0, at(20_000));
    }
    assert_eq!(newcomer.send(&mut to, 1, 0, at(30_001)), OPENED);
    assert_eq!(Source::new(3, 0).send(&mut to, 3, 0, at(30_002)), Verdict::Refused(Refusal::TableFull));
    for publisher in [1, 2, 4] {
        assert_eq!(Source::new(publisher, 0).send(&mut to, 4, 0, at(30_003)), NEW);
    }
    assert_eq!(newcomer.send(&mut to, 1, 1, at(30_004)), Verdict::Duplicate);
}

#[test]
fn what_has_no_use_here_is_refused() {
    let mut to = receiver();
    let mut bytes = Source::new(1, 0).bytes(1, 0, at(1));
    bytes[0] = Kind::Parity.first_byte();
    assert_eq!(forged_copy(&mut to, &bytes, at(1)), Verdict::Refused(Refusal::Unexpected));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    /// Any mix of publishers, sessions that replace each other, copies, leaps and silences.
    #[test]
    fn nothing_is_delivered_twice(steps in proptest::collection::vec(
        (1u32..4, 0u64..2, prop_oneof![1u64..40, 250u64..700, (u64::MAX - 3)..u64::MAX], 0u64..1_500), 1..300)) {
        let mut to = Receiver::new(&Limits { publishers: 3, window: 256, memory: 1 << 16, ..Limits::default() }, &[]);
        let mut seen = HashSet::new();
        let mut now_ms = 10_000;
        for (publisher, session, seq, pause_ms) in steps {
            now_ms += pause_ms / 10;
            let verdict = Source::new(publisher, session).send(&mut to, seq, 0, at(now_ms));
            if matches!(verdict, Verdict::Deliver { .. }) {
                prop_assert!(seen.insert((publisher, session, seq)), "{publisher} {session} {seq}");
            }
        }
        prop_assert!(to.missing() <= 3 * 256);
    }
}

const _: () = assert!(JUMP_AFTER_NS < SILENT_NS && SILENT_NS < SKEW_MAX_NS && SKEW_MAX_NS / SECOND == 30);
