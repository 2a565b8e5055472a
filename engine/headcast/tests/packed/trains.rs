//! Datagrams that the kernel hands over in one piece.

use super::support::{Sender, messages, pair, places, places_of, take};

/// The most datagrams that any kernel sends in one call, and those that Linux has sent since 6.9.
const TRAIN: usize = 64;
const TRAIN_LATER: usize = 128;

/// Datagrams of `size` bytes each with one message, the last of `last` bytes.
fn equal(from: &mut Sender, count: usize, size: usize, last: usize) -> (Vec<Vec<u8>>, Vec<Vec<Vec<u8>>>) {
    let lengths = (1..=count).map(|n| if n == count { last } else { size } - 40);
    let messages: Vec<_> = messages(lengths).into_iter().map(|message| vec![message]).collect();
    (messages.iter().map(|message| from.whole(&message[0])).collect(), messages)
}

#[test]
fn a_train_is_the_datagrams_that_it_is_made_of_with_and_without_gro() {
    for gro in [true, false] {
        let (mut to, mut from) = pair(|builder| builder.gro(gro));
        assert_eq!(to.capabilities().gro, Some(gro), "this kernel has it");
        let (mut seq, mut datagrams, mut receives) = (1, 0, 0);
        for (count, size, last) in [
            (TRAIN, 168, 168),
            (TRAIN, 168, 40),
            (TRAIN, 41, 41),
            (TRAIN, 40, 40),
            (2, 1392, 41),
            (40, 1392, 1391),
            (1, 1392, 1392),
            (3, 168, 167),
        ] {
            let (train, messages) = equal(&mut from, count, size, last);
            from.send_train(&train).expect("sent");
            assert_eq!(places(&take(&mut to, &from)), places_of(seq, &messages), "{count} x {size}, {last}");
            seq += count as u64;
            datagrams += count as u64;
            receives += if gro { 1 } else { count as u64 };
            let c = to.counters();
            assert_eq!((c.datagrams.get(), c.receives.get()), (datagrams, receives));
        }
    }
}

#[test]
fn trains_as_long_as_this_kernel_sends_them_come_whole() {
    let (mut to, mut from) = pair(|builder| builder);
    for count in [TRAIN, TRAIN + 1, TRAIN_LATER] {
        let (train, messages) = equal(&mut from, count, 168, 100);
        let first = 1 + to.counters().datagrams.get();
        match from.send_train(&train) {
            Ok(()) => assert_eq!(places(&take(&mut to, &from)), places_of(first, &messages), "{count}"),
            Err(errno) => {
                assert!(count > TRAIN && errno == nix::errno::Errno::EINVAL, "{count}: {errno}");
                return;
            }
        }
    }
}
