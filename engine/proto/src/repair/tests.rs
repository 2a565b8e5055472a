use super::*;

const MS: u64 = 1_000_000;
const LEN: usize = 1_000;
const POLICY: Policy = Policy { share_permille: 100, burst: 64_000, welcome: 0, interval_ns: MS / 2 };

fn entry(base: u64, bitmap: u64) -> NakEntry {
    NakEntry { base: base.into(), bitmap: bitmap.into() }
}

fn asker(peer: u32, now_ns: u64, stream_bytes: u64) -> Asker {
    Asker { peer, session: 7, now_ns, stream_bytes, last_seq: 100 }
}

/// All of the first 100 are stored, and nothing else.
fn stored(seq: u64) -> Option<usize> {
    (1..=100).contains(&seq).then_some(LEN)
}

fn drain(repairs: &mut Repairs, now_ns: u64) -> Vec<u64> {
    std::iter::from_fn(|| repairs.next(now_ns)).map(|repair| repair.seq).collect()
}

#[test]
fn what_is_stored_is_sent_and_what_is_not_is_said_to_be_gone() {
    let (mut repairs, mut credit) = (Repairs::new(POLICY), Credit::default());
    let asked = repairs.ask(asker(1, MS, 1), &mut credit, &[entry(5, 0b101), entry(100, 1)], stored);
    assert_eq!(asked, Asked { queued: 4, gone: 1, ..Asked::default() });
    assert_eq!(drain(&mut repairs, MS), [5, 6, 8, 100]);
    assert!(repairs.is_empty());
}

#[test]
fn a_request_is_answered_with_at_most_64() {
    let (mut repairs, mut credit) = (Repairs::new(POLICY), Credit::default());
    let asked = repairs.ask(asker(1, MS, 1), &mut credit, &[entry(1, u64::MAX), entry(66, 1)], stored);
    assert_eq!((asked.queued, asked.excess), (64, 3));
}

#[test]
fn the_same_sequence_goes_to_the_same_receiver_once_in_a_round_trip() {
    let (mut repairs, mut credit) = (Repairs::new(POLICY), [Credit::default(); 2]);
    let mut ask = |repairs: &mut Repairs, peer: u32, now_ns| {
        repairs.ask(asker(peer, now_ns, 1), &mut credit[peer as usize], &[entry(9, 0)], stored)
    };
    assert_eq!(ask(&mut repairs, 0, MS).queued, 1);
    assert_eq!(ask(&mut repairs, 0, 9 * MS).repeated, 1, "it still waits");
    assert_eq!(drain(&mut repairs, 9 * MS), [9]);
    assert_eq!(ask(&mut repairs, 0, 9 * MS + MS / 2 - 1).repeated, 1);
    assert_eq!(ask(&mut repairs, 1, 9 * MS).queued, 1, "to another receiver at any time");
    assert_eq!(ask(&mut repairs, 0, 9 * MS + MS / 2).queued, 1);
}

#[test]
fn repairs_are_a_share_of_the_stream() {
    let (mut repairs, mut credit) = (Repairs::new(POLICY), Credit::default());
    let (mut stream_bytes, mut sent, mut over) = (1, 0, 0);
    // It asks for two in ten datagrams, and is given one.
    for round in 1..=1_000u64 {
        stream_bytes += 10 * LEN as u64;
        let seq = round % 50 * 2 + 1;
        let asked = repairs.ask(
            asker(1, round * MS, stream_bytes),
            &mut credit,
            &[entry(seq, 0), entry(seq + 1, 0)],
            |_| Some(LEN),
        );
        sent += asked.queued * LEN as u64;
        over += asked.over_budget;
        drain(&mut repairs, round * MS);
    }
    assert!(sent <= stream_bytes / 10 + u64::from(POLICY.burst), "{sent}");
    assert!(sent >= stream_bytes / 10, "{sent}");
    assert_eq!(over * LEN as u64 + sent, 2_000 * LEN as u64);
}

#[test]
fn who_has_just_started_may_ask_for_the_past_but_not_again_and_again() {
    let policy = Policy { burst: 10_000, welcome: 30_000, ..POLICY };
    let (mut repairs, mut credit) = (Repairs::new(policy), Credit::default());
    let mut ask = |session, last_seq, now_ns| {
        let asker = Asker { session, last_seq, ..asker(1, now_ns, 1) };
        let asked = repairs.ask(asker, &mut credit, &[entry(1, u64::MAX >> 2)], stored);
        drain(&mut repairs, now_ns);
        asked.queued
    };
    assert_eq!(ask(1, 100, MS), 40, "the burst and the welcome");
    assert_eq!(ask(1, 100, 20_000 * MS), 0);
    assert_eq!(ask(2, 100, 20_001 * MS), 30);
    assert_eq!(ask(3, 100, 20_002 * MS), 0, "no second welcome so soon");
    assert_eq!(ask(3, 5, 31_000 * MS), 5, "it is for what was sent before");
}

#[test]
fn what_waits_is_bounded_whoever_asks() {
    let (mut repairs, mut credits) = (Repairs::new(POLICY), vec![Credit::default(); 800]);
    let mut asked = [0; 2];
    for (peer, credit) in (0..).zip(&mut credits) {
        let result = repairs.ask(asker(peer, MS, 1), credit, &[entry(1, u64::MAX >> 1)], stored);
        asked[0] += result.queued;
        asked[1] += result.full;
        assert_eq!(result.queued + result.full, 64);
    }
    assert!(asked[0] <= RECENT as u64 && asked[0] > RECENT as u64 / 2, "{asked:?}");
    assert_eq!(repairs.clear() as u64, asked[0]);
    assert_eq!(repairs.ask(asker(0, MS, 1), &mut credits[0], &[], stored), Asked::default());
}
