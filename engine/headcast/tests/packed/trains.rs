//! Datagrams that the kernel hands over in one piece.

use headcast::Refusal;

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

#[test]
fn messages_that_share_datagrams_come_in_trains_as_well() {
    let (mut to, mut from) = pair(|builder| builder);
    // 40 datagrams of 1,392 bytes with 10 messages each, but for the last with one.
    let last = vec![vec![3]];
    let datagrams: Vec<_> =
        (0..39).map(|_| messages([133; 9].into_iter().chain([135]))).chain([last]).collect();
    let train: Vec<_> = datagrams.iter().map(|datagram| from.shared(datagram)).collect();
    assert_eq!((train[0].len(), train[39].len()), (1_392, 43));
    from.send_train(&train).expect("sent");
    assert_eq!(places(&take(&mut to, &from)), places_of(1, &datagrams));
    let c = to.counters();
    assert_eq!((c.receives.get(), c.datagrams.get(), c.delivered.get(), c.unpacked.get()), (1, 40, 391, 351));
    assert_eq!(c.bytes.get(), 39 * 1_392 + 43);
}

#[test]
fn in_order_a_train_waits_for_what_is_missing() {
    let (mut to, mut from) = pair(|builder| builder.ordered(std::time::Duration::from_secs(60)));
    let (mut train, messages) = equal(&mut from, 20, 100, 100);
    let missing = train.remove(7);
    from.send_train(&train).expect("sent");
    assert_eq!(places(&take(&mut to, &from)), places_of(1, &messages[..7]));
    from.send(&missing);
    assert_eq!(places(&take(&mut to, &from)), places_of(8, &messages[7..]));
}

#[test]
fn raw_datagrams_come_out_of_a_train_one_by_one() {
    for gro in [true, false] {
        let (mut to, from) = pair(|builder| builder.raw(true).gro(gro));
        for (count, size, last) in [(TRAIN, 1, 1), (TRAIN, 700, 1), (2, 30_000, 30_000), (1, 65_507, 65_507)]
        {
            let train = messages((1..=count).map(|n| if n == count { last } else { size }));
            if count == 1 {
                from.send(&train[0]);
            } else {
                from.send_train(&train).expect("sent");
            }
            let got: Vec<_> = take(&mut to, &from).into_iter().map(|(payload, _)| payload).collect();
            assert!(got == train, "{count} x {size}, {last}: {} came", got.len());
        }
        from.send(b"");
        assert_eq!(take(&mut to, &from), [(vec![], None)], "an empty one is one");
    }
}

#[test]
fn a_segment_that_lies_about_its_length_is_refused_and_the_others_are_not() {
    let (mut to, mut from) = pair(|builder| builder);
    let (mut train, mut messages) = equal(&mut from, 10, 100, 50);
    train[3][6] -= 1;
    train[9][6] = 60;
    from.send_train(&train).expect("sent");
    let got = places(&take(&mut to, &from));
    messages.truncate(9);
    let mut expected = places_of(1, &messages);
    expected.remove(3);
    assert_eq!(got, expected);
    assert_eq!(to.refusals().get(Refusal::PayloadLength), 2);
}

#[test]
fn datagrams_of_any_size_cannot_be_misread_as_others() {
    let (mut to, mut from) = pair(|builder| builder);
    let (train, _) = equal(&mut from, 6, 100, 100);
    // A train of 60 bytes each: somebody has cut what belongs together.
    let wrong: Vec<_> = train.concat().chunks(60).map(<[u8]>::to_vec).collect();
    from.send_train(&wrong).expect("sent");
    assert_eq!(take(&mut to, &from), []);
    assert_eq!(to.refusals().total(), 10);
}

#[test]
fn each_segment_can_be_dropped_on_purpose() {
    let (mut to, mut from) = pair(|builder| {
        let mut seen = 0;
        builder.impair(move |datagram| {
            assert_eq!(datagram.len(), 100);
            seen += 1;
            seen % 3 == 0
        })
    });
    let (train, messages) = equal(&mut from, 10, 100, 100);
    from.send_train(&train).expect("sent");
    let mut expected = places_of(1, &messages);
    expected.retain(|(seq, ..)| seq % 3 != 0);
    assert_eq!(places(&take(&mut to, &from)), expected);
    assert_eq!(to.counters().impaired.get(), 3);
}

#[test]
fn copies_of_a_train_bring_nothing() {
    let (mut to, mut from) = pair(|builder| builder);
    let (train, messages) = equal(&mut from, TRAIN, 64, 64);
    from.send_train(&train).expect("sent");
    from.send_train(&train).expect("sent");
    assert_eq!(places(&take(&mut to, &from)), places_of(1, &messages));
    assert_eq!((to.counters().duplicates.get(), to.counters().receives.get()), (TRAIN as u64, 2));
}

#[test]
fn more_than_one_call_receives_come_whole_and_in_order() {
    let (mut to, mut from) = pair(|builder| builder);
    let mut expected = Vec::new();
    for round in 0..200 {
        let first = 1 + expected.len() as u64;
        let (train, messages) = equal(&mut from, 1 + round % 30, 100, 70);
        from.send_train(&train).expect("sent");
        expected.extend(places_of(first, &messages));
    }
    assert_eq!(places(&take(&mut to, &from)), expected);
    assert_eq!(to.counters().receives.get(), 200);
}

#[test]
fn what_has_come_since_is_taken_before_anything_is_given_up() {
    let (mut to, mut from) = pair(|builder| builder.ordered(std::time::Duration::from_secs(60)));
    let (datagrams, messages) = equal(&mut from, 3, 100, 100);
    from.send(&datagrams[0]);
    from.send(&datagrams[2]);
    let Some(headcast::Event::Opened { .. }) = to.try_next().expect("a socket that works") else {
        panic!("the session is told first");
    };
    // The batch is not finished yet; nobody has looked at the socket since.
    from.send(&datagrams[1]);
    to.give_up();
    assert_eq!(places(&take(&mut to, &from)), places_of(1, &messages));
    assert_eq!(to.counters().lost.get(), 0);
}

#[test]
fn trains_over_ipv6_come_whole_up_to_the_longest_there_is() {
    let listen = "[::1]:0".parse().expect("an address");
    let Ok(mut to) = headcast::Subscriber::builder().listen(listen).build() else {
        println!("no IPv6 here");
        return;
    };
    let mut from = Sender::to(&to);
    // The second has 65,520 bytes of 65,527, so many that with its headers it may not stay in one piece on the way.
    let mut first = 1;
    for count in [60, 63] {
        let (train, messages) = equal(&mut from, count, 1_040, 1_040);
        from.send_train(&train).expect("sent");
        assert_eq!(places(&take(&mut to, &from)), places_of(first, &messages));
        assert!(count > 60 || to.counters().receives.get() == 1);
        first += count as u64;
    }
    assert_eq!(to.counters().truncated.get(), 0);
}
