//! A recorder's process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{SOON, until, until_within};

pub(crate) const HEADCAST: &str = env!("CARGO_BIN_EXE_headcast");
const LOOK: Duration = Duration::from_millis(2);

/// A recorder that does not outlive the test.
pub(crate) struct Recorder {
    child: Child,
    log: Log,
    ready: SocketAddr,
    listen: Option<SocketAddr>,
}

/// How a recorder ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
    stdout: String,
}

/// What a process has said so far.
#[derive(Clone)]
pub(crate) struct Log {
    text: Arc<Mutex<String>>,
    reader: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Recorder {
    /// Starts one on a port that the kernel draws; returns when it listens.
    pub(crate) fn start(url: &str, options: &[&str]) -> Self {
        Self::start_at(url, ([127, 0, 0, 1], 0).into(), options)
    }

    /// Starts one on an address that it may have to wait for.
    pub(crate) fn start_at(url: &str, listen: SocketAddr, options: &[&str]) -> Self {
        let mut recorder = Self::spawn(url, listen, options);
        let mut listening = None;
        until("the recorder listens", || {
            listening = recorder.log.line_with("listening");
            let ended = recorder.child.try_wait().expect("a child");
            assert!(ended.is_none() || listening.is_some(), "it ended: {}", recorder.log.text());
            listening.is_some()
        });
        let listening = listening.expect("a line");
        recorder.listen = field(&listening, "listen=");
        recorder.ready = field(&listening, "ready=").expect("it was asked for a port");
        recorder
    }

    /// Starts one that may well end at once.
    pub(crate) fn spawn(url: &str, listen: SocketAddr, options: &[&str]) -> Self {
        let mut command = Command::new(HEADCAST);
        command.args(["record", "--json", "--ready", "127.0.0.1:0", "--database", url]);
        command.arg("--listen").arg(listen.to_string()).args(options);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let log = Log::of(child.stderr.take().expect("a pipe"));
        Self { child, log, ready: ([127, 0, 0, 1], 0).into(), listen: None }
    }

    /// Where it receives.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listen.expect("it listens")
    }

    /// Whether it says that it stores what it receives.
    pub(crate) fn is_ready(&self) -> bool {
        TcpStream::connect_timeout(&self.ready, Duration::from_secs(1)).is_ok()
    }

    pub(crate) fn until_ready(&mut self) {
        self.until_ready_is(true, SOON);
    }

    pub(crate) fn until_ready_is(&mut self, ready: bool, bound: Duration) {
        let log = self.log.clone();
        let what = if ready { "the recorder is ready" } else { "the recorder is not ready any more" };
        until_within(what, bound, LOOK, || {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "it ended: {}", log.text());
            self.is_ready() == ready
        });
    }

    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Kills it: no chance to finish anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("a child");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, signal).expect("signalled");
    }

    /// Asks it to stop.
    pub(crate) fn terminate(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let mut status = None;
        until_within("the recorder ends", SOON, LOOK, || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        let mut stdout = String::new();
        self.child.stdout.take().expect("a pipe").read_to_string(&mut stdout).expect("text");
        Ended { status: status.expect("it ended"), log: self.log.whole(), stdout }
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn memory_max(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kibibytes") * 1024
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the recorder said:\n{}", self.log.text());
        }
    }
}

impl Ended {
    /// The totals, of one that came to its end in good order. They must add up.
    pub(crate) fn totals(&self) -> Value {
        assert_eq!(self.status.code(), Some(0), "{}", self.log);
        let totals: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout));
        let sum = |names: &[&str]| names.iter().map(|name| count(&totals, name)).sum::<u64>();
        let refused: u64 =
            totals["refused"].as_object().expect("counts").values().filter_map(Value::as_u64).sum();
        let datagrams = sum(&["responses", "backlog", "truncated", "impaired"]) + refused;
        assert_eq!(sum(&["datagrams"]), datagrams, "{totals}");
        assert_eq!(sum(&["responses"]), sum(&["stored", "duplicates", "ahead", "given_back"]), "{totals}");
        totals
    }
}

/// A count of the totals.
pub(crate) fn count(totals: &Value, name: &str) -> u64 {
    totals[name].as_u64().unwrap_or_else(|| panic!("{name} in {totals}"))
}

impl Log {
    /// Reads until the process closes its end.
    pub(crate) fn of(stderr: ChildStderr) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let mut text = into.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line.expect("text"));
                text.push('\n');
            }
        });
        Self { text, reader: Arc::new(Mutex::new(Some(reader))) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of it, of a process that has ended.
    pub(crate) fn whole(&self) -> String {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            reader.join().expect("it read all");
        }
        self.text()
    }

    pub(crate) fn line_with(&self, word: &str) -> Option<String> {
        self.text().lines().find(|line| line.contains(word)).map(str::to_owned)
    }
}

/// The address behind a name in a line of the log.
fn field(line: &str, name: &str) -> Option<SocketAddr> {
    line.split(' ')
        .find_map(|word| word.strip_prefix(name))
        .map(|address| address.parse().expect("an address"))
}
