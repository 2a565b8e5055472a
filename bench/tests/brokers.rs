//! Every broker that Headcast is compared with: what is published reaches every subscriber once, through the real
//! server.

use std::net::SocketAddr;

use headcast_bench::load::outcome::Received;
use headcast_bench::load::{Audience, Expected, Pace, Paced, Reader, Transport};
use headcast_bench::systems::server::{Broker, Server};
use headcast_bench::systems::{mqtt, nats, redis};

const SUBSCRIBERS: usize = 3;
const MESSAGES: u64 = 200;
const RATE: f64 = 2_000.0;
/// A stamp alone, the sizes of the comparison, and more than one length byte.
const SIZES: [usize; 5] = [24, 100, 128, 1_024, 2_000];

#[test]
fn redis_brings_every_message_to_every_subscriber_once() {
    let server = Load::of(Broker::Redis).expect("redis-server is needed (Debian package redis-server)");
    let mut replies = 0;
    for size in SIZES {
        let mut publisher = redis::Publisher::connect(server.address()).expect("a publisher");
        let subscribers = server.subscribers(redis::Subscriber::connect);
        every_message_reaches_everybody(size, &mut publisher, subscribers);
        // Bounded: every command is answered. Another run's subscribers may not have been seen off yet, so that more
        // may be reported than there are.
        while counter(&publisher, "redis replies") < MESSAGES {
            publisher.finish(std::time::Duration::from_millis(1)).expect("the server is there");
        }
        replies += counter(&publisher, "redis replies");
        assert!(counter(&publisher, "redis receivers") >= MESSAGES * SUBSCRIBERS as u64);
    }
    assert_eq!(replies, MESSAGES * SIZES.len() as u64);
}

#[test]
fn redis_does_so_without_replies() {
    let server = Load::of(Broker::Redis).expect("redis-server is needed (Debian package redis-server)");
    let mut publisher = redis::Publisher::connect_without_replies(server.address()).expect("a publisher");
    let subscribers = server.subscribers(redis::Subscriber::connect);
    every_message_reaches_everybody(128, &mut publisher, subscribers);
    publisher.finish(std::time::Duration::from_millis(20)).expect("no answer came");
    assert_eq!(publisher.counters(), []);
}

#[test]
fn nats_brings_every_message_to_every_subscriber_once() {
    let Some(server) = Load::of(Broker::Nats) else { return };
    for size in SIZES {
        let mut publisher = nats::Publisher::connect(server.address()).expect("a publisher");
        let subscribers = server.subscribers(nats::Subscriber::connect);
        every_message_reaches_everybody(size, &mut publisher, subscribers);
    }
}

#[test]
fn mosquitto_brings_every_message_to_every_subscriber_once() {
    let Some(server) = Load::of(Broker::Mosquitto) else { return };
    for size in SIZES {
        let mut publisher = mqtt::Publisher::connect(server.address()).expect("a publisher");
        let subscribers = server.subscribers(mqtt::Subscriber::connect);
        every_message_reaches_everybody(size, &mut publisher, subscribers);
    }
}

#[test]
fn more_than_any_socket_holds_still_arrives() {
    for broker in Broker::ALL {
        let Some(server) = Load::of(broker) else { continue };
        let address = server.address();
        // Nobody reads meanwhile: it has to wait in the server, which by default would drop some of it.
        match broker {
            Broker::Redis => {
                let subscriber = redis::Subscriber::connect(address).expect("a subscriber");
                a_flood_arrives(redis::Publisher::connect(address).expect("a publisher"), subscriber);
            }
            Broker::Nats => {
                let subscriber = nats::Subscriber::connect(address).expect("a subscriber");
                a_flood_arrives(nats::Publisher::connect(address).expect("a publisher"), subscriber);
            }
            Broker::Mosquitto => {
                let subscriber = mqtt::Subscriber::connect(address).expect("a subscriber");
                a_flood_arrives(mqtt::Publisher::connect(address).expect("a publisher"), subscriber);
            }
        }
    }
}

#[test]
fn a_server_that_goes_away_is_an_error_on_both_sides() {
    let server = Load::of(Broker::Redis).expect("redis-server is needed (Debian package redis-server)");
    let address = server.address();
    let mut publisher = redis::Publisher::connect(address).expect("a publisher");
    let mut subscriber = redis::Subscriber::connect(address).expect("a subscriber");
    let pid = server.server.pid();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    drop(server);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "it is waited for");

    let received = until_an_error(|| subscriber.read(&mut |_| {}).map(|_| ()));
    assert!(received.contains(&format!("Redis at {address}: ")), "{received}");
    let sent = until_an_error(|| publisher.send(&[0; 64]).and_then(|_| publisher.flush()));
    assert!(sent.contains(&format!("Redis at {address}: ")), "{sent}");
    let refused = redis::Subscriber::connect(address).expect_err("nobody is there").to_string();
    assert!(refused.contains(&format!("Redis at {address}: ")), "{refused}");
}

#[test]
fn every_server_says_its_version() {
    for broker in Broker::ALL {
        let Some(server) = Load::of(broker) else { continue };
        let version = server.server.version();
        let numbers: Vec<bool> = version.split('.').map(|part| part.parse::<u32>().is_ok()).collect();
        assert_eq!(numbers, [true; 3], "{broker:?} {version}");
    }
}

/// A server, and a place for its files.
struct Load {
    server: Server,
    _directory: tempfile::TempDir,
}

impl Load {
    /// `None` when it is not installed, which is said.
    fn of(broker: Broker) -> Option<Self> {
        if let Err(missing) = broker.find() {
            // The test's own output is only shown when it fails.
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("\nNOT RUN: {missing}\n").as_bytes(),
            );
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let server = Server::start(broker, directory.path()).expect("it starts");
        Some(Self { server, _directory: directory })
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn subscribers<R>(&self, connect: impl Fn(SocketAddr) -> std::io::Result<R>) -> Vec<R> {
        (0..SUBSCRIBERS).map(|_| connect(self.address()).expect("a subscriber")).collect()
    }
}

fn every_message_reaches_everybody<R: Reader + Send + 'static>(
    size: usize,
    publisher: &mut impl Transport,
    subscribers: Vec<R>,
) {
    let pace = Pace { rate: RATE, messages: MESSAGES, warm_up: 0, size, run: 7 };
    let (paced, received) = play(pace, publisher, subscribers);
    assert_eq!((paced.sent, paced.refused, paced.abandoned), (MESSAGES, 0, 0), "{size} bytes");
    assert_eq!(received.receivers.len(), SUBSCRIBERS);
    for receiver in &received.receivers {
        let account = receiver.account;
        let counts = (account.received, account.lost, account.duplicates, account.reordered, account.foreign);
        assert_eq!(counts, (MESSAGES, 0, 0, 0, 0), "{size} bytes: {receiver:?}");
        assert_eq!(receiver.closed, None);
    }
}

fn a_flood_arrives<R: Reader + Send + 'static>(mut publisher: impl Transport, subscriber: R) {
    const FLOOD: u64 = 2_400;
    let mut payload = vec![0; 32 << 10];
    for seq in 0..FLOOD {
        headcast_bench::load::Stamp { run: 9, seq, due_ns: 0 }.write(&mut payload);
        assert!(publisher.send(&payload).expect("room in the server"));
    }
    publisher.flush().expect("room in the server");
    let expected = Expected { run: 9, messages: FLOOD, warm_up: 0 };
    let audience = Audience::new(vec![subscriber], expected).expect("an audience");
    audience.control().finish(FLOOD);
    let account = audience.receive().expect("it is received").receivers[0].account;
    assert_eq!((account.received, account.lost, account.reordered), (FLOOD, 0, 0));
}

fn play<R: Reader + Send + 'static>(
    pace: Pace,
    publisher: &mut impl Transport,
    subscribers: Vec<R>,
) -> (Paced, Received) {
    let expected = Expected { run: pace.run, messages: pace.messages, warm_up: pace.warm_up };
    let audience = Audience::new(subscribers, expected).expect("an audience");
    let control = audience.control();
    let receiving = std::thread::spawn(move || audience.receive());
    let paced = pace.play(publisher).expect("the server is there");
    control.finish(paced.sent);
    let received = receiving.join().expect("no panic").expect("it is received");
    (paced, received)
}

fn counter(transport: &impl Transport, name: &str) -> u64 {
    transport.counters().into_iter().find(|(its, _)| its == name).map_or(0, |(_, count)| count)
}

/// What is said when it fails at last; it is tried for five seconds.
fn until_an_error(mut act: impl FnMut() -> std::io::Result<()>) -> String {
    for _ in 0..5_000 {
        if let Err(error) = act() {
            return error.to_string();
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("it does not fail");
}
