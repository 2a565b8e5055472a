//! The pods: subscribers on addresses of their own, all driven by one thread.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use headcast::{Subscriber, SubscriberCounters, limits};
use headcast_proto::Datagram;
use headcast_proto::header::Kind;
use mio::{Events, Interest, Poll, Token, Waker};

use super::account::Ledger;
use super::loss::Loss;
use super::message;
use crate::failure::Failure;
use crate::report;

const WAKER: Token = Token(usize::MAX);
/// How many blocks of addresses, and how many ports, are looked at for one that is free.
const BLOCKS: u8 = 16;
const PORTS: u16 = 16;
/// The host in a block that is no pod.
const CLAIM: u8 = 254;
/// At the end: so long without a datagram, and at most so long altogether.
const QUIET: Duration = Duration::from_millis(100);
const QUIET_MAX: Duration = Duration::from_secs(2);

/// Addresses that nobody else receives on: 127.77.N.1 and up.
#[derive(Clone)]
pub(super) struct Network {
    block: u8,
    pub(super) port: u16,
    /// Keeps other demos away from the block, whichever of its pods are running.
    _claim: Arc<UdpSocket>,
}

impl Network {
    /// Finds a block with room for this many pods.
    pub(super) fn find(pods: usize) -> Result<Self, Failure> {
        let ports = limits::PORT_DEFAULT..limits::PORT_DEFAULT + PORTS;
        for (port, block) in ports.flat_map(|port| (0..BLOCKS).map(move |block| (port, block))) {
            match Self::claim(block, port, pods) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                claimed => {
                    return claimed.map_err(Failure::about("cannot receive on addresses of 127.0.0.0/8"));
                }
            }
        }
        Err(Failure::new("no free port was found for the pods: too many programs listen on 0.0.0.0"))
    }

    fn claim(block: u8, port: u16, pods: usize) -> io::Result<Self> {
        let claim = UdpSocket::bind((Ipv4Addr::new(127, 77, block, CLAIM), port))?;
        let network = Self { block, port, _claim: Arc::new(claim) };
        (0..pods).try_for_each(|pod| UdpSocket::bind(network.address(pod)).map(drop))?;
        Ok(network)
    }

    /// Whether others left it room where pods would usually be.
    pub(super) fn is_usual(&self) -> bool {
        (self.block, self.port) == (0, limits::PORT_DEFAULT)
    }

    pub(super) fn ip(&self, pod: usize) -> Ipv4Addr {
        // At most 200 pods: the command line sees to it.
        Ipv4Addr::new(127, 77, self.block, u8::try_from(pod + 1).unwrap_or(u8::MAX))
    }

    fn address(&self, pod: usize) -> SocketAddr {
        (self.ip(pod), self.port).into()
    }
}

/// The running pods.
pub(super) struct Pods {
    network: Network,
    loss: Loss,
    /// The publisher's run; 0 until there is one. Other datagrams are none of ours.
    session: Arc<AtomicU64>,
    opened: usize,
    commands: Sender<Command>,
    waker: Waker,
    thread: JoinHandle<io::Result<Histogram<u64>>>,
}

/// What is known of a pod from outside: it stays when the pod is gone.
#[derive(Clone)]
pub(super) struct Books {
    token: usize,
    pub(super) ledger: SharedLedger,
    pub(super) counters: Arc<SubscriberCounters>,
}

enum Command {
    Open(usize, Box<Subscriber>, SharedLedger),
    Close(usize),
    Finish,
}

impl Pods {
    pub(super) fn start(network: Network, loss: Loss) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (commands, receiver) = channel();
        let session = Arc::new(AtomicU64::new(0));
        let mut driver = Driver::new(poll, receiver, Arc::clone(&session))?;
        let thread = std::thread::Builder::new().name("headcast-pods".into()).spawn(move || driver.run())?;
        Ok(Self { network, loss, session, opened: 0, commands, waker, thread })
    }

    /// The publisher whose messages are awaited.
    pub(super) fn expect(&self, session: headcast::Session) {
        self.session.store(session.to_bits(), Relaxed);
    }

    /// A new process of this pod; from now on it receives.
    pub(super) fn open(&mut self, pod: usize) -> Result<Books, Failure> {
        let token = self.opened;
        self.opened += 1;
        let ledger = SharedLedger::default();
        let impairment = self.impairment(token as u64, ledger.clone());
        let address = self.network.address(pod);
        let subscriber = Subscriber::builder().listen(address).publishers(1).impair(impairment).build()?;
        let counters = Arc::clone(subscriber.counters());
        self.command(Command::Open(token, Box::new(subscriber), ledger.clone()));
        Ok(Books { token, ledger, counters })
    }

    /// Drops copies as told, and books all that get here.
    fn impairment(&self, process: u64, ledger: SharedLedger) -> impl FnMut(&[u8]) -> bool + Send + 'static {
        let (loss, session) = (self.loss, Arc::clone(&self.session));
        move |bytes| {
            let Ok(datagram) = Datagram::parse(bytes) else { return false };
            if datagram.kind() != Kind::Data || datagram.session().to_bits() != session.load(Relaxed) {
                return false;
            }
            let (seq, copy) = (datagram.seq(), datagram.copy());
            let dropped = loss.takes(process, seq, copy);
            ledger.lock().arrived(seq, copy, dropped);
            dropped
        }
    }

    /// The process ends, and its port with it.
    pub(super) fn close(&self, books: &Books) {
        self.command(Command::Close(books.token));
    }

    /// Waits until nothing comes any more, closes all pods, and tells how long messages took, in ns.
    pub(super) fn finish(self) -> Result<Histogram<u64>, Failure> {
        self.command(Command::Finish);
        let latencies = self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        latencies.map_err(Failure::about("the pods cannot receive"))
    }

    fn command(&self, command: Command) {
        // If the thread is gone it has failed: `finish` says why.
        let _ = self.commands.send(command);
        let _ = self.waker.wake();
    }
}

/// The books of one pod, for the thread that keeps them and the one that reads them.
#[derive(Clone, Default)]
pub(super) struct SharedLedger(Arc<Mutex<Ledger>>);

impl SharedLedger {
    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        // After a panic the demo fails anyway; until then a number that is off does no harm.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread for all pods: a poll that knows each by its token.
struct Driver {
    poll: Poll,
    commands: Receiver<Command>,
    session: Arc<AtomicU64>,
    /// By token; `None` when closed.
    pods: Vec<Option<(Box<Subscriber>, SharedLedger)>>,
    latencies: Histogram<u64>,
}

impl Driver {
    fn new(poll: Poll, commands: Receiver<Command>, session: Arc<AtomicU64>) -> io::Result<Self> {
        // 100 ns to a minute, to three digits.
        let latencies = Histogram::new_with_bounds(100, 60_000_000_000, 3).map_err(io::Error::other)?;
        Ok(Self { poll, commands, session, pods: Vec::new(), latencies })
    }

    fn run(&mut self) -> io::Result<Histogram<u64>> {
        let mut events = Events::with_capacity(256);
        let mut finish = None;
        loop {
            match self.poll.poll(&mut events, finish.map(|_| QUIET)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let quiet = events.is_empty();
            for event in &events {
                if event.token() != WAKER {
                    self.receive(event.token().0)?;
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    Command::Open(token, subscriber, ledger) => self.open(token, subscriber, ledger)?,
                    Command::Close(token) => self.close(token)?,
                    Command::Finish => finish = Some(report::now() + QUIET_MAX),
                }
            }
            if finish.is_some_and(|latest| quiet || report::now() >= latest) {
                return Ok(self.latencies.clone());
            }
        }
    }

    fn open(
        &mut self,
        token: usize,
        mut subscriber: Box<Subscriber>,
        ledger: SharedLedger,
    ) -> io::Result<()> {
        self.poll.registry().register(&mut *subscriber, Token(token), Interest::READABLE)?;
        if self.pods.len() <= token {
            self.pods.resize_with(token + 1, || None);
        }
        self.pods[token] = Some((subscriber, ledger));
        Ok(())
    }

    /// Takes what is there before the socket is closed.
    fn close(&mut self, token: usize) -> io::Result<()> {
        self.receive(token)?;
        if let Some((mut subscriber, _)) = self.pods.get_mut(token).and_then(Option::take) {
            self.poll.registry().deregister(&mut *subscriber)?;
        }
        Ok(())
    }

    /// Takes everything that is there for one pod.
    fn receive(&mut self, token: usize) -> io::Result<()> {
        let Some(Some((subscriber, ledger))) = self.pods.get_mut(token) else { return Ok(()) };
        let mut buffer = [0; message::LEN_MAX];
        while let Some(message) = subscriber.try_recv()? {
            let Some(origin) = message.origin else { continue };
            if origin.session.to_bits() != self.session.load(Relaxed) {
                continue;
            }
            let right = message.payload == message::write(origin.seq, &mut buffer);
            ledger.lock().delivered(origin.seq, origin.rescued, right);
            // A clock that was set back in between counts as no time at all.
            self.latencies.saturating_record(unix_ns().saturating_sub(origin.timestamp_ns));
        }
        Ok(())
    }
}

/// Nanoseconds since the Unix epoch, as in the headers.
#[expect(clippy::disallowed_methods, reason = "the programs are an edge where time is read")]
fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
