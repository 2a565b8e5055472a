//! The data threads allocate nothing and free nothing once they run, not even while the peers change.
//!
//! The counts are those of the thread that measures; the control thread beside it may do as it likes.

#[path = "packed/support.rs"]
mod packed;
mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Duration;

use headcast::{Mode, Publisher, PublisherBuilder, Subscriber};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;

use support::{PUBLISHER, Peer};

const SOON: Duration = Duration::from_secs(10);
const MESSAGES: u64 = 5_000;
/// A peer that the kernel refuses to send to (EACCES): the broadcast address of the loopback network.
const REFUSED: &str = "127.255.255.255:9";
/// How long a turn may wait.
const TURN: Option<Duration> = Some(Duration::from_millis(1));
/// Turns until something must have happened: more than 20 s of waiting.
const TURNS_MAX: usize = 20_000;

/// Allocations and frees of this thread while `work` runs.
fn heap_calls(work: impl FnOnce()) -> (u64, i64) {
    let info = allocation_counter::measure(work);
    let allocated = info.count_total;
    (allocated, allocated.cast_signed() - info.count_current)
}

fn subscriber() -> (Subscriber, SocketAddr) {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let subscriber = Subscriber::builder().listen(listen).build().expect("a subscriber");
    let address = subscriber.local_addr().expect("an address");
    (subscriber, address)
}

fn ready(builder: PublisherBuilder) -> Publisher {
    let mut publisher = builder.ring(256).queue(64).publisher_id(3).build().expect("a publisher");
    publisher.wait_for_peers(SOON).expect("peers");
    publisher
}

/// Turns until everything is out, later copies too.
fn settle(publisher: &mut Publisher) {
    for _ in 0..TURNS_MAX {
        if publisher.backlog() == 0 {
            return;
        }
        publisher.turn(TURN).expect("a turn");
    }
    panic!("{} datagrams are still waiting", publisher.backlog());
}

/// Everything that an application may do again and again, with waits and without.
fn work(publisher: &mut Publisher, messages: u64) {
    for n in 0..messages {
        match n % 4 {
            0 => {
                publisher.publish(&n.to_le_bytes()).expect("published");
            }
            1 => {
                let mut claim = publisher.claim(1000).expect("room");
                claim[..8].copy_from_slice(&n.to_le_bytes());
                claim.truncate(500);
                claim.commit().expect("published");
            }
            2 => drop(publisher.claim(100).expect("room")),
            _ => {
                publisher.turn(Some(Duration::ZERO)).expect("a turn");
            }
        }
    }
    settle(publisher);
}

#[test]
fn the_counter_sees_what_this_thread_allocates_and_frees() {
    let old = std::hint::black_box(Box::new(1));
    let mut new = None;
    assert_eq!(heap_calls(|| drop(old)), (0, 1));
    assert_eq!(heap_calls(|| new = Some(std::hint::black_box(Box::new(2)))), (1, 0));
    assert_eq!(heap_calls(|| drop(std::hint::black_box(vec![0; 100]))), (1, 1));
    assert_eq!(new.as_deref(), Some(&2));
}

#[test]
fn a_publisher_in_steady_state_neither_allocates_nor_frees() {
    let (_subscriber, address) = subscriber();
    let refused = REFUSED.parse().expect("an address");
    let mut publisher = ready(Publisher::builder().peers([address, refused]));
    work(&mut publisher, 100);
    assert_eq!(heap_calls(|| work(&mut publisher, MESSAGES)), (0, 0));
    let counters = publisher.counters();
    assert!(counters.passes_later.get() >= MESSAGES / 2, "copies went out as well");
    assert!(counters.rejected.get() > 0 && counters.quarantined.get() > 0, "the refused peer was met");
}

#[test]
fn messages_that_are_posted_cost_no_allocation() {
    let (_subscriber, address) = subscriber();
    let refused = REFUSED.parse().expect("an address");
    for packing in [false, true] {
        let mut publisher = ready(Publisher::builder().peers([address, refused]).packing(packing));
        let mut post = |messages: u64| {
            for n in 1..=messages {
                publisher.post(&n.to_le_bytes()).expect("taken in");
                if n % 50 == 0 {
                    publisher.flush().expect("sent");
                    publisher.turn(Some(Duration::ZERO)).expect("a turn");
                }
            }
            settle(&mut publisher);
        };
        post(100);
        assert_eq!(heap_calls(|| post(MESSAGES)), (0, 0), "packing: {packing}");
        let counters = publisher.counters();
        assert_eq!(counters.packed.get() > 0, packing);
        assert!(counters.trains.get() > 0);
    }
}

#[test]
fn messages_of_other_threads_cost_the_data_thread_no_allocation() {
    let (_subscriber, address) = subscriber();
    let mut publisher = ready(Publisher::builder().peers([address]));
    work(&mut publisher, 100);
    let (handle, start) = (publisher.handle(), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            for n in 0..MESSAGES {
                handle.publish(&n.to_le_bytes()).expect("accepted");
            }
        });
        let all = publisher.counters().messages.get() + MESSAGES;
        start.wait();
        let calls = heap_calls(|| {
            while publisher.counters().messages.get() < all {
                publisher.turn(TURN).expect("a turn");
            }
            settle(&mut publisher);
        });
        assert_eq!(calls, (0, 0));
    });
}

#[test]
fn messages_of_the_local_socket_cost_no_allocation() {
    let (_subscriber, address) = subscriber();
    let listen = "udp://127.0.0.1:0".parse().expect("a place to listen");
    let mut publisher = ready(Publisher::builder().peers([address]).listen(listen));
    let local = publisher.ingress_address().expect("a UDP address");
    let application = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    application.connect(local).expect("connected");
    let mut pass_on = |messages: u64| {
        for n in 0..messages {
            application.send(&n.to_le_bytes()).expect("sent");
            let before = publisher.counters().messages.get();
            for _ in 0..TURNS_MAX {
                if publisher.counters().messages.get() > before {
                    break;
                }
                publisher.turn(TURN).expect("a turn");
            }
        }
        settle(&mut publisher);
    };
    pass_on(10);
    assert_eq!(heap_calls(|| pass_on(1_000)), (0, 0));
    assert_eq!(publisher.counters().messages.get(), 1_010);

    // As many in one piece as the kernel splits, 8 and a bit to a slot.
    let train = [7; 64 * 150];
    setsockopt(&application, UdpGsoSegment, &150).expect("segmentation");
    let mut pass_on_trains = |trains: u64| {
        for _ in 0..trains {
            application.send(&train).expect("sent");
            let all = publisher.counters().messages.get() + 64;
            for _ in 0..TURNS_MAX {
                if publisher.counters().messages.get() == all {
                    break;
                }
                publisher.turn(TURN).expect("a turn");
            }
            assert_eq!(publisher.counters().messages.get(), all);
        }
        settle(&mut publisher);
    };
    pass_on_trains(10);
    assert_eq!(heap_calls(|| pass_on_trains(100)), (0, 0));
}

#[test]
fn long_messages_cost_the_data_thread_no_allocation() {
    const LONG: usize = 40_000;
    let (_subscriber, address) = subscriber();
    let listen = "udp://127.0.0.1:0".parse().expect("a place to listen");
    let mut publisher = ready(Publisher::builder().peers([address]).listen(listen));
    let local = publisher.ingress_address().expect("a UDP address");
    let application = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    application.connect(local).expect("connected");
    let (handle, start) = (publisher.handle(), Barrier::new(2));
    let long = vec![7; LONG];
    let turn_until = |publisher: &mut Publisher, messages: u64| {
        for _ in 0..TURNS_MAX {
            if publisher.counters().messages.get() >= messages {
                break;
            }
            publisher.turn(TURN).expect("a turn");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            for _ in 0..100 {
                handle.publish(&long).expect("accepted");
                handle.publish(b"short").expect("accepted");
            }
        });
        start.wait();
        let calls = heap_calls(|| {
            for _ in 0..100 {
                publisher.publish(&long).expect("published");
                publisher.turn(TURN).expect("a turn");
            }
            turn_until(&mut publisher, 300);
            for n in 1..=100 {
                application.send(&long).expect("sent");
                application.send(b"short").expect("sent");
                turn_until(&mut publisher, 300 + 2 * n);
            }
            settle(&mut publisher);
        });
        assert_eq!(calls, (0, 0));
    });
    let counters = publisher.counters();
    assert_eq!(counters.messages.get(), 500);
    assert_eq!(counters.fragments.get(), 300 * (LONG as u64 / 1352));
}

#[test]
fn repairs_and_heartbeats_cost_no_allocation() {
    let mut peer = Peer::new();
    let builder = Publisher::builder().peers([peer.address()]).mode(Mode::DupNak);
    let mut publisher = builder.publisher_id(PUBLISHER).ring(256).build().expect("a publisher");
    publisher.wait_for_peers(SOON).expect("peers");
    publisher.publish(b"x").expect("published");
    settle(&mut publisher);
    let (from, session) = (peer.data()[0].from, publisher.session());
    let mut calls = (0, 0);
    for round in 1..=200u64 {
        publisher.publish(&round.to_le_bytes()).expect("published");
        // Some are there, some are not any more, some are not yet, and the last is nobody's.
        peer.ask(from, session, &[round, round / 4, round + 9]);
        peer.ask(from, headcast::Session::from_bits(1), &[1]);
        // At last the stream falls silent for longer than usual between two messages.
        let turns = if round < 200 { 4 } else { 40 };
        let (allocated, freed) = heap_calls(|| {
            for _ in 0..turns {
                publisher.turn(TURN).expect("a turn");
            }
        });
        calls = (calls.0 + allocated, calls.1 + freed);
        peer.drain();
    }
    assert_eq!(calls, (0, 0));
    assert_eq!(heap_calls(|| settle(&mut publisher)), (0, 0));
    let counters = publisher.counters();
    assert!(counters.repairs_sent.get() > 100 && counters.heartbeats.get() > 2, "{counters:?}");
    assert!(counters.repairs_gone.get() > 0 && counters.naks_foreign.get() > 0, "{counters:?}");
    let farewell = heap_calls(|| assert_eq!(publisher.close(SOON).expect("closed"), 0));
    assert_eq!(farewell, (0, 0));
}

#[test]
fn a_change_of_peers_costs_the_data_thread_no_allocation_and_no_free() {
    const SWAPS: u64 = 4;
    let subscribers: Vec<_> = (0..3).map(|_| subscriber()).collect();
    let addresses: Vec<SocketAddr> = subscribers.iter().map(|(_, address)| *address).collect();
    let refused: SocketAddr = REFUSED.parse().expect("an address");
    let list = List::new(&[addresses[0], refused]);
    let mut publisher = ready(Publisher::builder().peers_file(&list.path, 1));
    work(&mut publisher, 100);
    let first = publisher.counters().peer_sets.get();
    for swap in 1..=SWAPS {
        // The refused peer is in every set, so that there is something to take over.
        let most = 1 + usize::try_from(swap % 3).expect("less than 3");
        list.replace(&[&addresses[..most], &[refused]].concat());
        let wanted = first + swap;
        let calls = heap_calls(|| {
            for _ in 0..TURNS_MAX {
                if publisher.counters().peer_sets.get() >= wanted {
                    break;
                }
                work(&mut publisher, 4);
                publisher.turn(TURN).expect("a turn");
            }
            work(&mut publisher, 200);
        });
        assert_eq!(calls, (0, 0), "swap {swap}");
        assert_eq!(publisher.counters().peer_sets.get(), wanted, "the set was taken over");
        assert_eq!(publisher.peers(), most + 1);
    }
}

#[test]
fn a_subscriber_in_steady_state_neither_allocates_nor_frees() {
    let (mut subscriber, address) = subscriber();
    let mut publisher = ready(Publisher::builder().peers([address]));
    let stray = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let mut hear = |messages: u64| {
        let mut calls = (0, 0);
        for n in 0..messages {
            publisher.publish(&n.to_le_bytes()).expect("published");
            publisher.turn(Some(Duration::ZERO)).expect("a turn");
            stray.send_to(b"not a datagram of ours", address).expect("sent");
            let (allocated, freed) = heap_calls(|| {
                while let Some(message) = subscriber.try_recv().expect("a socket that works") {
                    assert_eq!(message.payload.len(), 8);
                }
            });
            calls = (calls.0 + allocated, calls.1 + freed);
        }
        settle(&mut publisher);
        calls
    };
    hear(10);
    assert_eq!(hear(MESSAGES), (0, 0));
    while subscriber.try_recv().expect("a socket that works").is_some() {}
    let counters = subscriber.counters();
    assert_eq!((counters.delivered.get(), counters.lost.get()), (MESSAGES + 10, 0));
    assert!(counters.duplicates.get() > 0 && subscriber.refusals().total() > 0);
}

#[test]
fn messages_that_share_datagrams_and_datagrams_in_trains_cost_a_subscriber_no_allocation() {
    for ordered in [false, true] {
        let (mut subscriber, mut from) =
            packed::pair(|builder| if ordered { builder.ordered(Duration::from_secs(60)) } else { builder });
        let shared = packed::messages([100, 0, 200, 300]);
        let mut delivered = 0;
        let mut hear = |rounds: u64| {
            let mut calls = (0, 0);
            for _ in 0..rounds {
                let mut train: Vec<_> = (0..20).map(|_| from.shared(&shared)).collect();
                let late = train.remove(10);
                from.send_train(&train).expect("sent");
                let mut take = |subscriber: &mut Subscriber| {
                    let (allocated, freed) = heap_calls(|| {
                        while let Some(message) = subscriber.try_recv().expect("a socket that works") {
                            delivered += u64::from(message.payload.len() <= 300);
                        }
                    });
                    calls = (calls.0 + allocated, calls.1 + freed);
                };
                take(&mut subscriber);
                // What waits for it in order is unpacked from where it was kept.
                from.send(&late);
                take(&mut subscriber);
            }
            calls
        };
        hear(3);
        assert_eq!(hear(100), (0, 0), "in order: {ordered}");
        let counters = subscriber.counters();
        assert_eq!((delivered, counters.unpacked.get()), (103 * 80, 103 * 60));
        assert_eq!(counters.receives.get(), 2 * 103, "trains came as such");
        assert_eq!(counters.kept.get() > 900, ordered);
    }
}

/// A list of peers in a file of its own, removed at the end.
struct List {
    path: PathBuf,
}

impl List {
    fn new(peers: &[SocketAddr]) -> Self {
        let name = format!("headcast-no-allocation-{}.txt", std::process::id());
        let list = Self { path: std::env::temp_dir().join(name) };
        list.replace(peers);
        list
    }

    /// Writes a new file and renames it over the old one.
    fn replace(&self, peers: &[SocketAddr]) {
        let new: &Path = &self.path.with_extension("new");
        let lines: Vec<String> = peers.iter().map(ToString::to_string).collect();
        std::fs::write(new, lines.join("\n")).expect("a directory that can be written to");
        std::fs::rename(new, &self.path).expect("renamed");
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // Whoever removed it first has done our work.
        let _ = std::fs::remove_file(&self.path);
    }
}
