//! A recorder of a few lines, in memory: it stores responses, and acknowledges them when it is told to.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use headcast_proto::response::{self, ACK_LEN};
use headcast_proto::stored::Place;
use headcast_proto::{Datagram, Now, Sequencer, Session, Stored};

use crate::support::until;

/// A message by its session, its sequence and its part: in these tests a publisher has one stream.
type Subject = (Session, u64, u16);

pub(crate) struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    rows: Mutex<Vec<(Subject, Vec<u8>)>>,
    silent: AtomicBool,
    stopped: AtomicBool,
}

impl Recorder {
    pub(crate) fn start() -> Self {
        Self::with(false)
    }

    /// One that acknowledges nothing until it is told to.
    pub(crate) fn silent() -> Self {
        Self::with(true)
    }

    fn with(silent: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a time-out");
        let address = socket.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        shared.silent.store(silent, SeqCst);
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(&socket)
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn acknowledge(&self) {
        self.shared.silent.store(false, SeqCst);
    }

    /// Waits until so many responses are stored; returns their results in the order of the messages.
    pub(crate) fn results(&self, count: usize) -> Vec<String> {
        self.responses(count).into_iter().map(|(_, result)| result).collect()
    }

    /// The same with the sequence and the part of each message.
    pub(crate) fn responses(&self, count: usize) -> Vec<((u64, u16), String)> {
        until("the responses come", || self.shared.rows.lock().expect("no panic").len() >= count);
        let rows = self.shared.rows.lock().expect("no panic").clone();
        assert_eq!(rows.len(), count, "{rows:?}");
        let rows: BTreeMap<Subject, Vec<u8>> = rows.into_iter().collect();
        assert_eq!(rows.len(), count, "each message has one response");
        let response = |((_, seq, part), result)| ((seq, part), String::from_utf8(result).expect("text"));
        rows.into_iter().map(response).collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Shared {
    fn run(&self, socket: &UdpSocket) {
        let mut sequencer = Sequencer::new(99, Session::new(1, 1), 0);
        let mut known: BTreeMap<(u32, Session), (Stored, SocketAddr)> = BTreeMap::new();
        let mut bytes = vec![0; 65_536];
        while !self.stopped.load(SeqCst) {
            if let Ok((len, from)) = socket.recv_from(&mut bytes) {
                let datagram = Datagram::parse(&bytes[..len]).expect("a valid datagram");
                let (of, result) = response::read(&datagram).expect("a response");
                let responder = (datagram.publisher(), datagram.session());
                let held_from = response::held_from(&datagram);
                let (stored, address) =
                    known.entry(responder).or_insert_with(|| (Stored::new(held_from), from));
                *address = from;
                if stored.observe(datagram.seq()) == Place::New {
                    let subject = (of.id.session, of.seq, of.part);
                    self.rows.lock().expect("no panic").push((subject, result.to_vec()));
                }
            }
            if self.silent.load(SeqCst) {
                continue;
            }
            for ((publisher, session), (stored, address)) in &known {
                let mut ack = [0; ACK_LEN];
                let now = Now { mono_ns: 0, unix_ns: 2_000_000 };
                let responder = (*publisher, session.to_bits());
                response::seal_ack(&mut sequencer, &mut ack, now, responder, stored.ack());
                // Who has been acknowledged may be gone.
                let _ = socket.send_to(&ack, address);
            }
        }
    }
}
