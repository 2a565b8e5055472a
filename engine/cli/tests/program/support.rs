//! Processes and free ports.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub(crate) use crate::running::Running;

pub(crate) const HEADCAST: &str = env!("CARGO_BIN_EXE_headcast");
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Runs the program to its end.
pub(crate) fn headcast(args: &str) -> Output {
    Command::new(HEADCAST).args(args.split_whitespace()).stdin(Stdio::null()).output().expect("it runs")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts a program.
pub(crate) fn start(program: &str, args: &[&str]) -> Running {
    let mut command = Command::new(program);
    command.args(args);
    Running::spawn(command)
}

/// Starts our own.
pub(crate) fn start_headcast(args: &str) -> Running {
    start(HEADCAST, &args.split_whitespace().collect::<Vec<_>>())
}

/// A port of loopback that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address").port()
}

/// Waits until somebody listens on a UDP port of loopback or of all addresses.
pub(crate) fn until_bound(port: u16) {
    until("somebody listens", || UdpSocket::bind(("127.0.0.1", port)).is_err());
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = now() + SOON;
    while !holds() {
        assert!(now() < deadline, "{what} within {SOON:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[expect(clippy::disallowed_methods, reason = "tests wait for real processes")]
fn now() -> Instant {
    Instant::now()
}

/// A directory that is gone when it is dropped; anybody may look into it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("headcast-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
