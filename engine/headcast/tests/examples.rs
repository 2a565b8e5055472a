//! The examples do what they say: they are run, as programs, against each other.
//!
//! `cargo test` builds them. When only this test is asked for (`--test examples`), build them before
//! (`cargo build -p headcast --examples`).

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

fn example(name: &str) -> Command {
    // This test is target/PROFILE/deps/examples-HASH.
    let mut path: PathBuf = std::env::current_exe().expect("a path");
    path.pop();
    path.pop();
    path.push("examples");
    path.push(name);
    assert!(path.exists(), "{} is not built; 'cargo build -p headcast --examples' does it", path.display());
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

/// A running subscriber, killed at the end if need be.
struct Listener {
    child: Child,
    output: BufReader<ChildStdout>,
    address: String,
}

impl Listener {
    /// Starts it on a port that the kernel picks, and waits until it listens.
    fn start(count: u32) -> Self {
        let mut command = example("subscriber");
        command.args(["127.0.0.1:0", &count.to_string()]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a first line");
        let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        Self { child, output, address }
    }

    /// What it said, once it has ended by itself.
    fn output(mut self) -> String {
        let mut text = String::new();
        self.output.read_to_string(&mut text).expect("text");
        assert!(self.child.wait().expect("ended").success());
        text
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have ended; then there is nobody to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(name: &str, target: &str) -> String {
    let Output { status, stdout, stderr } = example(name).arg(target).output().expect("started");
    assert!(status.success(), "{name}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}

#[test]
fn the_subscriber_hears_what_the_publisher_says() {
    let listener = Listener::start(10);
    assert_eq!(run("publisher", &listener.address), "peers: 1\n");
    let expected: String = (1..=10).map(|n| format!("message {n}\n")).collect();
    assert_eq!(listener.output(), expected);
}

#[test]
fn the_embedded_publisher_sends_all_that_it_wrote() {
    let listener = Listener::start(1);
    let said = run("embedded", &listener.address);
    assert!(said.contains(" 0 not sent"), "{said}");
    assert_eq!(listener.output().lines().count(), 1);
}

#[test]
fn the_threads_have_all_their_messages_sent() {
    let listener = Listener::start(1);
    let said = run("threads", &listener.address);
    assert!(said.starts_with("40000 messages of 4 threads, 0 not sent\n"), "{said}");
    assert!(listener.output().starts_with("thread "));
}
