//! One side of a run as a process of its own, which speaks with the one that started it by lines.
//!
//! | who | standard output | standard input | then |
//! |---|---|---|---|
//! | sender | `{"ready":[]}` | `start` | sends; prints [`Sent`]; sees to what is asked for until its input ends |
//! | receivers | `{"ready":["127.0.0.1:40000", ...]}` | `finish 5000` | drains; prints [`Received`](super::outcome::Received); ends |
//!
//! Each line that is printed is one JSON value. The only argument is a [`Task`], as JSON. Whoever started a part and
//! goes away closes its input, and so ends it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

use super::{Audience, Books, Expected, Pace, Paced, Reader, Transport, pin};

/// The option that says for how many nanoseconds at most the sender spins before a message is due: what it spins away is
/// nobody's cost, and where there are few cores, somebody else's core.
pub const SPIN: &str = "spin_ns";

/// How often a sender that is done sees whether it may end.
const LOOK: Duration = Duration::from_millis(5);

/// What a part has to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The system: `redis`, `headcast`...
    pub system: String,
    /// How many receivers there are.
    pub receivers: usize,
    /// What is sent, and when.
    pub pace: Pace,
    /// The core to run on, if only one.
    pub core: Option<usize>,
    /// Where the system's server is, if it has one.
    pub server: Option<SocketAddr>,
    /// Where the receivers are, if the sender has to know; the receivers then listen there.
    pub peers: Vec<SocketAddr>,
    /// Where the system's own processes keep their files.
    pub directory: std::path::PathBuf,
    /// What else the system wants to know, by name.
    pub options: BTreeMap<String, String>,
}

/// What a sender says at its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sent {
    /// What was sent.
    pub paced: Paced,
    /// What the sending system counts by itself.
    pub counters: BTreeMap<String, u64>,
    /// Seconds of a core that the process took for sending, its warm-up included.
    #[serde(default)]
    pub cpu_s: f64,
}

/// What a part says when it can begin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Where the receivers listen.
    pub ready: Vec<SocketAddr>,
}

impl Task {
    /// What the receivers have to know of the run.
    #[must_use]
    pub fn expected(&self) -> Expected {
        Expected { run: self.pace.run, messages: self.pace.messages, warm_up: self.pace.warm_up }
    }

    /// Keeps the calling thread on the core that it names, if any.
    ///
    /// # Errors
    /// As [`pin::pin`].
    pub fn pin(&self) -> io::Result<()> {
        self.core.map_or(Ok(()), pin::pin)
    }
}

/// The sender: says that it is ready, sends when it is told to, and says what it sent.
///
/// # Errors
/// When the transport fails, or the other end of the lines is gone.
pub fn publish(task: &Task, mut transport: impl Transport) -> io::Result<()> {
    task.pin()?;
    say(&Ready { ready: Vec::new() })?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if line.trim() != "start" {
        return Ok(());
    }
    let before_s = cpu_s();
    let spin_ns = task.options.get(SPIN).and_then(|ns| ns.parse().ok());
    let paced = match spin_ns.map(Duration::from_nanos) {
        Some(spin) => task.pace.play_spinning(&mut transport, spin)?,
        None => task.pace.play(&mut transport)?,
    };
    let cpu_s = cpu_s() - before_s;
    let counters = transport.counters().into_iter().collect();
    say(&Sent { paced, counters, cpu_s })?;
    let ended = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&ended);
    listen(move |line| {
        if line.is_none() {
            end.store(true, SeqCst);
        }
    })?;
    while !ended.load(SeqCst) {
        transport.finish(LOOK)?;
    }
    Ok(())
}

/// The receivers, each with a socket of its own that one thread waits for.
///
/// # Errors
/// When they cannot be waited for, or the other end of the lines is gone.
pub fn subscribe<R: Reader>(task: &Task, addresses: &[SocketAddr], readers: Vec<R>) -> io::Result<()> {
    task.pin()?;
    let audience = Audience::new(readers, task.expected())?;
    let control = audience.control();
    listen(move |line| match line.map(finished) {
        Some(sent) => sent.into_iter().for_each(|sent| control.finish(sent)),
        // Nobody waits for what came.
        None => std::process::exit(0),
    })?;
    say(&Ready { ready: addresses.to_vec() })?;
    say(&audience.receive()?)
}

/// The receivers of a system that brings its own way of waiting: `poll` takes whatever is there into the books, and
/// waits a little if there is nothing.
///
/// # Errors
/// When `poll` fails, or the other end of the lines is gone.
pub fn subscribe_by(
    task: &Task,
    addresses: &[SocketAddr],
    mut poll: impl FnMut(&mut Books) -> io::Result<()>,
) -> io::Result<()> {
    task.pin()?;
    let mut books = Books::new(task.receivers, task.expected());
    let sent = Arc::new(AtomicU64::new(u64::MAX));
    let finish = Arc::clone(&sent);
    listen(move |line| match line.map(finished) {
        Some(sent) => sent.into_iter().for_each(|sent| finish.store(sent, SeqCst)),
        None => std::process::exit(0),
    })?;
    say(&Ready { ready: addresses.to_vec() })?;
    loop {
        poll(&mut books)?;
        let sent = sent.load(SeqCst);
        if sent != u64::MAX && books.is_over(sent) {
            return say(&books.settle(sent, &[], BTreeMap::new()));
        }
    }
}

/// Seconds of a core that this process took so far.
fn cpu_s() -> f64 {
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    getrusage(UsageWho::RUSAGE_SELF)
        .map_or(0.0, |usage| seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// How many messages were sent, by the line that says so.
fn finished(line: &str) -> Option<u64> {
    line.strip_prefix("finish ")?.trim().parse().ok()
}

/// Hands on every line of the standard input, and then that it has ended.
fn listen(mut take: impl FnMut(Option<&str>) + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("lines".into()).spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            take(Some(&line));
        }
        take(None);
    })?;
    Ok(())
}

fn say(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    out.flush()
}
