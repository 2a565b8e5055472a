//! The parts of ZeroMQ and Aeron, as `headcast-bench compare` plays them: whatever is sent comes to every receiver, once.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use headcast_bench::load::Pace;
use headcast_bench::load::outcome::Received;
use headcast_bench::load::part::{Ready, Sent, Task};

/// For each line that is waited for.
const WAIT: Duration = Duration::from_secs(20);
const MESSAGES: u64 = 500;

/// A process that is gone at the end, whatever the test comes to.
struct Part {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Part {
    fn start(name: &str, task: &Task) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_headcast-bench-rivals"))
            .args([name, &serde_json::to_string(task).expect("a task is JSON")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { input: child.stdin.take(), child, lines }
    }

    fn hear<T: serde::de::DeserializeOwned>(&self) -> T {
        let line = self.lines.recv_timeout(WAIT).expect("a line in time");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("its input"), "{line}").expect("it listens");
    }

    /// Ends with its input.
    fn end(mut self) {
        self.input = None;
        // Its output ends with it.
        while self.lines.recv_timeout(WAIT).is_ok() {}
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn task(system: &str, receivers: usize, size: usize, directory: &Path) -> Task {
    Task {
        system: system.into(),
        receivers,
        pace: Pace { rate: 2_000.0, messages: MESSAGES + 100, warm_up: 100, size, run: 4711 },
        core: None,
        server: None,
        peers: Vec::new(),
        directory: directory.into(),
        options: BTreeMap::new(),
    }
}

fn check(mut sender: Part, mut receivers: Part, count: u64) {
    sender.tell("start");
    let sent: Sent = sender.hear();
    assert_eq!((sent.paced.sent, sent.paced.refused, sent.paced.abandoned), (MESSAGES, 0, 0));
    receivers.tell(&format!("finish {MESSAGES}"));
    let received: Received = receivers.hear();
    assert_eq!(received.warm_up, 100 * count);
    let total = received.total;
    assert_eq!((total.received, total.lost, total.duplicates), (MESSAGES * count, 0, 0));
    assert_eq!(received.last.count(), MESSAGES, "every message has a last receiver");
    sender.end();
    receivers.end();
}

#[test]
fn zeromq_brings_every_message_to_every_receiver() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let task =
        Task { server: Some(server.expect("a free port")), ..task("zeromq", 3, 128, directory.path()) };
    let receivers = Part::start("subscribe", &task);
    let sender = Part::start("publish", &task);
    receivers.hear::<Ready>();
    sender.hear::<Ready>();
    check(sender, receivers, 3);
}

#[test]
fn aeron_brings_every_message_to_every_receiver_at_its_defaults_and_tuned_and_in_fragments() {
    for (system, receivers, size) in
        [("aeron", 3, 128), ("aeron-tuned", 3, 128), ("aeron-tuned", 32, 1024), ("aeron", 3, 5000)]
    {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        let port = socket.expect("a free port").port();
        let peers = (1..=receivers).map(|k| SocketAddr::from(([127, 0, 1, k], port))).collect();
        let task = Task { peers, ..task(system, receivers.into(), size, directory.path()) };
        let drivers = ["sender", "receivers"].map(|side| {
            let options = BTreeMap::from([("side".to_owned(), side.to_owned())]);
            Part::start("driver", &Task { options, ..task.clone() })
        });
        for driver in &drivers {
            driver.hear::<Ready>();
        }
        let listening = Part::start("subscribe", &task);
        assert_eq!(listening.hear::<Ready>().ready, task.peers);
        let sender = Part::start("publish", &task);
        sender.hear::<Ready>();
        check(sender, listening, receivers.into());
        drivers.into_iter().for_each(Part::end);
    }
}

#[test]
fn a_part_that_cannot_begin_says_why_on_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let task = task("aeron", 2, 128, directory.path());
    for (part, text) in [("driver", "sender or receivers"), ("subscribe", "the driver at")] {
        let output = Command::new(env!("CARGO_BIN_EXE_headcast-bench-rivals"))
            .args([part, &serde_json::to_string(&task).expect("a task is JSON")])
            .output()
            .expect("the program starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.lines().count() == 1 && errors.contains(text), "{errors}");
    }
}
