//! A publisher that sends frames, by AF_XDP: what it counts, whom it leaves out, and that it allocates nothing.
//!
//! Needs root: each test has a network namespace of its own. Without the feature `lab` it is not built, and without
//! root it fails. Whether what is sent arrives is for the lab of the program to see.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use headcast::{Backend, Mode, Publisher, PublisherBuilder};
use nix::sched::{CloneFlags, unshare};

const SOON: Duration = Duration::from_secs(10);
/// How long a turn may wait.
const TURN: Option<Duration> = Some(Duration::from_millis(1));
/// Turns until something must have happened: more than 20 s of waiting.
const TURNS_MAX: usize = 20_000;
const PEERS: u8 = 4;

fn run(line: &str) {
    let mut words = line.split_whitespace();
    let status = Command::new(words.next().expect("a program")).args(words).status();
    assert!(status.expect("it runs").success(), "{line}");
}

/// Moves this thread, and those that it starts, into a network with an interface `out`, whose other end `in` belongs to
/// nobody, and with four peers behind it.
fn isolated() -> Vec<SocketAddr> {
    network();
    behind("out")
}

fn network() {
    assert!(nix::unistd::geteuid().is_root(), "this test makes a network namespace, which needs root");
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    for line in [
        "ip link set lo up",
        "ip link add out type veth peer name in",
        "ip link set in up",
        "ip link set out up",
    ] {
        run(line);
    }
}

fn behind(device: &str) -> Vec<SocketAddr> {
    run(&format!("ip address add 10.9.0.1/24 dev {device}"));
    let peer = |host| {
        run(&format!("ip neighbour add 10.9.0.{host} lladdr 02:00:00:00:00:01 dev {device} nud permanent"));
        SocketAddr::from(([10, 9, 0, host], 12_000))
    };
    (2..2 + PEERS).map(peer).collect()
}

/// Of everything that was to go to all four peers, all is booked.
fn assert_adds_up(publisher: &Publisher) {
    let counters = publisher.counters();
    let sent = counters.sent_first.get() + counters.sent_later.get() + counters.sent_heartbeats.get();
    let lost = counters.rejected.get() + counters.transient.get() + counters.quarantined.get();
    assert_eq!(counters.offered.get(), sent + lost, "{counters:?}");
    assert!(counters.sent_xdp.get() <= sent, "{counters:?}");
}

fn until(publisher: &mut Publisher, what: &str, mut holds: impl FnMut(&mut Publisher) -> bool) {
    for _ in 0..TURNS_MAX {
        if holds(publisher) {
            return;
        }
        publisher.turn(TURN).expect("a turn");
    }
    panic!("not {what}: {:?}", publisher.counters());
}

/// A publisher whose messages go as frames to all peers.
fn framing(builder: PublisherBuilder) -> Publisher {
    let mut publisher =
        builder.ring(256).queue(64).publisher_id(3).backend(Backend::Xdp).build().expect("a publisher");
    publisher.wait_for_peers(SOON).expect("peers");
    until(&mut publisher, "framed", |publisher| framed(publisher, b"first") == u64::from(PEERS));
    publisher
}

/// Datagrams that go as frames when this message does.
fn framed(publisher: &mut Publisher, message: &[u8]) -> u64 {
    let before = publisher.counters().sent_xdp.get();
    publisher.publish(message).expect("published");
    publisher.counters().sent_xdp.get() - before
}

fn settle(publisher: &mut Publisher) {
    until(publisher, "settled", |publisher| publisher.backlog() == 0);
}

/// Everything that an application may do again and again.
fn work(publisher: &mut Publisher, messages: u64) {
    let long = [7; 5_000];
    for n in 0..messages {
        match n % 5 {
            0 => drop(publisher.publish(&n.to_le_bytes()).expect("published")),
            1 => {
                let mut claim = publisher.claim(1000).expect("room");
                claim[..8].copy_from_slice(&n.to_le_bytes());
                claim.commit().expect("published");
            }
            2 => drop(publisher.publish(&long).expect("published")),
            3 => {
                (0..20u64).for_each(|part| publisher.post(&part.to_le_bytes()).expect("posted"));
                publisher.flush().expect("sent");
            }
            _ => drop(publisher.turn(Some(Duration::ZERO)).expect("a turn")),
        }
    }
    settle(publisher);
}

/// Allocations and frees of this thread while `work` runs.
fn heap_calls(work: impl FnOnce()) -> (u64, i64) {
    let info = allocation_counter::measure(work);
    (info.count_total, info.count_total.cast_signed() - info.count_current)
}

#[test]
fn frames_cost_the_data_thread_no_allocation_not_even_while_the_ways_change() {
    let peers = isolated();
    let mut publisher = framing(Publisher::builder().peers(peers));
    work(&mut publisher, 100);
    let before = publisher.counters().sent_xdp.get();
    assert_eq!(heap_calls(|| work(&mut publisher, 2_000)), (0, 0));
    assert!(publisher.counters().sent_xdp.get() - before > 2_000 * u64::from(PEERS) / 2, "by frames");
    assert!(publisher.counters().sent_later.get() > 0, "copies went out as well");

    let (unknown, known) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (flag, line) in [
                (&unknown, "ip neighbour delete 10.9.0.2 dev out"),
                (&known, "ip neighbour replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev out nud permanent"),
            ] {
                while !flag.load(Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                run(line);
            }
        });
        for (flag, frames) in [(&unknown, PEERS - 1), (&known, PEERS)] {
            flag.store(true, Relaxed);
            let calls = heap_calls(|| {
                until(&mut publisher, "changed", |publisher| {
                    framed(publisher, b"while it changes") == u64::from(frames)
                });
                work(&mut publisher, 100);
            });
            assert_eq!(calls, (0, 0), "{frames} of {PEERS} by frames");
        }
    });
    assert_eq!(publisher.counters().peer_sets.get(), 1, "the peers are the same");
    assert_eq!(publisher.close(SOON).expect("closed"), 0);
    assert_adds_up(&publisher);
}

#[test]
fn who_is_in_quarantine_gets_no_frames_until_it_is_over() {
    let peers = isolated();
    // A firewall that frames go past, but sockets do not.
    run("nft add table ip wall");
    run("nft add chain ip wall out { type filter hook output priority 0 ; }");
    run("nft add rule ip wall out ip daddr 10.9.0.3 udp dport 12000 drop");
    let builder = Publisher::builder().peers(peers).mode(Mode::Once).raw(true).datagram_max(3_000);
    let mut publisher = framing(builder);
    // Too long for a frame, so by the socket: the kernel refuses one peer.
    until(&mut publisher, "in quarantine", |publisher| {
        assert_eq!(framed(publisher, &[1; 2_000]), 0);
        publisher.counters().quarantined.get() > 0
    });
    let before = publisher.counters().quarantined.get();
    assert_eq!(framed(&mut publisher, b"short"), u64::from(PEERS) - 1);
    assert_eq!(publisher.counters().quarantined.get(), before + 1);
    until(&mut publisher, "over", |publisher| framed(publisher, b"short") == u64::from(PEERS));
    let failures = publisher.monitor().failures();
    assert!(failures.len() == 1 && !failures[0].quarantined, "{failures:?}");
    assert_adds_up(&publisher);
}

#[test]
fn a_publisher_whose_interface_goes_away_goes_on_by_the_socket_and_comes_back() {
    let peers = isolated();
    let mut publisher = framing(Publisher::builder().peers(peers).mode(Mode::Once));
    run("ip link set out down");
    until(&mut publisher, "without frames", |publisher| {
        framed(publisher, b"nowhere");
        publisher.monitor().status().frames.is_none()
    });
    // For longer than after which another socket is tried.
    for _ in 0..1_200 {
        assert_eq!(framed(&mut publisher, b"nowhere"), 0);
        publisher.turn(TURN).expect("a turn");
    }
    // Somebody else is quicker: even where frames are demanded, that ends no publisher that has sent some.
    let index = nix::net::if_::if_nametoindex("out").expect("an interface");
    let other = headcast_udp::Xdp::open(index, 1, 1 << 20).expect("a socket for frames");
    run("ip link set out up");
    for host in 2..2 + PEERS {
        run(&format!("ip neighbour replace 10.9.0.{host} lladdr 02:00:00:00:00:01 dev out nud permanent"));
    }
    let calls = publisher.counters().calls.get();
    until(&mut publisher, "trying in vain", |publisher| {
        assert_eq!(framed(publisher, b"by the socket"), 0);
        publisher.counters().calls.get() > calls + 1_500
    });
    drop(other);
    until(&mut publisher, "framed again", |publisher| framed(publisher, b"here") == u64::from(PEERS));
    assert_eq!(publisher.close(SOON).expect("closed"), 0);
    assert_adds_up(&publisher);
}

#[test]
fn while_next_hops_wait_to_be_confirmed_the_socket_for_frames_stays() {
    let peers = isolated();
    // Raw, so that there are no heartbeats: nothing is sent but what is published.
    let mut publisher = framing(Publisher::builder().peers(peers).mode(Mode::Once).raw(true));
    for host in 2..2 + PEERS {
        run(&format!("ip neighbour replace 10.9.0.{host} lladdr 02:00:00:00:00:01 dev out nud stale"));
    }
    until(&mut publisher, "stale", |publisher| publisher.monitor().status().frames.is_none());
    publisher.turn(TURN).expect("a turn");
    assert_eq!(sockets_for_frames(), 1);
    // The first goes by the socket, which makes the kernel ask.
    assert_eq!(framed(&mut publisher, b"by the socket"), 0);
    until(&mut publisher, "framed again", |publisher| framed(publisher, b"here") == u64::from(PEERS));
    assert_eq!(sockets_for_frames(), 1);
    assert_adds_up(&publisher);
}

#[test]
fn the_interface_stays_while_the_next_hops_of_most_wait_to_be_confirmed() {
    let mut peers = isolated();
    for line in [
        "ip link add second type veth peer name other",
        "ip link set other up",
        "ip link set second up",
        "ip address add 10.8.0.1/24 dev second",
        "ip neighbour add 10.8.0.2 lladdr 02:00:00:00:00:01 dev second nud permanent",
    ] {
        run(line);
    }
    peers.push(SocketAddr::from(([10, 8, 0, 2], 12_000)));
    let mut publisher = framing(Publisher::builder().peers(peers).mode(Mode::Once).raw(true));
    for host in 2..2 + PEERS {
        run(&format!("ip neighbour replace 10.9.0.{host} lladdr 02:00:00:00:00:01 dev out nud stale"));
    }
    until(&mut publisher, "stale", |publisher| publisher.monitor().status().frames.is_none());
    publisher.turn(TURN).expect("a turn");
    assert_eq!(framed(&mut publisher, b"by the socket, to the one behind the other interface as well"), 0);
    until(&mut publisher, "framed again", |publisher| framed(publisher, b"here") == u64::from(PEERS));
    assert_eq!(sockets_for_frames(), 1);
    assert_adds_up(&publisher);
}

#[test]
fn a_pass_that_the_driver_drops_whole_goes_by_the_socket_and_frames_are_tried_again() {
    network();
    // Its driver says what became of a frame further down: nothing.
    run("ip link add link out name over type macvlan mode private");
    run("ip link set over up");
    let peers = behind("over");
    let mut publisher = framing(Publisher::builder().peers(peers).mode(Mode::Once).raw(true));
    run("tc qdisc add dev out root pfifo limit 0");
    let before = publisher.counters().sent_first.get();
    assert_eq!(framed(&mut publisher, b"dropped, and by the socket then"), 0);
    assert_eq!(publisher.counters().sent_first.get() - before, u64::from(PEERS));
    assert_eq!(publisher.counters().transient.get(), 0);
    until(&mut publisher, "without frames", |publisher| publisher.monitor().status().frames.is_none());
    run("tc qdisc delete dev out root");
    until(&mut publisher, "framed again", |publisher| framed(publisher, b"here") == u64::from(PEERS));
    assert_adds_up(&publisher);
}

/// How many this network has, by the kernel's account.
fn sockets_for_frames() -> u32 {
    let table = std::fs::read_to_string("/proc/thread-self/net/protocols").expect("a table");
    let line = table.lines().find(|line| line.starts_with("XDP ")).expect("AF_XDP");
    line.split_whitespace().nth(2).expect("sockets").parse().expect("a number")
}

#[test]
fn where_there_is_no_room_a_pass_waits_and_nothing_is_lost() {
    const MESSAGES: u64 = 200;
    network();
    // What goes through the bridge waits for a slow interface, and until then counts against the sender's buffer.
    for line in [
        "ip link add bridge type bridge",
        "ip link set out master bridge",
        "ip link set bridge up",
        "tc qdisc add dev out root tbf rate 10mbit burst 5kb limit 2mb",
        "nft add table netdev count",
        "nft add chain netdev count in { type filter hook ingress device in priority 0 ; }",
    ] {
        run(line);
    }
    let peers = behind("bridge");
    // What queues would go together, by the socket.
    let builder = Publisher::builder().peers(peers).mode(Mode::Once).raw(true).send_buffer(1).gso(false);
    let mut publisher = framing(builder);
    run("nft add rule netdev count in udp dport 12000 udp length 1008 counter");
    let before = publisher.counters().sent_xdp.get();
    for _ in 0..MESSAGES {
        publisher.publish(&[7; 1_000]).expect("published");
        publisher.turn(Some(Duration::ZERO)).expect("a turn");
    }
    assert_eq!(publisher.close(SOON).expect("closed"), 0);
    let sent = MESSAGES * u64::from(PEERS);
    assert!(publisher.counters().blocked.get() > 10, "{:?}", publisher.counters());
    assert_eq!(publisher.counters().sent_xdp.get() - before, sent);
    assert_adds_up(&publisher);
    let arrived = format!("packets {sent} ");
    until(&mut publisher, "arrived", |_| {
        let rules = Command::new("nft").args(["list", "ruleset"]).output().expect("nft runs");
        String::from_utf8_lossy(&rules.stdout).contains(&arrived)
    });
}
