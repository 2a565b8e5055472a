//! The program's two ends: a publisher of numbered lines, and subscribers that tell in JSON.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::{Lab, NAME, Running, until, until_within};

/// The number of the publisher that a [`Sender`] is.
pub(crate) const PUBLISHER: u32 = 7;

/// A line of `headcast subscribe --output json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Told {
    Message {
        publisher: u32,
        session: String,
        seq: u64,
        source: SocketAddr,
        payload: Option<String>,
        payload_base64: Option<String>,
    },
    Gap {
        publisher: u32,
        from: u64,
        to: u64,
    },
    Session {
        publisher: u32,
        seq: u64,
        joined_late: bool,
    },
    End {
        publisher: u32,
    },
    Silent {
        publisher: u32,
    },
    Totals(Map<String, Value>),
}

impl Told {
    /// The line that a message of the publisher holds.
    fn line(&self) -> Option<u64> {
        let Told::Message { publisher: PUBLISHER, seq, payload, .. } = self else { return None };
        let line = payload.as_ref().and_then(|payload| payload.parse().ok());
        // A number counts for every message of its datagram.
        assert!(line.is_some_and(|line| line >= *seq), "message {seq} holds {payload:?}");
        line
    }
}

/// `headcast publish`, of the lines 1, 2, 3 ...: with `--packing off` that is also what they are numbered as, for
/// messages that share a datagram share its number.
pub(crate) struct Sender {
    pub(crate) running: Running,
    feeder: JoinHandle<()>,
}

impl Sender {
    /// Publishes so many lines to all pods, in a mode with repairs unless the options name another one.
    pub(crate) fn start(lab: &Lab, lines: u64, options: &str) -> Self {
        let mode = if options.contains("--mode") { "" } else { "--mode dup+nak" };
        let mut running = lab.headcast(
            "publisher",
            &format!(
                "publish --to {NAME}:12000 --wait 10s --publisher-id {PUBLISHER} {mode} --json --log-level error {options}"
            ),
        );
        let mut input = BufWriter::new(running.child().stdin.take().expect("a pipe"));
        let feeder = spawn(move || {
            // A publisher that is killed reads no more.
            let _ = (1..=lines).try_for_each(|line| writeln!(input, "{line}")).and_then(|()| input.flush());
        });
        Self { running, feeder }
    }

    /// Waits until everything is published; the totals.
    pub(crate) fn finish(mut self) -> Map<String, Value> {
        until_within("the publisher ends", Duration::from_secs(60), || {
            self.running.child().try_wait().expect("a child").is_some()
        });
        self.feeder.join().expect("no panic");
        let output = self.running.wait();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the totals")
    }

    /// Stops the process for a while, as a debugger or a hypervisor does.
    pub(crate) fn pause(&mut self, time: Duration) {
        pause(&mut self.running, time);
    }
}

/// `headcast subscribe --output json`, of which every line is read as it comes.
pub(crate) struct Listener {
    running: Running,
    told: Arc<Mutex<Vec<Told>>>,
    reader: JoinHandle<()>,
}

impl Listener {
    /// Listens as pod K; returns when the socket is bound.
    pub(crate) fn start(lab: &Lab, pod: usize, options: &str) -> Self {
        let (address, place) = (lab.address(pod), format!("pod-{pod}"));
        let command = format!("subscribe --listen {address}:12000 --output json --log-level warn {options}");
        let mut running = lab.headcast(&place, &command);
        let told = Arc::new(Mutex::new(Vec::new()));
        let (lines, telling) = (running.lines(), Arc::clone(&told));
        let reader = spawn(move || {
            // A line that a kill has cut off is the last one.
            for line in lines.map_while(Result::ok) {
                let Ok(line) = serde_json::from_str(&line) else { break };
                lock(&telling).push(line);
            }
        });
        until("the subscriber listens", || {
            let sockets = lab.output(&place, "ss", "-Hlun");
            String::from_utf8_lossy(&sockets.stdout).contains(&format!("{address}:12000"))
        });
        Self { running, told, reader }
    }

    /// One for each of these pods.
    pub(crate) fn start_all(lab: &Lab, pods: RangeInclusive<usize>) -> Vec<Self> {
        pods.map(|pod| Self::start(lab, pod, "")).collect()
    }

    /// Waits until it has told something of which this holds.
    pub(crate) fn wait_for(&self, what: &str, mut is: impl FnMut(&Told) -> bool) {
        let mut looked_at = 0;
        until_within(what, Duration::from_secs(60), || {
            let told = lock(&self.told);
            let found = told[looked_at..].iter().any(&mut is);
            looked_at = told.len();
            found
        });
    }

    /// Waits until the publisher's stream has come to this line.
    pub(crate) fn wait_for_line(&self, least: u64) {
        self.wait_for(&format!("line {least}"), |told| told.line().is_some_and(|line| line >= least));
    }

    /// Where the publisher's messages come from, and their session.
    pub(crate) fn source(&self) -> (SocketAddr, u64) {
        let mut first = None;
        self.wait_for("a message", |told| {
            if let Told::Message { publisher: PUBLISHER, source, session, .. } = told {
                let session = u64::from_str_radix(session, 16).expect("a session");
                first.get_or_insert((*source, session));
            }
            first.is_some()
        });
        first.expect("just found")
    }

    pub(crate) fn pause(&mut self, time: Duration) {
        pause(&mut self.running, time);
    }

    /// The most memory that it has had in use, in KiB.
    pub(crate) fn peak_kib(&mut self) -> u64 {
        peak_kib(&mut self.running)
    }

    /// Ends it as Kubernetes does; everything that it has told.
    pub(crate) fn stop(mut self) -> Heard {
        self.running.signal(Signal::SIGTERM);
        self.read_to_end()
    }

    /// Ends it without warning.
    pub(crate) fn kill(mut self) -> Heard {
        self.running.signal(Signal::SIGKILL);
        self.read_to_end()
    }

    fn read_to_end(mut self) -> Heard {
        until("the subscriber ends", || self.running.child().try_wait().expect("a child").is_some());
        self.reader.join().expect("no panic");
        let output = self.running.wait();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || output.status.code().is_none(), "{error}");
        Heard(std::mem::take(&mut lock(&self.told)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pause(running: &mut Running, time: Duration) {
    running.signal(Signal::SIGSTOP);
    std::thread::sleep(time);
    running.signal(Signal::SIGCONT);
}

/// The most memory that a process has had in use, in KiB.
pub(crate) fn peak_kib(running: &mut Running) -> u64 {
    let status = format!("/proc/{}/status", running.child().id());
    let status = std::fs::read_to_string(status).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Everything that a subscriber has told.
pub(crate) struct Heard(pub(crate) Vec<Told>);

impl Heard {
    /// The publisher's lines, sorted.
    pub(crate) fn lines(&self) -> Vec<u64> {
        let mut lines: Vec<u64> = self.0.iter().filter_map(Told::line).collect();
        lines.sort_unstable();
        lines
    }

    /// The numbers that the publisher's gaps name, sorted.
    pub(crate) fn lost(&self) -> Vec<u64> {
        let mut lost = Vec::new();
        for told in &self.0 {
            if let Told::Gap { publisher: PUBLISHER, from, to } = told {
                lost.extend(*from..=*to);
            }
        }
        lost.sort_unstable();
        lost
    }

    /// Asserts that exactly these lines came, each once, and that no gap was told.
    pub(crate) fn assert_whole(&self, who: &str, lines: RangeInclusive<u64>) {
        assert_none(self.lost(), "were lost", who, &self.totals_text());
        assert_each_once(who, &self.lines(), lines, &self.totals_text());
    }

    /// Asserts that each of these came once, or was told as lost once: of a publisher that does not pack.
    pub(crate) fn assert_accounted(&self, who: &str, lines: RangeInclusive<u64>) {
        let mut all = [self.lines(), self.lost()].concat();
        all.sort_unstable();
        assert_each_once(who, &all, lines, &self.totals_text());
    }

    /// The first sequence heard of the publisher, and whether that was late.
    pub(crate) fn joined(&self) -> (u64, bool) {
        let mut sessions = self.0.iter().filter_map(|told| match told {
            Told::Session { publisher: PUBLISHER, seq, joined_late } => Some((*seq, *joined_late)),
            _ => None,
        });
        let first = sessions.next().expect("a session");
        assert_eq!(sessions.next(), None, "one session");
        first
    }

    pub(crate) fn totals(&self) -> &Map<String, Value> {
        match self.0.last() {
            Some(Told::Totals(totals)) => totals,
            last => panic!("the totals come last, not {last:?}"),
        }
    }

    /// One of the totals.
    pub(crate) fn total(&self, name: &str) -> u64 {
        count(self.totals(), name)
    }

    fn totals_text(&self) -> String {
        match self.0.last() {
            Some(Told::Totals(totals)) => Value::Object(nonzero(totals)).to_string(),
            _ => "killed, so without totals".into(),
        }
    }
}

/// A count among totals.
pub(crate) fn count(totals: &Map<String, Value>, name: &str) -> u64 {
    totals.get(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("no count {name} in {totals:?}"))
}

/// What is not 0 of totals, to be read by people.
pub(crate) fn nonzero(totals: &Map<String, Value>) -> Map<String, Value> {
    totals
        .iter()
        .filter(|(_, value)| **value != 0)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Asserts that there are no such messages; shows the first of them otherwise.
fn assert_none(numbers: Vec<u64>, what: &str, who: &str, totals: &str) {
    let first = &numbers[..numbers.len().min(20)];
    assert!(numbers.is_empty(), "{who}: {} messages {what}, {first:?} ...: {totals}", numbers.len());
}

/// Asserts that sorted numbers are exactly these.
fn assert_each_once(who: &str, sorted: &[u64], expected: RangeInclusive<u64>, totals: &str) {
    let twice: Vec<u64> = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    assert_none(twice, "came more than once", who, totals);
    let got: BTreeSet<u64> = sorted.iter().copied().collect();
    let missing: Vec<u64> = expected.clone().filter(|number| !got.contains(number)).collect();
    assert_none(missing, "were never heard of", who, totals);
    assert_eq!(sorted.len() as u64, expected.end() + 1 - expected.start(), "{who} got others: {totals}");
}
