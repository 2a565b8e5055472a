//! A network that loses, doubles and delays, between responders and a recorder.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::chance::Chance;
use crate::support::now;

const LOST_PERCENT: u64 = 5;
const DOUBLED_PERCENT: u64 = 5;
const DELAYED_PERCENT: u64 = 10;
const DELAY_MAX_US: u64 = 30_000;
/// Responders send here.
const FRONT: Token = Token(0);
/// The longest sleep without a look at whether to stop.
const NAP: Duration = Duration::from_millis(20);

/// A thread that forwards in both directions until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

/// What happened to the datagrams.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) forwarded: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) doubled: AtomicU64,
    pub(crate) delayed: AtomicU64,
}

/// A datagram that is held back, ordered by when it goes on.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Delayed {
    due: Instant,
    way: Way,
    bytes: Vec<u8>,
}

/// Of which responder, and whether to it or from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    ToRecorder(usize),
    ToResponder(usize),
}

struct Forwarding {
    poll: Poll,
    front: UdpSocket,
    recorder: SocketAddr,
    /// One for each responder: its address, and the socket that the recorder knows it by.
    responders: Vec<(SocketAddr, UdpSocket)>,
    places: HashMap<SocketAddr, usize>,
    delayed: BinaryHeap<Reverse<Delayed>>,
    chance: Chance,
    counts: Arc<Counts>,
}

impl Proxy {
    pub(crate) fn start(recorder: SocketAddr, seed: u64) -> Self {
        let mut front = UdpSocket::bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let address = front.local_addr().expect("an address");
        let poll = Poll::new().expect("an event loop");
        poll.registry().register(&mut front, FRONT, Interest::READABLE).expect("registered");
        let counts = Arc::new(Counts::default());
        let stop = Arc::new(AtomicBool::new(false));
        let mut forwarding = Forwarding {
            poll,
            front,
            recorder,
            responders: Vec::new(),
            places: HashMap::new(),
            delayed: BinaryHeap::new(),
            chance: Chance::new(seed),
            counts: Arc::clone(&counts),
        };
        let asked = Arc::clone(&stop);
        let thread = std::thread::spawn(move || forwarding.run(&asked));
        Self { address, stop, counts, thread: Some(thread) }
    }

    /// Where responders send.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Forwarding {
    fn run(&mut self, stop: &AtomicBool) {
        let mut events = Events::with_capacity(64);
        let mut bytes = vec![0; 65_536];
        while !stop.load(SeqCst) {
            let next =
                self.delayed.peek().map(|Reverse(delayed)| delayed.due.saturating_duration_since(now()));
            self.poll.poll(&mut events, Some(next.unwrap_or(NAP).min(NAP))).expect("polled");
            for event in &events {
                match event.token() {
                    FRONT => self.read_front(&mut bytes),
                    Token(at) => self.read_back(at - 1, &mut bytes),
                }
            }
            self.send_delayed();
        }
    }

    fn read_front(&mut self, bytes: &mut [u8]) {
        while let Some((len, from)) = received(self.front.recv_from(bytes)) {
            let at = match self.places.get(&from) {
                Some(at) => *at,
                None => self.meet(from),
            };
            self.pass(Way::ToRecorder(at), &bytes[..len]);
        }
    }

    fn read_back(&mut self, at: usize, bytes: &mut [u8]) {
        while let Some((len, _)) = received(self.responders[at].1.recv_from(bytes)) {
            self.pass(Way::ToResponder(at), &bytes[..len]);
        }
    }

    /// Opens a socket for a responder.
    fn meet(&mut self, from: SocketAddr) -> usize {
        let at = self.responders.len();
        let mut back = UdpSocket::bind(([127, 0, 0, 1], 0).into()).expect("a port");
        self.poll.registry().register(&mut back, Token(at + 1), Interest::READABLE).expect("registered");
        self.responders.push((from, back));
        self.places.insert(from, at);
        at
    }

    fn pass(&mut self, way: Way, bytes: &[u8]) {
        let mut happens = |percent| self.chance.below(100) < percent;
        if happens(LOST_PERCENT) {
            self.counts.lost.fetch_add(1, SeqCst);
            return;
        }
        let copies = 1 + u32::from(happens(DOUBLED_PERCENT));
        self.counts.doubled.fetch_add(u64::from(copies - 1), SeqCst);
        for _ in 0..copies {
            if self.chance.below(100) < DELAYED_PERCENT {
                let due = now() + Duration::from_micros(self.chance.below(DELAY_MAX_US));
                self.counts.delayed.fetch_add(1, SeqCst);
                self.delayed.push(Reverse(Delayed { due, way, bytes: bytes.to_vec() }));
            } else {
                self.send(way, bytes);
            }
        }
    }

    fn send_delayed(&mut self) {
        let now = now();
        while self.delayed.peek().is_some_and(|Reverse(delayed)| delayed.due <= now) {
            if let Some(Reverse(delayed)) = self.delayed.pop() {
                self.send(delayed.way, &delayed.bytes);
            }
        }
    }

    fn send(&self, way: Way, bytes: &[u8]) {
        // What the kernel does not take is lost, as on any network.
        let _ = match way {
            Way::ToRecorder(at) => self.responders[at].1.send_to(bytes, self.recorder),
            Way::ToResponder(at) => self.front.send_to(bytes, self.responders[at].0),
        };
        self.counts.forwarded.fetch_add(1, SeqCst);
    }
}

/// What a call to receive gave; `None` when nothing is there.
fn received(result: io::Result<(usize, SocketAddr)>) -> Option<(usize, SocketAddr)> {
    match result {
        Ok(received) => Some(received),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => panic!("the network broke: {error}"),
    }
}
