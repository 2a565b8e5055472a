//! The pods: subscribers on addresses of their own, all driven by one thread.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use headcast::{Responder, Subscriber, SubscriberCounters, limits};
use headcast_proto::Datagram;
use headcast_proto::header::Kind;
use mio::{Poll, Token, Waker};

use super::account::Ledger;
use super::driver::{Command, Driver, Pod, Received};
use super::loss::Loss;
use super::recording;
use crate::failure::Failure;

pub(super) const WAKER: Token = Token(usize::MAX);
/// How many blocks of addresses, and how many ports, are looked at for one that is free.
const BLOCKS: u8 = 16;
const PORTS: u16 = 16;
/// The host in a block that is no pod.
const CLAIM: u8 = 254;

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
    answers: Answers,
    opened: usize,
    commands: Sender<Command>,
    waker: Waker,
    thread: JoinHandle<io::Result<Received>>,
}

/// How messages are answered.
#[derive(Clone, Copy)]
pub(super) struct Answers {
    /// Where answers go.
    pub(super) recorder: SocketAddr,
    /// The pod that answers something else than all others.
    pub(super) liar: Option<usize>,
}

/// What is known of a pod from outside: it stays when the pod is gone.
#[derive(Clone)]
pub(super) struct Books {
    token: usize,
    pub(super) ledger: SharedLedger,
    pub(super) counters: Arc<SubscriberCounters>,
    pub(super) responder: Responder,
}

impl Pods {
    pub(super) fn start(network: Network, loss: Loss, answers: Answers) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (commands, receiver) = channel();
        let session = Arc::new(AtomicU64::new(0));
        let mut driver = Driver::new(poll, receiver, Arc::clone(&session))?;
        let thread = std::thread::Builder::new().name("headcast-pods".into()).spawn(move || driver.run())?;
        Ok(Self { network, loss, session, answers, opened: 0, commands, waker, thread })
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
        let responder = recording::responder(self.answers.recorder, pod)?;
        let builder = Subscriber::builder().listen(address).publishers(1).impair(impairment);
        let subscriber = builder.responder(responder.clone()).build()?;
        let counters = Arc::clone(subscriber.counters());
        let lies = self.answers.liar == Some(pod);
        let subscriber = Box::new(subscriber);
        self.command(Command::Open(Pod { token, subscriber, ledger: ledger.clone(), lies }));
        Ok(Books { token, ledger, counters, responder })
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

    /// Waits until nothing comes any more, closes all pods, and tells what they have seen.
    pub(super) fn finish(self) -> Result<Received, Failure> {
        self.command(Command::Finish);
        let received = self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        received.map_err(Failure::about("the pods cannot receive"))
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
