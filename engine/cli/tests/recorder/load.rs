//! Responders that keep responding, and remember what they said.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use headcast::peers::Source;
use headcast::{RespondError, Responder, Session, StreamId};

use crate::account::{self, Account};
use crate::database::Site;
use crate::readers::{Subject, Tables};

/// How long the end may take.
pub(crate) const DRAIN: Duration = Duration::from_secs(60);
/// The stream that all answer.
const SHARED: u16 = 1;

/// A response that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) subject: Subject,
    pub(crate) result: Vec<u8>,
}

/// A responder that remembers what it said.
#[derive(Clone)]
pub(crate) struct Speaker {
    pub(crate) responder: Responder,
    sent: Arc<Mutex<Vec<Answer>>>,
}

/// Several, each with a thread that responds at a steady rate.
pub(crate) struct Load {
    pub(crate) speakers: Vec<Speaker>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// How much load there is.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) responders: u32,
    /// Of each in a millisecond.
    pub(crate) responses: u32,
    /// How many each holds at most.
    pub(crate) queue: usize,
}

impl Speaker {
    /// The run of the publisher whose messages are answered.
    pub(crate) const SESSION: Session = Session::new(1_750_000_000_000, 7);

    pub(crate) fn new(id: u32, recorders: &[SocketAddr], queue: usize) -> Self {
        let source = Source::Static(recorders.iter().copied().collect());
        let builder = Responder::builder().source(source).responder_id(id).queue(queue);
        Self { responder: builder.build().expect("a responder"), sent: Arc::default() }
    }

    /// The stream of this number.
    pub(crate) fn stream(stream: u16) -> StreamId {
        StreamId { publisher: 9, session: Self::SESSION, stream }
    }

    /// Responds to a message that came alone; false if as much is held as may be.
    pub(crate) fn say(&self, stream: u16, seq: u64, result: &[u8]) -> bool {
        self.say_to(Self::stream(stream), seq, 0, result)
    }

    pub(crate) fn say_to(&self, id: StreamId, seq: u64, part: u16, result: &[u8]) -> bool {
        // Held over both, so that whoever looks sees all that may be acknowledged.
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        match self.responder.respond_to(id, seq, part, result) {
            Ok(()) => {
                let subject = (id.publisher, id.session.to_bits(), id.stream, seq, part);
                sent.push(Answer { subject, result: result.to_vec() });
                true
            }
            Err(RespondError::Full) => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// What it said, and that all below this number was acknowledged.
    pub(crate) fn account(&self, acknowledged_below: u64) -> Account {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Account { id: self.responder.id(), sent, acknowledged_below }
    }

    /// Waits until everything is acknowledged.
    pub(crate) fn close(&self) {
        let left = self.responder.close(DRAIN);
        let counters: Vec<_> = self.responder.counters().each().collect();
        assert_eq!(left, 0, "of {} left after {DRAIN:?}: {counters:?}", self.responder.id());
    }
}

impl Load {
    pub(crate) fn start(recorders: &[SocketAddr], rate: Rate) -> Self {
        let speakers: Vec<Speaker> =
            (0..rate.responders).map(|n| Speaker::new(100 + n, recorders, rate.queue)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |speaker: &Speaker| {
            let (speaker, stop) = (speaker.clone(), Arc::clone(&stop));
            std::thread::spawn(move || respond(&speaker, &stop, rate.responses))
        };
        let threads = speakers.iter().map(spawn).collect();
        Self { speakers, stop, threads }
    }

    /// Checks a database that has every response in a row of its own, also while it is written.
    pub(crate) fn check(&self, site: &impl Site) {
        let (tables, accounts) = read(site, &self.speakers);
        account::check(&tables, &accounts);
    }

    /// How many are acknowledged of all.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.speakers.iter().map(|speaker| speaker.responder.acknowledged_below() - 1).sum()
    }

    /// No further responses.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().expect("it responded to the end");
        }
    }

    /// No further responses; waits until all are acknowledged, and gives what was sent.
    pub(crate) fn close(&mut self) -> Vec<Account> {
        self.stop();
        for speaker in &self.speakers {
            speaker.close();
        }
        self.speakers.iter().map(|speaker| speaker.account(1)).collect()
    }

    /// No further responses; waits until all are acknowledged, and checks that they are in the database.
    pub(crate) fn finish(&mut self, site: &impl Site) {
        self.stop();
        finish(site, &self.speakers);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
    }
}

/// Waits until all is acknowledged that these said, and checks that nothing else is in the database. Returns what is.
pub(crate) fn finish(site: &impl Site, speakers: &[Speaker]) -> Tables {
    for speaker in speakers {
        speaker.close();
    }
    let (tables, accounts) = read(site, speakers);
    account::check_complete(&tables, &accounts);
    tables
}

/// What is acknowledged, then what is in the database, then what was sent: each may go on meanwhile.
fn read(site: &impl Site, speakers: &[Speaker]) -> (Tables, Vec<Account>) {
    let acknowledged: Vec<u64> =
        speakers.iter().map(|speaker| speaker.responder.acknowledged_below()).collect();
    let tables = site.tables();
    let accounts = speakers.iter().zip(acknowledged).map(|(speaker, below)| speaker.account(below));
    (tables, accounts.collect())
}

/// Responds to messages of its own and to some that all have, a few every millisecond.
fn respond(speaker: &Speaker, stop: &AtomicBool, responses: u32) {
    let id = speaker.responder.id();
    let own = u16::try_from(id).expect("a small number");
    let mut next = 1;
    while !stop.load(SeqCst) {
        for _ in 0..responses {
            let (message, stream) = (next / 2 + 1, if next % 2 == 0 { SHARED } else { own });
            let word = if is_lie(id, stream, message) { "no" } else { "ok" };
            let (seq, part) = place(message);
            if !speaker.say_to(Speaker::stream(stream), seq, part, format!("{word} {message}").as_bytes()) {
                break;
            }
            next += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The sequence and the part of a message: now one comes alone, now two or three share a datagram.
fn place(message: u64) -> (u64, u16) {
    const FIRST_OF: [u64; 3] = [0, 1, 3];
    let (round, nth) = ((message - 1) / 6, (message - 1) % 6);
    let datagram = FIRST_OF.partition_point(|first| *first <= nth) - 1;
    let part = u16::try_from(nth - FIRST_OF[datagram]).expect("at most two");
    (3 * round + datagram as u64 + 1, part)
}

/// Whether a responder says something else than the others.
fn is_lie(id: u32, stream: u16, message: u64) -> bool {
    stream == SHARED && message % 11 == u64::from(id % 5)
}
