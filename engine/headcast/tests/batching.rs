//! What queues goes out together, and arrives as what it was.

mod support;

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use headcast::{Backlog, Listen, Mode, Publisher, Subscriber};
use headcast_proto::body;
use headcast_proto::header::flags;
use headcast_udp::Capabilities;

use support::{Got, Peer, SOON, TURN, assert_booked, is_settled, ready, to, turn_until};

/// What fits into a datagram of the default size beside its header.
const PAYLOAD_MAX: usize = 1392 - 40;

fn message(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 7) ^ seed).to_le_bytes()[0]).collect()
}

fn messages(lens: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    lens.into_iter().enumerate().map(|(seed, len)| message(len, seed)).collect()
}

/// The messages of these datagrams, in their order.
fn unpack(got: &[Got]) -> Vec<Vec<u8>> {
    let messages = got.iter().flat_map(|got| {
        let datagram = got.datagram();
        if datagram.flags() & flags::COALESCED == 0 {
            return vec![datagram.payload().to_vec()];
        }
        body::coalesced(datagram.payload()).map(<[u8]>::to_vec).collect()
    });
    messages.collect()
}

/// How many sends of several datagrams these make, of at most 128 and 65,507 bytes: equally long, the last may be
/// shorter.
fn trains_of(lens: &[usize], header: usize) -> u64 {
    let (mut trains, mut at) = (0, 0);
    while at < lens.len() {
        let (segment, first) = (lens[at] + header, at);
        let mut total = segment;
        at += 1;
        while at < lens.len() && at - first < 128 && lens[at - 1] + header == segment {
            total += lens[at] + header;
            if lens[at] + header > segment || total > 65_507 {
                break;
            }
            at += 1;
        }
        trains += u64::from(at - first > 1);
    }
    trains
}

fn post_all(publisher: &mut Publisher, messages: &[Vec<u8>]) {
    for message in messages {
        publisher.post(message).expect("posted");
    }
}

#[test]
fn a_message_that_finds_nothing_queued_goes_out_at_once_and_alone() {
    let peer = Peer::new();
    let mut publisher = ready(to(&[&peer], Mode::Once));
    for message in messages([5, 0, PAYLOAD_MAX, 1]) {
        publisher.publish(&message).expect("published");
        let got = peer.data();
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].datagram().flags() & flags::COALESCED, 0);
        assert_eq!(unpack(&got), [message]);
    }
    let c = publisher.counters();
    assert_eq!((c.packed.get(), c.trains.get(), c.passes_first.get()), (0, 0, 4));
}

#[test]
fn posted_messages_of_all_lengths_share_datagrams_in_their_order() {
    let (edge, half) = (PAYLOAD_MAX, PAYLOAD_MAX / 2);
    for lens in [
        vec![1, 2, 3],
        vec![0, 0, 0],
        // They fill a datagram exactly; one byte more does not fit.
        vec![half - 2, half - 2, half - 2, half - 1],
        vec![edge - 2 - 2 - 1, 1, 7],
        vec![edge - 2 - 2, 1, 7],
        vec![edge, 1, edge, edge - 2, edge - 4, 0, edge - 1],
        (0..300).map(|n| n * 13 % 700).collect(),
    ] {
        let peer = Peer::new();
        let mut publisher = ready(to(&[&peer], Mode::Once));
        let messages = messages(lens.iter().copied());
        post_all(&mut publisher, &messages);
        publisher.flush().expect("flushed");
        let got = peer.data();
        assert_eq!(unpack(&got), messages, "{lens:?}");
        assert!(got.iter().all(|got| got.bytes.len() <= 1392));
        // No datagram could have taken the first message of the next one.
        for pair in got.windows(2) {
            let first = unpack(&pair[1..])[0].len();
            let alone = pair[0].datagram().flags() & flags::COALESCED == 0;
            assert!(pair[0].bytes.len() + 2 * usize::from(alone) + 2 + first > 1392, "{lens:?}");
        }
        let c = publisher.counters();
        assert_eq!(c.packed.get(), (messages.len() - got.len()) as u64);
        assert_booked(&publisher);
    }
}

#[test]
fn equal_datagrams_go_to_each_peer_in_one_send() {
    // 1, 64, 65 and 128 datagrams; more bytes than one send takes; a shorter one at the end, and in the middle.
    for lens in [
        vec![500; 1],
        vec![100; 64],
        vec![100; 65],
        vec![100; 128],
        vec![100; 200],
        vec![PAYLOAD_MAX; 60],
        [vec![200; 9], vec![199]].concat(),
        [vec![200; 9], vec![199], vec![200; 9]].concat(),
        (1..200).collect(),
        (1..200).rev().collect(),
    ] {
        for raw in [false, true] {
            let peers = [Peer::new(), Peer::new(), Peer::new()];
            let builder = to(&peers.each_ref(), Mode::Once).packing(false).raw(raw);
            let mut publisher = ready(builder.pass_max(Duration::from_secs(1)));
            // Trains double in length from one to the next: these make them as long as they may be.
            let first = vec![vec![0; 8]; 4];
            for _ in 0..10 {
                post_all(&mut publisher, &first);
                publisher.flush().expect("flushed");
                peers.iter().for_each(|peer| assert_eq!(peer.drain().len(), first.len()));
            }
            let trains = publisher.counters().trains.get();
            let messages = messages(lens.iter().copied());
            post_all(&mut publisher, &messages);
            publisher.flush().expect("flushed");
            for peer in &peers {
                let got = peer.drain();
                let payloads: Vec<_> = got
                    .iter()
                    .map(|got| if raw { got.bytes.clone() } else { got.datagram().payload().to_vec() })
                    .collect();
                assert!(payloads == messages, "{} from {:?} on, raw: {raw}", lens.len(), lens[0]);
            }
            let c = publisher.counters();
            assert_eq!(c.sent_first.get(), 3 * (40 + messages.len()) as u64);
            assert_eq!(c.gso_refused.get(), 0);
            if Capabilities::probe_train() == 128 {
                let expected = trains_of(&lens, if raw { 0 } else { 40 });
                assert_eq!(c.trains.get() - trains, 3 * expected, "{} from {:?} on", lens.len(), lens[0]);
            }
            assert_booked(&publisher);
        }
    }
}

#[test]
fn a_plain_receiver_gets_a_datagram_for_each_message() {
    let peer = Peer::new();
    let mut publisher = ready(to(&[&peer], Mode::Once).raw(true));
    let messages = messages([3, 3, 3, 0, 3, 5, 1392, 1392, 1, 0, 0]);
    post_all(&mut publisher, &messages);
    publisher.flush().expect("flushed");
    let got: Vec<_> = peer.drain().into_iter().map(|got| got.bytes).collect();
    assert_eq!(got, messages);
    assert_eq!(publisher.counters().packed.get(), 0);
}

#[test]
fn what_other_threads_and_local_applications_hand_over_is_packed() {
    let peer = Peer::new();
    let path = std::env::temp_dir().join(format!("headcast-batching-{}.sock", std::process::id()));
    let udp: Listen = "udp://127.0.0.1:0".parse().expect("a place to listen");
    for listen in [udp, Listen::Unix(path.clone())] {
        let unix = matches!(listen, Listen::Unix(_));
        let mut publisher = ready(to(&[&peer], Mode::Once).listen(listen));
        // A Unix socket queues 10 datagrams unless the system is told otherwise.
        let lens: Vec<usize> =
            if unix { (0..10).collect() } else { (0..200).map(|n| n * 11 % 500).collect() };
        let messages = messages(lens);
        if unix {
            let application = UnixDatagram::unbound().expect("a socket");
            messages.iter().for_each(|message| {
                application.send_to(message, &path).expect("sent");
            });
        } else {
            let to = publisher.ingress_address().expect("a UDP address");
            let application = UdpSocket::bind("127.0.0.1:0").expect("a port");
            messages.iter().for_each(|message| {
                application.send_to(message, to).expect("sent");
            });
        }
        turn_until(&mut publisher, |publisher| publisher.counters().messages.get() == messages.len() as u64);
        turn_until(&mut publisher, |publisher| publisher.backlog() == 0);
        assert_eq!(unpack(&peer.data()), messages);
        assert!(publisher.counters().packed.get() > messages.len() as u64 / 2);

        let handle = publisher.handle();
        messages.iter().for_each(|message| handle.publish(message).expect("accepted"));
        let packed = publisher.counters().packed.get();
        turn_until(&mut publisher, |publisher| {
            is_settled(publisher) && publisher.counters().messages.get() == 2 * messages.len() as u64
        });
        assert_eq!(unpack(&peer.data()), messages);
        assert!(publisher.counters().packed.get() - packed > messages.len() as u64 / 2);
        assert_booked(&publisher);
    }
}

#[test]
fn long_local_datagrams_between_small_ones_keep_their_place() {
    let listen: Listen = "udp://127.0.0.1:0".parse().expect("a place to listen");
    let mut subscriber = Subscriber::builder()
        .listen("127.0.0.1:0".parse().expect("an address"))
        .ordered(SOON)
        .build()
        .expect("a subscriber");
    for ring in [16, 8192] {
        let peers = [subscriber.local_addr().expect("an address")];
        let builder = Publisher::builder().peers(peers).publisher_id(7).mode(Mode::Nak).ring(ring);
        let mut publisher = ready(builder.listen(listen.clone()));
        let to = publisher.ingress_address().expect("a UDP address");
        let application = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let messages = messages((0..90).map(|n| if n % 9 == 4 { 3_000 } else { n * 5 }));
        let mut got = Vec::new();
        for (count, chunk) in (1..).zip(messages.chunks(30)) {
            for message in chunk {
                application.send_to(message, to).expect("sent");
            }
            turn_until(&mut publisher, |publisher| {
                while let Some(message) = subscriber.try_recv().expect("a socket that works") {
                    got.push(message.payload.to_vec());
                }
                got.len() == 30 * count && publisher.backlog() == 0
            });
        }
        assert!(got == messages, "with a ring of {ring}");
        publisher.close(SOON).expect("closed");
        assert_booked(&publisher);
        while subscriber.try_recv().expect("a socket that works").is_some() {}
    }
}

#[test]
fn later_copies_and_repairs_are_what_was_packed() {
    let mut peer = Peer::new();
    let builder = to(&[&peer], Mode::DupNak).copies(3).spacing(Duration::from_millis(1));
    let mut publisher = ready(builder);
    let messages = messages((0..100).map(|n| 20 + n % 3));
    post_all(&mut publisher, &messages);
    publisher.flush().expect("flushed");
    let first = peer.data();
    assert_eq!(unpack(&first), messages);
    turn_until(&mut publisher, |publisher| publisher.backlog() == 0);
    let later = peer.data();
    assert_eq!(later.len(), 2 * first.len());
    for (copy, got) in (1..).zip(later.chunks(first.len())) {
        assert!(got.iter().all(|got| got.path() == copy));
        assert!(got.iter().map(Got::sealed).eq(first.iter().map(Got::sealed)));
    }
    peer.ask(first[0].from, publisher.session(), &[1, 2]);
    turn_until(&mut publisher, |publisher| publisher.counters().repairs_sent.get() == 2);
    let repairs = peer.data();
    assert!(repairs.iter().map(Got::sealed).eq(first[..2].iter().map(Got::sealed)));
    assert_booked(&publisher);
}

#[test]
fn a_claim_is_written_into_the_datagram_that_is_open() {
    let peer = Peer::new();
    let mut publisher = ready(to(&[&peer], Mode::Once));
    publisher.post(b"first").expect("posted");
    // Written and given up: it was never there.
    publisher.claim(9).expect("room").copy_from_slice(b"nonsense!");
    let mut shortened = publisher.claim(9).expect("room");
    shortened.copy_from_slice(b"secondary");
    shortened.truncate(6);
    assert_eq!(&*shortened, b"second");
    shortened.post().expect("posted");
    let mut last = publisher.claim(5).expect("room");
    last.copy_from_slice(b"third");
    assert_eq!(last.commit().expect("published"), 1, "the sequence of the datagram");
    assert_eq!(unpack(&peer.data()), [&b"first"[..], b"second", b"third"]);
    assert_eq!((publisher.counters().packed.get(), publisher.counters().passes_first.get()), (2, 1));
}

#[test]
fn more_than_a_pass_takes_is_not_held_back() {
    let peer = Peer::new();
    let mut publisher = ready(to(&[&peer], Mode::Once).packing(false));
    let mut posted = 0;
    while publisher.counters().passes_first.get() == 0 {
        publisher.post(&message(100, posted)).expect("posted");
        posted += 1;
        assert!(posted <= 129, "longer than any train");
    }
    // What is full has gone out; what is not is still open.
    assert_eq!(publisher.counters().passes_first.get() + 1, posted as u64);
    publisher.turn(TURN).expect("a turn");
    assert_eq!(peer.data().len(), posted);
}

#[test]
fn every_backlog_policy_accounts_for_what_is_packed() {
    for backlog in [Backlog::Block, Backlog::DropNewest, Backlog::DropOldest] {
        let peer = Peer::new();
        let mut publisher = to(&[&peer], Mode::Once).ring(16).backlog(backlog).build().expect("a publisher");
        let mut accepted = 0;
        for n in 0..2_000usize {
            accepted += u64::from(publisher.post(&message(400, n)).is_ok());
        }
        turn_until(&mut publisher, |publisher| publisher.backlog() == 0 && publisher.peers() > 0);
        let c = publisher.counters();
        assert_eq!(c.messages.get(), accepted);
        assert_eq!(accepted + c.dropped_newest.get(), 2_000);
        assert_booked(&publisher);
    }
}
