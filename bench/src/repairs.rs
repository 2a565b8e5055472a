//! What repairs cost a publisher: its rate of first copies while its subscribers lose something and ask,
//! and while one of them does nothing but ask, beside its rate in peace.
//!
//! All in one process on loopback, in turns: A B, B A, A B... The subscribers lose datagrams on purpose,
//! before anything else sees them, and ask for them by themselves.

use std::error::Error;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use headcast::{Event, Publisher, Subscriber};
use headcast_proto::body::{NakEntry, NakHead};
use headcast_proto::{Datagram, HEADER_LEN, Now, Sequencer, Session};
use indicatif::{ProgressBar, ProgressStyle};
use mio::{Events, Interest, Poll, Token};
use zerocopy::IntoBytes;

use crate::clock::now;
use crate::statistics::{Estimate, SplitMix64, paired_ratio};

/// Messages between two turns of the publisher's loop.
const TURN_EVERY: usize = 8;
/// How long the publisher is turned after a measurement: longer than subscribers ask.
const SETTLE: Duration = Duration::from_millis(80);
/// What the rate should be at least, as a part of the rate in peace.
const TARGET: f64 = 0.9;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many subscribers.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=500))]
    pub peers: usize,
    /// Percent of the datagrams that each of them loses.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    pub loss: f64,
    /// Messages of one measurement. So many fit into a subscriber's socket, so that nothing else is lost.
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub messages: usize,
    /// Pairs for each ratio.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub pairs: usize,
    /// Bytes of payload.
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1352))]
    pub payload: usize,
    /// Where the bootstrap's chance and that of the losses start.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

/// Everything that was measured.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// How many subscribers there were.
    pub peers: usize,
    /// Percent of the datagrams that each of them lost.
    pub loss: f64,
    /// Rate of first copies with losses / without.
    pub losing: Estimate,
    /// Rate of first copies while one subscriber does nothing but ask / without.
    pub greedy: Estimate,
    /// Datagrams that subscribers lost on purpose.
    pub dropped: u64,
    /// Repairs that were sent.
    pub repairs: u64,
    /// Requests that the publisher read.
    pub requests: u64,
    /// Sequences that could not be repaired in time.
    pub lost: u64,
    /// Datagrams that did not fit into a subscriber's socket: where there are many, a pair's two halves differ by
    /// more than was meant.
    pub overflowed: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} subscribers, mode nak; rate of first copies beside that in peace", self.peers)?;
        let losing = format!("{} % lost and repaired", self.loss);
        for (what, estimate) in [(losing.as_str(), self.losing), ("one asks all the time", self.greedy)] {
            let Estimate { median, low, high, pairs } = estimate;
            let verdict = if median >= TARGET { "met" } else { "missed" };
            writeln!(
                f,
                "{what:<24}  {median:>6.3}  {low:>6.3} - {high:>6.3}  {pairs:>4} pairs  >= {TARGET}: {verdict}"
            )?;
        }
        let Self { dropped, repairs, requests, lost, overflowed, .. } = self;
        writeln!(
            f,
            "{dropped} dropped on purpose, {requests} requests, {repairs} repairs, {lost} lost for good, \
             {overflowed} dropped by sockets"
        )
    }
}

/// Measures both.
///
/// # Errors
/// When the publisher or the subscribers cannot be had, or a message cannot be published.
pub fn run(options: &Options) -> Result<Report, Box<dyn Error>> {
    let audience = Audience::start(options)?;
    let greedy = Greedy::start()?;
    let peers = audience.addresses.iter().copied().chain([greedy.address]);
    let mut publisher = Publisher::builder()
        .mode(headcast::Mode::Nak)
        .publisher_id(1)
        .send_buffer(crate::SEND_BUFFER)
        .peers(peers)
        .build()?;
    publisher.wait_for_peers(crate::PEERS_TIMEOUT)?;
    let payload = vec![0x5a; options.payload];
    let measure = |publisher: &mut Publisher| -> Result<f64, Box<dyn Error>> {
        let start = now();
        for message in 0..options.messages {
            publisher.publish(&payload)?;
            if message % TURN_EVERY == 0 {
                publisher.turn(Some(Duration::ZERO))?;
            }
        }
        let rate = options.messages as f64 / start.elapsed().as_secs_f64();
        let settled = now() + SETTLE;
        while now() < settled {
            publisher.turn(Some(Duration::from_millis(1)))?;
        }
        Ok(rate)
    };
    // Nothing is measured cold, and the greedy one learns whom to ask.
    measure(&mut publisher)?;

    let progress = ProgressBar::new(2 * options.pairs as u64).with_style(
        ProgressStyle::with_template("[{bar:30}] {pos}/{len} pairs, {eta} left").expect("a valid template"),
    );
    let (mut losing, mut asking) = (Vec::new(), Vec::new());
    for turn in 0..options.pairs {
        for (pairs, loses) in [(&mut losing, true), (&mut asking, false)] {
            let mut rates = [0.0; 2];
            for half in 0..2 {
                // A B, then B A.
                let troubled = (half + turn) % 2 == 0;
                audience.losing.store(troubled && loses, Relaxed);
                greedy.aim(if loses {
                    Aim::Nobody
                } else if troubled {
                    Aim::Publisher
                } else {
                    Aim::Sink
                });
                rates[usize::from(troubled)] = measure(&mut publisher)?;
                greedy.aim(Aim::Nobody);
                audience.losing.store(false, Relaxed);
            }
            pairs.push((rates[1], rates[0]));
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let counters = publisher.counters();
    let (repairs, requests) = (counters.repairs_sent.get(), counters.naks.get());
    greedy.stop();
    let [dropped, lost, overflowed] = audience.stop();
    let none = "there are no pairs";
    Ok(Report {
        peers: options.peers,
        loss: options.loss,
        losing: paired_ratio(&losing, options.seed).ok_or(none)?,
        greedy: paired_ratio(&asking, options.seed).ok_or(none)?,
        dropped,
        repairs,
        requests,
        lost,
        overflowed,
    })
}

/// The subscribers, on a thread of their own.
struct Audience {
    addresses: Vec<SocketAddr>,
    /// Whether datagrams are dropped.
    losing: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<[u64; 3]>,
}

impl Audience {
    fn start(options: &Options) -> Result<Self, Box<dyn Error>> {
        let losing = Arc::new(AtomicBool::new(false));
        let part = options.loss / 100.0;
        let mut poll = Poll::new()?;
        let mut subscribers = Vec::new();
        for at in 0..options.peers {
            let (losing, mut random) = (Arc::clone(&losing), SplitMix64(options.seed ^ (at as u64) << 32));
            let mut subscriber = Subscriber::builder()
                .listen((Ipv4Addr::LOCALHOST, 0).into())
                .publishers(2)
                .impair(move |_| losing.load(Relaxed) && random.next() as f64 / (u64::MAX as f64) < part)
                .build()?;
            poll.registry().register(&mut subscriber, Token(at), Interest::READABLE)?;
            subscribers.push(subscriber);
        }
        let addresses = subscribers.iter().map(Subscriber::local_addr).collect::<Result<_, _>>()?;
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = std::thread::Builder::new().name("subscribers".into()).spawn(move || {
            let mut events = Events::with_capacity(1024);
            while !stop.load(Relaxed) && poll.poll(&mut events, Some(Duration::from_millis(20))).is_ok() {
                for event in &events {
                    while let Ok(Some(event)) = subscribers[event.token().0].try_next() {
                        std::hint::black_box(matches!(event, Event::Message(_)));
                    }
                }
            }
            let sum = |count: fn(&headcast::SubscriberCounters) -> u64| {
                subscribers.iter().map(|subscriber| count(subscriber.counters())).sum()
            };
            [sum(|c| c.impaired.get()), sum(|c| c.lost.get()), sum(|c| c.socket_dropped.get())]
        })?;
        Ok(Self { addresses, losing, stopping, thread })
    }

    /// What was dropped on purpose, lost for good, and dropped by sockets.
    fn stop(self) -> [u64; 3] {
        self.stopping.store(true, Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// A peer that only asks, as fast as it can, for whatever was sent last. In the other half of a pair it sends the
/// same to a socket that nobody reads, so that what it costs the machine to send is in both.
struct Greedy {
    address: SocketAddr,
    aim: Arc<AtomicU8>,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

#[derive(Clone, Copy)]
#[repr(u8)]
enum Aim {
    Nobody,
    Publisher,
    Sink,
}

impl Greedy {
    fn start() -> Result<Self, Box<dyn Error>> {
        let [socket, sink] =
            [UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?];
        socket.set_read_timeout(Some(Duration::from_millis(1)))?;
        let address = socket.local_addr()?;
        let (aim, stopping) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicBool::new(false)));
        let flags = (Arc::clone(&aim), Arc::clone(&stopping));
        let thread = std::thread::Builder::new()
            .name("greedy".into())
            .spawn(move || ask(&socket, &sink, &flags.0, &flags.1))?;
        Ok(Self { address, aim, stopping, thread })
    }

    fn aim(&self, at: Aim) {
        self.aim.store(at as u8, Relaxed);
    }

    fn stop(self) {
        self.stopping.store(true, Relaxed);
        // It has nothing to tell.
        let _ = self.thread.join();
    }
}

fn ask(socket: &UdpSocket, sink: &UdpSocket, aim: &AtomicU8, stopping: &AtomicBool) {
    const LIST: usize = HEADER_LEN + size_of::<NakHead>();
    let Ok(sink) = sink.local_addr() else { return };
    let at = Now { mono_ns: 0, unix_ns: 1 << 60 };
    let mut own = Sequencer::new(7, Session::new(1, 1), 0);
    let mut publisher = None;
    let mut buffer = [0; 2048];
    while !stopping.load(Relaxed) {
        if let Ok((len, from)) = socket.recv_from(&mut buffer)
            && let Ok(datagram) = Datagram::parse(&buffer[..len])
        {
            publisher = Some((from, datagram.publisher(), datagram.session(), datagram.seq()));
        }
        let aim = aim.load(Relaxed);
        let Some((from, id, session, seq)) = publisher.filter(|_| aim != Aim::Nobody as u8) else { continue };
        let to = if aim == Aim::Publisher as u8 { from } else { sink };
        let head = NakHead {
            publisher: id.into(),
            stream: 0.into(),
            count: 1.into(),
            session: session.to_bits().into(),
        };
        let entry = NakEntry { base: seq.saturating_sub(64).max(1).into(), bitmap: u64::MAX.into() };
        let mut request = [0; LIST + size_of::<NakEntry>()];
        request[HEADER_LEN..LIST].copy_from_slice(head.as_bytes());
        request[LIST..].copy_from_slice(entry.as_bytes());
        for _ in 0..64 {
            own.seal_nak(&mut request, at);
            // One that is dropped is as good as one that is refused.
            let _ = socket.send_to(&request, to);
        }
    }
}
