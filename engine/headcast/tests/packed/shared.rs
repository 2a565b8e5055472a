//! Messages that share a datagram.

use std::time::Duration;

use headcast::{Event, Refusal};

use super::support::{messages, pair, places, places_of, take};

const COPY: usize = 3;

#[test]
fn each_message_of_a_datagram_is_handed_on_in_its_order_whatever_its_length() {
    let (mut to, mut from) = pair(|builder| builder);
    let datagrams = [
        messages([3, 0, 1]),
        messages([1]),
        messages([0, 0, 0, 0]),
        messages([600, 700, 40]),
        messages([1; 400]),
        messages([65_507 - 40 - 2]),
        messages(vec![0; (65_507 - 40) / 2]),
    ];
    for datagram in &datagrams {
        let datagram = from.shared(datagram);
        from.send(&datagram);
    }
    assert_eq!(places(&take(&mut to, &from)), places_of(1, &datagrams));
    let c = to.counters();
    let shared: u64 = datagrams.iter().map(|datagram| datagram.len() as u64 - 1).sum();
    assert_eq!((c.datagrams.get(), c.unpacked.get(), c.delivered.get()), (7, shared, 7 + shared));
}

#[test]
fn what_a_header_says_is_true_of_every_message_of_its_datagram() {
    let (mut to, mut from) = pair(|builder| builder);
    let plain = from.whole(b"alone");
    from.send(&plain);
    let mut shared = from.shared(&messages([4, 5, 6]));
    shared[COPY] = 1;
    from.send(&shared);
    let got = take(&mut to, &from);
    let parsed = headcast_proto::Datagram::parse(&shared).expect("valid");
    for (part, (_, origin)) in (0..).zip(&got[1..]) {
        let origin = origin.expect("a header");
        assert_eq!((origin.publisher, origin.session, origin.stream), (7, parsed.session(), 0));
        assert_eq!((origin.seq, origin.part, origin.timestamp_ns), (2, part, parsed.timestamp()));
        assert!(origin.rescued, "its first copy did not come");
    }
    assert_eq!((got.len(), to.counters().rescued.get()), (4, 3));
}

#[test]
fn an_extension_in_front_of_them_is_passed_over() {
    let (mut to, mut from) = pair(|builder| builder);
    let datagrams = [messages([5, 0, 6]), messages([7])];
    for datagram in &datagrams {
        let mut bytes = from.shared(datagram);
        bytes[1] |= headcast_proto::header::flags::EXTENDED;
        bytes.splice(40..40, [8, 0, 0x80, 1, 1, 2, 3, 4]);
        from.send(&bytes);
    }
    assert_eq!(places(&take(&mut to, &from)), places_of(1, &datagrams));
}

#[test]
fn a_copy_brings_nothing_and_a_later_one_all_that_the_first_would_have() {
    let (mut to, mut from) = pair(|builder| builder);
    let datagrams = [messages([3, 4]), messages([5, 6, 7])];
    let sealed = datagrams.clone().map(|datagram| from.shared(&datagram));
    from.send(&sealed[0]);
    for bytes in &sealed {
        let mut copy = bytes.clone();
        copy[COPY] = 1;
        from.send(&copy);
    }
    assert_eq!(places(&take(&mut to, &from)), places_of(1, &datagrams));
    assert_eq!((to.counters().duplicates.get(), to.counters().rescued.get()), (1, 3));
}

#[test]
fn what_does_not_add_up_is_refused_and_harms_nothing() {
    let (mut to, mut from) = pair(|builder| builder);
    let good = messages([1, 2]);
    let first = from.shared(&good);
    from.send(&first);
    let lies: [fn(&mut Vec<u8>); 5] = [
        // One message more, or less, than there is; a length that goes beyond the end, or ends before it.
        |bytes| bytes[12] = 3,
        |bytes| bytes[12] = 1,
        |bytes| bytes[12] = 0,
        |bytes| bytes[40] = 200,
        |bytes| bytes[40] = 0,
    ];
    for lie in lies {
        let mut bytes = from.shared(&good);
        lie(&mut bytes);
        from.send(&bytes);
    }
    let last = from.shared(&good);
    from.send(&last);
    let expected = [places_of(1, std::slice::from_ref(&good)), places_of(7, &[good])].concat();
    assert_eq!(places(&take(&mut to, &from)), expected);
    assert_eq!(to.refusals().get(Refusal::Coalesced), 5);
}

#[test]
fn in_order_they_wait_together_for_what_is_missing() {
    let (mut to, mut from) = pair(|builder| builder.ordered(Duration::from_secs(60)));
    let datagrams =
        [messages([9]), messages([3, 0, 4]), messages([1]), messages([5, 6]), messages([700, 600])];
    let sealed = datagrams.clone().map(|datagram| from.shared(&datagram));
    from.send(&sealed[0]);
    assert_eq!(places(&take(&mut to, &from)).len(), 1);
    for at in [4, 1, 3] {
        from.send(&sealed[at]);
    }
    assert_eq!(places(&take(&mut to, &from)), places_of(2, &datagrams[1..2]));
    from.send(&sealed[2]);
    assert_eq!(places(&take(&mut to, &from)), places_of(3, &datagrams[2..]));
    let c = to.counters();
    // The first one waited behind the news that its session is heard.
    assert_eq!((c.kept.get(), c.released.get(), c.unpacked.get(), c.delivered.get()), (5, 5, 4, 9));
}

#[test]
fn a_gap_is_told_before_the_messages_behind_it_and_an_end_after_them() {
    let (mut to, mut from) = pair(|builder| builder.ordered(Duration::from_secs(60)));
    let sealed = [messages([1, 2]), messages([3]), messages([4, 0])].map(|datagram| from.shared(&datagram));
    from.send(&sealed[0]);
    from.send(&sealed[2]);
    let end = from.end();
    from.send(&end);
    let mut told = Vec::new();
    while let Some(event) = to.try_next().expect("a socket that works") {
        told.push(tell(event));
    }
    to.give_up();
    while let Some(event) = to.try_next().expect("a socket that works") {
        told.push(tell(event));
    }
    assert_eq!(told, ["opened", "1.0", "1.1", "ended", "2-2", "3.0", "3.1"]);
}

fn tell(event: Event<'_>) -> String {
    match event {
        Event::Message(message) => {
            let origin = message.origin.expect("a header");
            format!("{}.{}", origin.seq, origin.part)
        }
        Event::Gap { from, to, .. } => format!("{from}-{to}"),
        Event::Opened { .. } => "opened".into(),
        Event::Ended { .. } => "ended".into(),
        other => format!("{other:?}"),
    }
}
