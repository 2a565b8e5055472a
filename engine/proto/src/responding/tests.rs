use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::stored::{Place, Stored};

const MS: u64 = 1_000_000;

/// Accepts so many.
fn holding(responses: u64) -> Outstanding {
    let mut outstanding = Outstanding::new(8192);
    for seq in 1..=responses {
        assert_eq!(outstanding.accept(), Some(seq));
    }
    outstanding
}

/// Sends all that is due; their sequences.
fn send(outstanding: &mut Outstanding, now_ns: u64) -> Vec<u64> {
    let mut sent = Vec::new();
    while let Some(due) = outstanding.due() {
        outstanding.sent(now_ns, due);
        sent.push(due.seq);
    }
    sent
}

fn acknowledge(outstanding: &mut Outstanding, now_ns: u64, next: u64, bitmap: u64) -> Vec<u64> {
    let mut freed = Vec::new();
    outstanding.acknowledge(now_ns, next, bitmap, |seq| freed.push(seq)).expect("what was sent");
    freed
}

#[test]
fn the_window_bounds_what_is_under_way_and_grows_with_what_arrives() {
    let mut outstanding = holding(1000);
    assert_eq!(send(&mut outstanding, 0), (1..=64).collect::<Vec<_>>());
    assert_eq!(acknowledge(&mut outstanding, MS, 65, 0), (1..=64).collect::<Vec<_>>());
    assert_eq!(send(&mut outstanding, MS).len(), 66);
    assert_eq!(outstanding.held_from(), 65);
    assert_eq!(outstanding.held(), 1000 - 64);
}

#[test]
fn what_was_passed_by_later_ones_goes_again_at_once() {
    let mut outstanding = holding(3);
    for at in 0..3 {
        let due = outstanding.due().expect("one after another");
        outstanding.sent(at * 10 * MS, due);
    }
    // 1 is missing, 2 and 3 have arrived: the round trip is 11 and 1 ms, a quarter of that is no reordering.
    assert_eq!(acknowledge(&mut outstanding, 21 * MS, 1, 0b11), [2, 3]);
    assert_eq!(outstanding.due(), Some(Due { seq: 1, again: true }));
    assert_eq!(send(&mut outstanding, 21 * MS), [1]);
    assert_eq!(outstanding.due(), None);
    assert_eq!(acknowledge(&mut outstanding, 22 * MS, 4, 0), [1]);
    assert_eq!((outstanding.held(), outstanding.held_from(), outstanding.deadline_ns()), (0, 4, u64::MAX));
}

#[test]
fn a_recorder_that_is_gone_is_asked_less_and_less_often_and_never_given_up() {
    let mut outstanding = holding(500);
    let mut now_ns = 0;
    let mut sent = Vec::new();
    for _ in 0..40 {
        sent.push(send(&mut outstanding, now_ns).len());
        now_ns = outstanding.deadline_ns();
        assert!(!outstanding.tick(now_ns - 1) && outstanding.tick(now_ns));
    }
    assert_eq!(sent[..6], [64, 32, 16, 8, 4, 4]);
    assert_eq!(sent[39], 4);
    let before_ns = now_ns;
    send(&mut outstanding, now_ns);
    assert_eq!(outstanding.deadline_ns() - before_ns, 1_000 * MS);
    assert_eq!(outstanding.held(), 500);
}

#[test]
fn a_full_store_refuses_until_the_oldest_is_acknowledged() {
    let mut outstanding = Outstanding::new(4);
    assert_eq!((0..5).filter_map(|_| outstanding.accept()).count(), 4);
    send(&mut outstanding, 0);
    acknowledge(&mut outstanding, MS, 1, 0b111);
    // Three are free, but not the oldest, and sequences have to stay within the ring.
    assert_eq!(outstanding.accept(), None);
    acknowledge(&mut outstanding, MS, 5, 0);
    assert_eq!(outstanding.accept(), Some(5));
}

#[test]
fn what_was_never_sent_is_not_freed_by_an_acknowledgement() {
    let mut outstanding = holding(100);
    send(&mut outstanding, 0);
    for (next, bitmap) in [(0, 0), (66 + SPAN, 0), (u64::MAX, 0), (u64::MAX, u64::MAX)] {
        let result = outstanding.acknowledge(MS, next, bitmap, |_| panic!("nothing is freed"));
        assert_eq!(result, Err(NeverSent), "{next} {bitmap:b}");
    }
    assert_eq!(outstanding.held(), 100);
    // Somebody has sent 65 and 80 in our name: what we have sent is acknowledged all the same.
    assert_eq!(acknowledge(&mut outstanding, MS, 1, 1 << 62 | 1 << 63), [64]);
    assert_eq!(acknowledge(&mut outstanding, MS, 66, 1 << 13), (1..64).collect::<Vec<_>>());
    assert_eq!((outstanding.held(), outstanding.held_from()), (36, 65));
    assert_eq!(send(&mut outstanding, MS).first(), Some(&65));
}

#[test]
fn nothing_is_sent_a_span_beyond_the_oldest() {
    let mut outstanding = holding(8000);
    let mut now_ns = 0;
    let mut highest = 0;
    // The first is never acknowledged.
    for _ in 0..2000 {
        now_ns += MS;
        for seq in send(&mut outstanding, now_ns) {
            highest = highest.max(seq);
            if seq > 1 && seq <= 65 {
                acknowledge(&mut outstanding, now_ns, 1, 1 << (seq - 2));
            }
        }
        outstanding.tick(now_ns);
    }
    assert!(highest <= SPAN, "{highest}");
}

/// Both ends, with a network between them that loses, repeats and reorders, and a recorder that forgets what it did
/// not commit.
fn exchange(responses: u64, mut chance: impl FnMut(u32) -> bool) -> Result<(), TestCaseError> {
    let mut outstanding = Outstanding::new(512);
    let mut stored = Stored::new(1);
    let mut rows: BTreeMap<u64, u32> = BTreeMap::new();
    let mut acknowledged = BTreeSet::new();
    let mut there = BTreeSet::<(u64, u64)>::new();
    let mut back = BTreeSet::<(u64, u64, u64)>::new();
    let (mut now_ns, mut accepted) = (0, 0);
    while acknowledged.len() < usize::try_from(responses).expect("few") {
        prop_assert!(now_ns < 3_600_000 * MS, "it ends");
        now_ns += MS;
        while accepted < responses && outstanding.accept().is_some() {
            accepted += 1;
        }
        outstanding.tick(now_ns);
        while let Some(due) = outstanding.due() {
            outstanding.sent(now_ns, due);
            prop_assert!(!acknowledged.contains(&due.seq), "what is stored is not sent again");
            for copy in 0..2 {
                if chance(if copy == 0 { 80 } else { 10 }) {
                    let delay = if chance(20) { 30 * MS } else { copy };
                    there.insert((now_ns + delay, due.seq));
                }
            }
        }
        let arrived: Vec<_> = there.range(..(now_ns, 0)).copied().collect();
        if !arrived.is_empty() && chance(90) {
            for (_, seq) in &arrived {
                match stored.observe(*seq) {
                    Place::New => *rows.entry(*seq).or_default() += 1,
                    Place::Stored => {}
                    Place::Ahead => prop_assert!(false, "never ahead of the span"),
                }
            }
            stored = Stored::from_parts(stored.next(), &stored.bitmap()).expect("kept");
            let (next, bitmap) = stored.ack();
            if chance(80) {
                back.insert((now_ns + if chance(20) { 25 * MS } else { 0 }, next, bitmap));
            }
        }
        there.retain(|(at, _)| *at >= now_ns);
        let acks: Vec<_> = back.range(..(now_ns, 0, 0)).copied().collect();
        back.retain(|(at, ..)| *at >= now_ns);
        for (_, next, bitmap) in acks {
            let result = outstanding.acknowledge(now_ns, next, bitmap, |seq| {
                assert!(acknowledged.insert(seq), "each is freed once");
            });
            prop_assert!(result.is_ok());
        }
        for seq in &acknowledged {
            prop_assert!(rows.contains_key(seq), "what is acknowledged is stored");
        }
    }
    prop_assert!(rows.len() as u64 == responses && rows.values().all(|count| *count == 1));
    prop_assert_eq!(outstanding.held(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_response_is_stored_once_and_acknowledged_in_the_end(
        responses in 1..600u64,
        seed in any::<u64>(),
    ) {
        let mut state = seed | 1;
        exchange(responses, |percent| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % 100 < u64::from(percent)
        })?;
    }
}
