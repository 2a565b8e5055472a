//! What a publisher puts on the wire: modes, heartbeats, repairs and the farewell.

mod support;

use std::time::Duration;

use headcast::{Mode, Publisher};
use headcast_proto::Kind;
use headcast_proto::header::flags;

use support::{Got, PUBLISHER, Peer, SOON, TURN, assert_booked, ready, to, turn_until, turn_until_asked};

const RETRANSMISSION: u8 = 0x08;
const MODES: [Mode; 4] = [Mode::Once, Mode::Dup, Mode::DupNak, Mode::Nak];

/// A publisher of `messages` that `peer` has heard once, and what it heard.
fn published(builder: headcast::PublisherBuilder, peer: &Peer, messages: u64) -> (Publisher, Vec<Got>) {
    let mut publisher = ready(builder);
    let mut got = Vec::new();
    for n in 0..messages {
        publisher.publish(&n.to_le_bytes()).expect("published");
        got.extend(peer.data());
    }
    turn_until(&mut publisher, |publisher| publisher.backlog() == 0);
    got.extend(peer.data());
    (publisher, got)
}

#[test]
fn each_mode_sends_its_copies_and_says_whether_to_ask() {
    for mode in MODES {
        let peer = Peer::new();
        let (mut publisher, got) = published(to(&[&peer], mode), &peer, 1);
        publisher.close(SOON).expect("closed");
        let paths: Vec<u8> = got.iter().map(Got::path).collect();
        let several = matches!(mode, Mode::Dup | Mode::DupNak);
        assert_eq!(paths, if several { vec![0, 1] } else { vec![0] }, "{mode}");
        let asked = matches!(mode, Mode::DupNak | Mode::Nak);
        let farewell = peer.drain();
        assert!(farewell.iter().any(|got| got.kind() == Kind::End), "{mode}");
        for got in got.iter().chain(&farewell) {
            assert_eq!(got.datagram().flags(), if asked { 0 } else { flags::NO_REPAIR }, "{mode}");
        }
        assert_booked(&publisher);
    }
}

#[test]
fn a_mode_and_its_copies_must_agree() {
    let peer = Peer::new();
    for (builder, hint) in [
        (to(&[&peer], Mode::Once).copies(2), "right would be the mode dup"),
        (to(&[&peer], Mode::Nak).copies(2), "right would be the mode dup+nak"),
        (to(&[&peer], Mode::Dup).copies(1), "right would be the mode once"),
        (to(&[&peer], Mode::DupNak).raw(true), "raw has no header, so nothing can be asked for"),
        (to(&[&peer], Mode::Nak).repair_share(101.0), "0 to 100"),
        (to(&[&peer], Mode::Nak).repair_share(f64::NAN), "0 to 100"),
        (to(&[&peer], Mode::Nak).repair_interval(SOON), "at most 1 s"),
        (to(&[&peer], Mode::Nak).message_max(0), "1 to 1048576"),
    ] {
        let error = builder.build().err().expect("refused").to_string();
        assert!(error.contains(hint), "{error}");
    }
    assert_eq!(ready(to(&[&peer], Mode::Dup)).mode(), Mode::Dup);
    let unset = Publisher::builder().peers([peer.address()]).publisher_id(PUBLISHER);
    assert_eq!(ready(unset.clone()).mode(), Mode::Dup);
    assert_eq!(ready(unset.copies(1)).mode(), Mode::Once);
}

#[test]
fn who_has_nothing_to_send_says_so_and_at_the_end_that_it_stops() {
    let peer = Peer::new();
    let (mut publisher, got) = published(to(&[&peer], Mode::Once), &peer, 3);
    assert_eq!(got.len(), 3);
    let beats = |publisher: &Publisher| publisher.counters().heartbeats.get();
    turn_until(&mut publisher, |publisher| beats(publisher) >= 5);
    let heard = peer.drain();
    assert!(heard.len() >= 5);
    for got in &heard {
        assert_eq!((got.kind(), got.seq(), got.path(), got.bytes.len()), (Kind::Heartbeat, 3, 0, 40));
    }
    let stamps: Vec<u64> = heard.iter().map(|got| got.datagram().timestamp()).collect();
    // 1 and 2 ms after the data, then each as long after the one before as that was after the data.
    assert!(stamps.is_sorted_by(|a, b| a < b));
    assert!(stamps[4] - stamps[0] >= 10_000_000, "{stamps:?}");

    publisher.publish(b"x").expect("published");
    let before = beats(&publisher);
    turn_until(&mut publisher, |publisher| beats(publisher) > before);
    publisher.close(SOON).expect("closed");
    let heard: Vec<_> = peer.drain().iter().map(|got| (got.kind(), got.seq())).collect();
    assert_eq!(heard[..2], [(Kind::Data, 4), (Kind::Heartbeat, 4)]);
    assert_eq!(heard.last(), Some(&(Kind::End, 4)));
    assert_eq!(heard.iter().filter(|(kind, _)| *kind == Kind::End).count(), 1);
    assert_booked(&publisher);
}

#[test]
fn who_has_sent_nothing_or_has_no_peer_has_no_heartbeat() {
    let peer = Peer::new();
    let silent = || to(&[&peer], Mode::Dup);
    let mut nothing_sent = ready(silent());
    let mut nobody_there = silent().exclude([peer.address().ip()]).build().expect("a publisher");
    nobody_there.publish(b"x").expect("published");
    let mut raw = ready(silent().raw(true));
    raw.publish(b"x").expect("published");
    turn_until(&mut nobody_there, |publisher| publisher.counters().unheard.get() == 1);
    for publisher in [&mut nothing_sent, &mut nobody_there, &mut raw] {
        for _ in 0..5 {
            publisher.turn(TURN).expect("a turn");
        }
        assert_eq!(publisher.counters().heartbeats.get(), 0);
    }
}

#[test]
fn who_asks_is_sent_the_stored_bytes_and_nobody_else_is() {
    let (mut asking, other) = (Peer::new(), Peer::new());
    let (mut publisher, got) = published(to(&[&asking, &other], Mode::Nak), &asking, 5);
    other.drain();
    // 2, and 4 by the bitmap.
    asking.ask_for(got[0].from, (PUBLISHER, 0, publisher.session()), &[(2, 0b10)]);
    turn_until_asked(&mut publisher, 1);
    let repairs = asking.data();
    assert_eq!(repairs.iter().map(Got::seq).collect::<Vec<_>>(), [2, 4]);
    for repair in &repairs {
        let first = &got[usize::try_from(repair.seq() - 1).expect("small")];
        assert_eq!((repair.sealed(), repair.from), (first.sealed(), first.from));
        assert_eq!((first.path(), repair.path()), (0, RETRANSMISSION));
    }
    assert!(other.data().is_empty());
    assert_eq!((publisher.counters().naks.get(), publisher.counters().repairs_sent.get()), (1, 2));
    assert_booked(&publisher);
}

#[test]
fn both_families_are_answered() {
    // A host without IPv6 has nothing to show here.
    let Ok(mut six) = Peer::at("[::1]:0") else { return };
    let mut four = Peer::new();
    let mut publisher = ready(to(&[&four, &six], Mode::Nak));
    publisher.publish(b"x").expect("published");
    let session = publisher.session();
    for peer in [&mut four, &mut six] {
        let first = peer.data();
        peer.ask(first[0].from, session, &[1]);
    }
    turn_until_asked(&mut publisher, 2);
    for peer in [&four, &six] {
        assert_eq!(peer.data().iter().map(Got::path).collect::<Vec<_>>(), [RETRANSMISSION]);
    }
}

#[test]
fn repairs_that_wait_are_forgotten_when_the_peers_change() {
    let (mut peer, other) = (Peer::new(), Peer::new());
    let list = std::env::temp_dir().join(format!("headcast-wire-{}.txt", std::process::id()));
    let write = |peers: &[&Peer]| {
        let lines: Vec<String> = peers.iter().map(|peer| peer.address().to_string()).collect();
        let new = list.with_extension("new");
        std::fs::write(&new, lines.join("\n")).expect("a directory that can be written to");
        std::fs::rename(&new, &list).expect("renamed");
    };
    write(&[&peer]);
    let builder = Publisher::builder().peers_file(&list, 1).publisher_id(PUBLISHER).mode(Mode::Nak);
    let (mut publisher, got) = published(builder, &peer, 100);
    peer.ask_for(got[0].from, (PUBLISHER, 0, publisher.session()), &[(1, u64::MAX >> 1)]);
    // One turn takes the request in, and does not send all of it.
    turn_until(&mut publisher, |publisher| publisher.counters().naks.get() == 1);
    assert!(publisher.counters().repairs_sent.get() < 32);
    write(&[&peer, &other]);
    for _ in 0..20_000 {
        if publisher.monitor().status().peers.len() == 2 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    turn_until_asked(&mut publisher, 1);
    let c = publisher.counters();
    assert!(c.repairs_forgotten.get() > 0, "{c:?}");
    assert_eq!((publisher.peers(), c.asked.get()), (2, 64));
    assert_booked(&publisher);
    std::fs::remove_file(&list).expect("removed");
}

#[test]
fn what_is_no_request_of_a_peer_is_counted_by_reason_and_not_answered() {
    let (mut peer, mut stranger) = (Peer::new(), Peer::new());
    let (mut publisher, got) = published(to(&[&peer], Mode::DupNak), &peer, 2);
    let (at, session) = (got[0].from, publisher.session());
    let later = headcast::Session::from_bits(session.to_bits() + 1);
    stranger.ask(at, session, &[1]);
    for named in [(PUBLISHER + 1, 0, session), (PUBLISHER, 1, session), (PUBLISHER, 0, later)] {
        peer.ask_for(at, named, &[(1, 0)]);
    }
    peer.socket.send_to(b"what is this", at).expect("sent");
    peer.socket.send_to(&[0x11; 1_000], at).expect("sent");
    // Its own message, back again.
    peer.socket.send_to(&got[0].bytes, at).expect("sent");
    turn_until_asked(&mut publisher, 7);
    assert!(peer.data().is_empty() && stranger.data().is_empty());
    let c = publisher.counters();
    assert_eq!((c.naks_stranger.get(), c.naks_foreign.get()), (1, 3));
    assert_eq!((c.malformed.get(), c.strays.get()), (2, 1));
    assert_eq!((c.naks.get(), c.asked.get()), (0, 0));
}

#[test]
fn what_the_ring_does_not_hold_any_more_or_yet_is_gone() {
    let mut peer = Peer::new();
    let (mut publisher, got) = published(to(&[&peer], Mode::Nak).ring(16), &peer, 40);
    // Given up half-written, it lies where 24 was, under the header of that.
    publisher.claim(8).expect("room").copy_from_slice(b"scribble");
    peer.ask(got[0].from, publisher.session(), &[1, 24, 25, 26, 40, 41, u64::MAX]);
    turn_until_asked(&mut publisher, 1);
    let repairs = peer.data();
    assert_eq!(repairs.iter().map(Got::seq).collect::<Vec<_>>(), [26, 40]);
    for repair in &repairs {
        assert_eq!(repair.datagram().payload(), (repair.seq() - 1).to_le_bytes());
    }
    let c = publisher.counters();
    assert_eq!((c.asked.get(), c.repairs_sent.get(), c.repairs_gone.get()), (7, 2, 5));
}

#[test]
fn repairs_are_bounded_by_share_and_not_repeated_at_once() {
    let mut peer = Peer::new();
    // 52 bytes each at most, and 64 times 52 at once; a message takes 48.
    let builder = to(&[&peer], Mode::Nak).datagram_max(52).repair_share(0.0).history(0);
    let interval = Duration::from_secs(1);
    let (mut publisher, got) = published(builder.repair_interval(interval), &peer, 300);
    let (at, session) = (got[0].from, publisher.session());
    peer.ask_for(at, (PUBLISHER, 0, session), &[(1, u64::MAX)]);
    peer.ask_for(at, (PUBLISHER, 0, session), &[(2, 0)]);
    peer.ask_for(at, (PUBLISHER, 0, session), &[(101, u64::MAX >> 1)]);
    turn_until_asked(&mut publisher, 3);
    let most = 64 * 52 / 48;
    assert_eq!(peer.data().len(), most);
    let c = publisher.counters();
    assert_eq!(c.repairs_sent.get(), most as u64);
    assert_eq!((c.repairs_excess.get(), c.repairs_repeated.get()), (1, 1));
    assert_eq!(c.repairs_over_budget.get(), 64 + 1 + 1 + 64 - 2 - most as u64);
    assert_booked(&publisher);
}

#[test]
fn later_copies_after_a_repair_and_first_copies_in_its_slot_say_what_they_are() {
    let mut peer = Peer::new();
    let builder = to(&[&peer], Mode::DupNak).copies(3).spacing(Duration::from_millis(100)).ring(16);
    let mut publisher = ready(builder);
    publisher.publish(b"x").expect("published");
    let first = peer.data();
    assert_eq!(first[0].path(), 0);
    peer.ask(first[0].from, publisher.session(), &[1]);
    let sent = |publisher: &Publisher| publisher.counters().repairs_sent.get();
    turn_until(&mut publisher, |publisher| sent(publisher) == 1);
    turn_until(&mut publisher, |publisher| publisher.backlog() == 0);
    let paths: Vec<u8> = peer.data().iter().map(Got::path).collect();
    assert_eq!(paths, [RETRANSMISSION, 1, 2]);
    // After the last copy, then all around the ring.
    peer.ask(first[0].from, publisher.session(), &[1]);
    turn_until(&mut publisher, |publisher| sent(publisher) == 2);
    for _ in 0..16 {
        publisher.publish(b"y").expect("published");
        turn_until(&mut publisher, |publisher| publisher.backlog() < 15);
    }
    let last = peer.data().into_iter().find(|got| got.seq() == 17).expect("its first copy");
    assert_eq!(last.path(), 0);
}

#[test]
fn repairs_get_through_while_first_copies_never_end() {
    let mut peer = Peer::new();
    let mut publisher = ready(to(&[&peer], Mode::Nak).ring(1024).queue(1024).packing(false));
    publisher.publish(b"x").expect("published");
    let first = peer.data();
    let handle = publisher.handle();
    for n in 0..1_000u64 {
        handle.publish(&n.to_le_bytes()).expect("accepted");
    }
    peer.ask(first[0].from, publisher.session(), &[1]);
    // The first takes messages and the request in, the second sends some of them.
    for _ in 0..2 {
        publisher.turn(TURN).expect("a turn");
    }
    assert_eq!(publisher.counters().repairs_sent.get(), 1);
    assert!(publisher.backlog() > 0, "most of it is still to come");
}

#[test]
fn an_owner_who_only_publishes_answers_all_the_same() {
    let mut peer = Peer::new();
    let mut publisher = ready(to(&[&peer], Mode::Nak));
    publisher.publish(b"x").expect("published");
    let first = peer.data();
    peer.ask(first[0].from, publisher.session(), &[1]);
    for n in 0..128u64 {
        publisher.publish(&n.to_le_bytes()).expect("published");
        if peer.data().iter().any(|got| (got.seq(), got.path()) == (1, RETRANSMISSION)) {
            return;
        }
    }
    panic!("nobody answered: {:?}", publisher.counters());
}

#[test]
fn the_tail_can_be_asked_for_after_the_farewell() {
    let mut peer = Peer::new();
    let (mut publisher, got) = published(to(&[&peer], Mode::Nak), &peer, 3);
    let (at, session) = (got[0].from, publisher.session());
    peer.drain();
    let closing = std::thread::spawn(move || {
        assert_eq!(publisher.close(SOON).expect("closed"), 0);
        publisher
    });
    let mut heard = Vec::new();
    let mut wait_for = |peer: &Peer, wanted: (Kind, u8, usize)| {
        for _ in 0..5_000 {
            heard.extend(peer.drain().iter().map(|got| (got.kind(), got.seq(), got.path())));
            let (kind, path, times) = wanted;
            if heard.iter().filter(|heard| **heard == (kind, 3, path)).count() >= times {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("{wanted:?} never came: {heard:?}");
    };
    wait_for(&peer, (Kind::End, 0, 2));
    peer.ask(at, session, &[3]);
    wait_for(&peer, (Kind::Data, RETRANSMISSION, 1));
    wait_for(&peer, (Kind::End, 0, 4));
    let publisher = closing.join().expect("no panic");
    assert_eq!(publisher.counters().repairs_sent.get(), 1);
    assert_booked(&publisher);
}

#[test]
fn closing_with_repairs_ends_at_its_deadline_though_somebody_asks_without_end() {
    let mut peer = Peer::new();
    let (mut publisher, got) = published(to(&[&peer], Mode::Nak), &peer, 1);
    let (at, session) = (got[0].from, publisher.session());
    let asking = publisher.handle();
    let closing = std::thread::spawn(move || publisher.close(Duration::from_millis(300)).expect("closed"));
    while !closing.is_finished() {
        peer.ask(at, session, &[1]);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(closing.join().expect("no panic"), 0);
    assert!(asking.is_closed());
}
