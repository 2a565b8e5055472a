//! The short way of nearly all datagrams, beside the long one.

use super::source::*;
use super::*;
use crate::header::path;

/// What a step sends: how far from the last sequence of its publisher, on which path, as what; after how many
/// milliseconds, and whether what comes of it is asked for.
fn step() -> impl Strategy<Value = (u32, i64, u8, u8, u64, bool)> {
    let ahead = prop_oneof![8 => Just(1), 2 => -70i64..70, 1 => 250i64..260];
    let path =
        prop_oneof![4 => Just(0), 1 => Just(1), 1 => Just(path::RETRANSMISSION), 1 => Just(path::HOPS)];
    let after_ms = prop_oneof![20 => Just(1), 2 => Just(150), 1 => Just(SILENT_NS / MS + 1)];
    (1u32..3, ahead, path, 0u8..16, after_ms, prop::bool::weighted(0.8))
}

fn datagram(source: &Source, seq: u64, path: u8, what: u8, now: Now) -> Vec<u8> {
    let mut bytes = source.bytes(seq, path, now);
    match what {
        0 => return source.shared_bytes(seq, &[b"one", b"two"], path, now),
        1 => {
            let index = u8::from(seq.is_multiple_of(2));
            bytes[1] |= flags::FRAGMENT;
            (bytes[12], bytes[14]) = (index, 2);
        }
        2 => bytes[1] |= flags::NO_REPAIR,
        3 if seq > 20 => {
            return Source { session: Session::from_bits(1 << 20), ..source.clone() }.bytes(seq, path, now);
        }
        // A session that takes the place of this one, until this one comes back.
        4 => return Source::new(source.publisher, 5_000).bytes(seq, path, now),
        5 => return source.last_bytes(Kind::Heartbeat, seq, now),
        6 => return source.last_bytes(Kind::End, seq, now),
        _ => {}
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn what_the_short_way_takes_comes_to_the_same_the_long_way(
        ordered in any::<bool>(), steps in proptest::collection::vec(step(), 1..300)) {
        let receiver = || {
            let receiver = Receiver::new(&Limits { window: 256, memory: 1 << 16, ..Limits::default() }, &[]);
            let receiver = receiver.asking(Sequencer::new(9, Session::new(1, 1), 0));
            if ordered { receiver.order(Order::Ordered { max_hold_ns: 20 * MS }) } else { receiver }
        };
        let (mut both, mut long) = (receiver(), receiver());
        let mut last = [100u64; 3];
        let mut now_ms = 10_000;
        for (publisher, ahead, path, what, after_ms, heard) in steps {
            now_ms += after_ms;
            let (source, now, last) = (Source::new(publisher, 0), at(now_ms), &mut last[publisher as usize]);
            let seq = last.saturating_add_signed(ahead).max(2);
            *last = seq.max(*last);
            let bytes = datagram(&source, seq, path, what, now);
            let datagram = Datagram::parse(&bytes).expect("valid");
            let taken = both.accept_next(now, &datagram);
            let verdict = if taken { NEW } else { both.accept_other(now, &datagram) };
            prop_assert_eq!(verdict, long.accept_other(now, &datagram));
            prop_assert_eq!(both.noticed(), long.noticed());
            if heard {
                prop_assert_eq!(all_events(&mut both), all_events(&mut long));
            }
            if after_ms > 1 {
                both.tick(now);
                long.tick(now);
            }
            prop_assert_eq!(requests(&mut both, now), requests(&mut long, now));
            prop_assert_eq!((both.lost(), both.missing()), (long.lost(), long.missing()));
            prop_assert_eq!((both.stats(), both.deadline_ns()), (long.stats(), long.deadline_ns()));
        }
    }
}

#[test]
fn plain_messages_in_sequence_go_the_short_way_in_order_as_well() {
    let ordered = receiver().order(Order::Ordered { max_hold_ns: SECOND });
    for mut to in [receiver(), ordered] {
        let source = Source::new(1, 0);
        source.send(&mut to, 1, 0, at(1));
        while to.event().is_some() {}
        let mut next = |seq, path| {
            to.accept_next(at(2), &Datagram::parse(&source.bytes(seq, path, at(2))).expect("valid"))
        };
        assert_eq!(
            [(2, 0), (3, 0), (3, 0), (5, 0), (4, 1), (4, 0)].map(|(seq, path)| next(seq, path)),
            [true, true, false, false, false, true]
        );
    }
}
