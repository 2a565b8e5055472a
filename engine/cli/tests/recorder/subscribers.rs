//! The whole way: a publisher, subscribers of which some are killed again and again, and the recorder.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::account;
use crate::chance::Chance;
use crate::database::Site;
use crate::process::{HEADCAST, Log, Recorder};
use crate::readers::Tables;
use crate::support::{free_address, on_each_database, until};

const SUBSCRIBERS: usize = 4;
const KILLS: usize = 50;
/// The number of the first that takes another's place.
const FIRST_REPLACEMENT: u32 = 100;
const SEED: u64 = 0x5eed_000b;
/// Messages of each millisecond.
const MESSAGES: u64 = 2;

on_each_database! { kills_of_subscribers_leave_every_answer_that_is_stored_right }

fn kills_of_subscribers_leave_every_answer_that_is_stored_right<S: Site>() {
    println!("seed {SEED:#x}");
    let mut chance = Chance::new(SEED);
    let site = S::new();
    let mut recorder = Recorder::start(&site.url(), &["--keep-all"]);
    recorder.until_ready();
    let places: Vec<SocketAddr> = (0..SUBSCRIBERS).map(|_| free_address()).collect();
    let start = |place: usize, id: u32| Subscriber::start(places[place], recorder.address(), id);
    let mut subscribers: Vec<Subscriber> =
        (0..).zip(0..SUBSCRIBERS).map(|(id, place)| start(place, id)).collect();
    let publisher = Publisher::start(&places);
    for id in (FIRST_REPLACEMENT..).take(KILLS) {
        std::thread::sleep(Duration::from_millis(20 + chance.below(60)));
        // The first one is spared.
        let victim = 1 + usize::try_from(chance.below(SUBSCRIBERS as u64 - 1)).expect("a few");
        subscribers[victim].kill();
        subscribers[victim] = start(victim, id);
    }
    let published = publisher.finish();
    let mut acknowledged = HashMap::new();
    for subscriber in subscribers {
        let id = subscriber.id;
        acknowledged.insert(id, subscriber.finish());
    }
    recorder.terminate().totals();

    let tables = site.tables();
    account::check_states(&tables, &tables.responses);
    check_order(&tables, published);
    assert!(tables.divergences.is_empty());
    for (who, next) in &tables.responders {
        let of = |(other, seq): &&(_, u64)| other == who && seq < next;
        assert_eq!(tables.responses.keys().filter(of).count() as u64, next - 1, "{who:?} in a row");
    }
    for (id, acknowledged) in &acknowledged {
        assert_eq!(answers_of(&tables, *id), *acknowledged, "of {id}, which ended in good order");
    }
    assert!(acknowledged[&0] > published / 2, "{acknowledged:?} of {published}");
    assert!(tables.responders.len() > KILLS / 5, "killed before they said anything");
}

/// Checks that the answers are those messages, in the order in which they were published, whichever shared a datagram.
fn check_order(tables: &Tables, published: u64) {
    let in_order: BTreeMap<_, _> = tables.messages.iter().collect();
    let mut last = 0;
    for (subject, state) in in_order {
        let text = std::str::from_utf8(&state.result).expect("text");
        let number = text.strip_prefix("message ").and_then(|number| number.parse().ok());
        let number: u64 = number.unwrap_or_else(|| panic!("{subject:?} is answered by {text}"));
        assert!(number > last && number <= published, "{number} follows {last}, of {published}: {subject:?}");
        last = number;
    }
}

fn answers_of(tables: &Tables, id: u32) -> u64 {
    tables.responses.keys().filter(|(who, _)| who.0 == id).count() as u64
}

/// A subscriber that answers each message with the message.
struct Subscriber {
    child: Child,
    log: Log,
    id: u32,
}

impl Subscriber {
    fn start(listen: SocketAddr, recorder: SocketAddr, id: u32) -> Self {
        let mut command = Command::new(HEADCAST);
        command.args(["subscribe", "--respond-with", "echo", "--listen"]).arg(listen.to_string());
        command.arg("--respond-to").arg(recorder.to_string()).arg("--respond-id").arg(id.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let log = Log::of(child.stderr.take().expect("a pipe"));
        Self { child, log, id }
    }

    fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("a child");
    }

    /// Lets it end in good order; returns how many of its answers were acknowledged, which are all.
    fn finish(mut self) -> u64 {
        // It may have been started just now: before it has said so it cannot end in good order.
        until("the subscriber listens", || self.log.line_with(" ready ").is_some());
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, Signal::SIGTERM).expect("signalled");
        until("the subscriber ends", || self.child.try_wait().expect("a child").is_some());
        let status = self.child.wait().expect("a child");
        let log = self.log.whole();
        assert!(status.success(), "{status}: {log}");
        let totals = log.split("totals=").nth(1).and_then(|rest| rest.lines().next());
        let totals: Value = serde_json::from_str(totals.expect("totals")).expect("JSON");
        assert_eq!(totals["responses"]["unacknowledged"], 0, "{log}");
        totals["responses"]["acknowledged"].as_u64().expect("a count")
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A publisher that is given messages at a steady rate.
struct Publisher {
    child: Child,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Publisher {
    fn start(subscribers: &[SocketAddr]) -> Self {
        let peers: Vec<String> = subscribers.iter().map(ToString::to_string).collect();
        let mut command = Command::new(HEADCAST);
        command.args(["publish", "--peers", &peers.join(",")]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seq = 0;
            while !stopped.load(SeqCst) {
                for _ in 0..MESSAGES {
                    seq += 1;
                    writeln!(stdin, "message {seq}").expect("it reads");
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            seq
        });
        Self { child, stop, thread: Some(thread) }
    }

    /// Ends it; returns how many messages it was given.
    fn finish(mut self) -> u64 {
        self.stop.store(true, SeqCst);
        let published = self.thread.take().expect("a thread").join().expect("it wrote");
        until("the publisher ends", || self.child.try_wait().expect("a child").is_some());
        assert!(self.child.wait().expect("a child").success());
        published
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
