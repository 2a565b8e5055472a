//! The harness measures what it was given to measure: known delays, losses, duplicates, and its own failures.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headcast::clock::mono_ns;
use headcast_bench::load::health::Watch;
use headcast_bench::load::outcome::Received;
use headcast_bench::load::stamp::Stamp;
use headcast_bench::load::{Audience, Expected, Pace, Paced, Reader, Transport};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::socket::{setsockopt, sockopt};
use std::os::fd::AsRawFd;

/// The tests of this file run one at a time: each has senders that keep a schedule, on few cores.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has nothing in it that another one could find broken.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// To one receiver, by a plain socket.
struct Direct(UdpSocket);

impl Transport for Direct {
    fn send(&mut self, payload: &[u8]) -> io::Result<bool> {
        Ok(self.0.send(payload)? == payload.len())
    }
}

/// What happens to a message before it is handed on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Handed,
    Lost,
    Twice,
    /// After the next one.
    Swapped,
}

/// A receiver that loses, repeats, swaps and delays what it gets, as it is told to.
struct Faulty {
    socket: UdpSocket,
    fate: fn(u64) -> Fate,
    /// Every message is handed on so long after it was due.
    delay_ns: u64,
    waiting: VecDeque<Vec<u8>>,
    swapped: Option<Vec<u8>>,
}

/// What a receiver asks the kernel for, in bytes.
const BUFFER: usize = 4 << 20;

impl Faulty {
    fn new(fate: fn(u64) -> Fate, delay: Duration) -> (Self, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_nonblocking(true).expect("not blocking");
        // Nothing but what it is told to lose is lost, also while its thread does not run for a while. Beyond the
        // kernel's limit only for who may; the limit else.
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &BUFFER))
            .expect("a buffer");
        let address = socket.local_addr().expect("an address");
        let delay_ns = u64::try_from(delay.as_nanos()).expect("short");
        (Self { socket, fate, delay_ns, waiting: VecDeque::new(), swapped: None }, address)
    }
}

impl Reader for Faulty {
    fn read(&mut self, deliver: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        let mut buffer = [0; 2048];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            self.waiting.push_back(buffer[..len].to_vec());
        }
        while let Some(payload) = self.waiting.front() {
            let stamp = Stamp::read(payload).expect("all are stamped");
            if self.delay_ns > 0 && mono_ns() < stamp.due_ns + self.delay_ns {
                return Ok(true);
            }
            let payload = self.waiting.pop_front().expect("there is one");
            match (self.fate)(stamp.seq) {
                Fate::Lost => {}
                Fate::Handed => deliver(&payload),
                Fate::Twice => {
                    deliver(&payload);
                    deliver(&payload);
                }
                Fate::Swapped => {
                    self.swapped = Some(payload);
                    continue;
                }
            }
            if let Some(late) = self.swapped.take() {
                deliver(&late);
            }
        }
        Ok(false)
    }
}

impl mio::event::Source for Faulty {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).deregister(registry)
    }
}

/// Sends by `transport`, once the address is known, and returns what both sides saw.
fn drive<T: Transport>(
    pace: Pace,
    (reader, address): (Faulty, SocketAddr),
    transport: impl FnOnce(Direct) -> T,
) -> (Paced, Received) {
    let expected = Expected { run: pace.run, messages: pace.messages, warm_up: pace.warm_up };
    let audience = Audience::new(vec![reader], expected).expect("an audience");
    let control = audience.control();
    let thread = std::thread::spawn(move || audience.receive());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(address).expect("connected");
    let paced = pace.play(&mut transport(Direct(socket))).expect("sent");
    control.finish(paced.sent);
    (paced, thread.join().expect("no panic").expect("received"))
}

fn pace(rate: f64, messages: u64) -> Pace {
    Pace { rate, messages, warm_up: 0, size: 64, run: 77 }
}

#[test]
fn an_injected_delay_is_measured_as_what_it_is() {
    let _alone = alone();
    let delay = Duration::from_millis(30);
    let (_, received) = drive(pace(500.0, 500), Faulty::new(|_| Fate::Handed, delay), |direct| direct);
    let summary = received.latency.summary();
    assert_eq!(summary.count, 500);
    // The receiver holds each back for exactly as long, so none is earlier, but for what the histogram rounds.
    assert!(summary.min_ns >= 29_970_000, "{summary:?}");
    // Later ones are this machine's own doing: it may be busy. Half of them are not.
    assert!(summary.p50_ns <= 40_000_000, "{summary:?}");
    assert_eq!(received.last.summary(), received.first.summary(), "there is one receiver");
}

#[test]
fn injected_losses_are_counted_and_so_is_the_longest_gap() {
    let _alone = alone();
    let fate = |seq| if seq % 10 == 0 || (200..230).contains(&seq) { Fate::Lost } else { Fate::Handed };
    let (paced, received) = drive(pace(2_000.0, 1_000), Faulty::new(fate, Duration::ZERO), |direct| direct);
    let account = received.receivers[0].account;
    assert_eq!(paced.sent, 1_000);
    // Every tenth, and 30 in a row, of which 3 are tenths; with the tenth that follows them 31.
    assert_eq!((account.lost, account.received, account.longest_gap), (127, 873, 31));
    assert_eq!((received.incomplete, received.last.count()), (127, 873));
    assert_eq!((account.duplicates, account.reordered, account.foreign), (0, 0, 0));
}

#[test]
fn a_duplicate_and_a_reordering_are_counted_as_what_they_are() {
    let _alone = alone();
    let fate = |seq: u64| match seq % 50 {
        7 => Fate::Twice,
        20 => Fate::Swapped,
        _ => Fate::Handed,
    };
    let (_, received) = drive(pace(2_000.0, 500), Faulty::new(fate, Duration::ZERO), |direct| direct);
    let account = received.total;
    assert_eq!((account.duplicates, account.reordered), (10, 10));
    assert_eq!((account.received, account.lost), (500, 0));
    assert_eq!(received.latency.count(), 500, "a duplicate has no latency");
}

/// Stops for a while before one of its messages.
struct Stalled {
    direct: Direct,
    sent: u64,
    at: u64,
    time: Duration,
}

impl Transport for Stalled {
    fn send(&mut self, payload: &[u8]) -> io::Result<bool> {
        self.sent += 1;
        if self.sent == self.at {
            std::thread::sleep(self.time);
        }
        self.direct.send(payload)
    }
}

#[test]
fn a_stalled_publisher_delays_all_that_were_due_meanwhile() {
    let _alone = alone();
    let time = Duration::from_millis(200);
    let stalled = |direct| Stalled { direct, sent: 0, at: 500, time };
    let (paced, received) =
        drive(pace(1_000.0, 2_000), Faulty::new(|_| Fate::Handed, Duration::ZERO), stalled);
    assert_eq!((paced.sent, received.total.received), (2_000, 2_000));
    // One message was held up for 200 ms, and 199 that were due behind it for 199, 198 ... 1 ms: a tenth of all.
    let delayed = |ns| received.latency.histogram().count_between(ns, u64::MAX);
    assert!(received.latency.summary().max_ns >= 199_000_000, "{:?}", received.latency.summary());
    assert!((90..).contains(&delayed(100_000_000)), "{} by 100 ms or more", delayed(100_000_000));
    assert!((180..).contains(&delayed(10_000_000)), "{} by 10 ms or more", delayed(10_000_000));
    // The call itself, which is what a closed loop would have seen, was slow once.
    assert!(paced.call.summary().max_ns >= 199_000_000);
    assert!(paced.call.histogram().count_between(100_000_000, u64::MAX) < 5);
    // It was the publisher's doing, and not the harness's.
    let own = paced.own_lag.histogram().count_between(100_000_000, u64::MAX);
    assert_eq!(own, 0, "{:?}", paced.own_lag.summary());
}

/// A transport that has nothing to do, and yet comes back late.
struct Asleep {
    direct: Direct,
    woken: Arc<AtomicBool>,
}

impl Transport for Asleep {
    fn send(&mut self, payload: &[u8]) -> io::Result<bool> {
        self.direct.send(payload)
    }

    fn idle(&mut self, wait: Duration) -> io::Result<bool> {
        let late = if self.woken.swap(true, SeqCst) { Duration::ZERO } else { Duration::from_millis(200) };
        std::thread::sleep(wait + late);
        Ok(false)
    }
}

#[test]
fn a_lagging_harness_invalidates_its_run() {
    let _alone = alone();
    let watch = Watch::start();
    let asleep = |direct| Asleep { direct, woken: Arc::default() };
    let pace = pace(1_000.0, 1_000);
    let (paced, received) = drive(pace, Faulty::new(|_| Fate::Handed, Duration::ZERO), asleep);
    assert_eq!(received.total.received, 1_000, "nothing is lost by it");
    assert!(paced.own_lag.summary().max_ns >= 199_000_000, "{:?}", paced.own_lag.summary());
    let late = paced.own_lag.histogram().count_between(1_000_000, u64::MAX);
    assert!(late >= 190, "{late}: all that were due meanwhile are late by it");
    let health = watch.end(&paced);
    let complaints = health.complaints(&paced, pace.rate);
    assert!(
        complaints.iter().any(|why| why.contains("the harness itself was late")),
        "{complaints:?} {health:?}"
    );
}

/// Takes a tenth of a second for every message.
struct Slow(Direct);

impl Transport for Slow {
    fn send(&mut self, payload: &[u8]) -> io::Result<bool> {
        std::thread::sleep(Duration::from_millis(100));
        self.0.send(payload)
    }
}

#[test]
fn what_cannot_be_sent_at_the_rate_is_given_up_and_not_valid() {
    let _alone = alone();
    let watch = Watch::start();
    let pace = pace(1_000.0, 1_000_000);
    let (paced, received) = drive(pace, Faulty::new(|_| Fate::Handed, Duration::ZERO), Slow);
    // It gives up once it is a second behind: after 10 messages or so, and not after 28 hours.
    assert_eq!(paced.sent + paced.abandoned, 1_000_000);
    assert!(paced.sent < 100, "{}", paced.sent);
    assert_eq!(received.total.received, paced.sent);
    let complaints = watch.end(&paced).complaints(&paced, pace.rate);
    assert!(complaints[0].contains("the rate was not sustained"), "{complaints:?}");
}
