//! The server of a system, started for a run and ended with it.

mod configuration;

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use headcast::clock::mono_ns;
use serde::{Deserialize, Serialize};

/// Between its start and its first connection, at most.
const START_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks at whether it accepts connections.
const LOOK: Duration = Duration::from_millis(5);
/// Somebody else may take the port between its choice and its use; then another one is tried.
const ATTEMPTS: usize = 3;
/// Lines of what a server said that are shown when it has ended.
const LINES_SHOWN: usize = 6;
/// Bytes of what it said that are looked at for them.
const SAID_MAX: u64 = 64 << 10;
/// Where servers are that are not meant for everybody.
const SYSTEM_PATH: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Broker {
    /// `redis-server`.
    Redis,
    /// `nats-server`.
    Nats,
    /// `mosquitto`.
    Mosquitto,
}

impl Broker {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Redis, Self::Nats, Self::Mosquitto];

    /// Its program, which the Debian package has its name from.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Nats => "nats-server",
            Self::Mosquitto => "mosquitto",
        }
    }

    /// Where its program is.
    ///
    /// # Errors
    /// When it is not installed; names the Debian package.
    pub fn find(self) -> io::Result<PathBuf> {
        let program = self.program();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directories = std::env::split_paths(&path).chain(SYSTEM_PATH.map(PathBuf::from));
        let mut places = directories.map(|directory| directory.join(program));
        places.find(|place| place.is_file()).ok_or_else(|| {
            let what = format!("{program} is missing (Debian package {program})");
            io::Error::new(io::ErrorKind::NotFound, what)
        })
    }

    /// Its version, as it says it itself.
    ///
    /// # Errors
    /// As [`Self::find`], and when it does not say.
    pub fn version(self) -> io::Result<String> {
        // Mosquitto says it in its help, for which it ends with 3.
        let argument = if self == Self::Mosquitto { "-h" } else { "--version" };
        let output = Command::new(self.find()?).arg(argument).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said.split_whitespace().find_map(|word| {
            let version = word.strip_prefix("v=").or(word.strip_prefix('v')).unwrap_or(word);
            version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
        });
        version.ok_or_else(|| io::Error::other(format!("{} does not say its version", self.program())))
    }
}

/// A server that runs, on this host for this host. It ends with this value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    version: String,
}

impl Server {
    /// Starts it on a free port of the loopback interface and waits for at most five seconds until it accepts
    /// connections. `directory` is for its files: its configuration, and what it says.
    ///
    /// # Errors
    /// When it is not installed (the error names the Debian package), or does not start (the error has what it said
    /// last).
    pub fn start(broker: Broker, directory: &Path) -> io::Result<Self> {
        let (program, version) = (broker.find()?, broker.version()?);
        // Servers leave their working directory.
        let directory = fs::canonicalize(directory)?;
        let mut attempt = 1;
        loop {
            let (child, address) = launch(broker, &program, &directory)?;
            let mut server = Self { child, address, version: version.clone() };
            match server.wait_until_it_accepts(broker, &directory) {
                Ok(()) => return Ok(server),
                Err(error) if attempt == ATTEMPTS || error.kind() == io::ErrorKind::TimedOut => {
                    return Err(error);
                }
                Err(_) => attempt += 1,
            }
        }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its version, without its name: `7.0.15`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    fn wait_until_it_accepts(&mut self, broker: Broker, directory: &Path) -> io::Result<()> {
        let end_ns = mono_ns() + u64::try_from(START_WITHIN.as_nanos()).unwrap_or(u64::MAX);
        loop {
            let accepts = TcpStream::connect_timeout(&self.address, LOOK).is_ok();
            // Asked second: whoever accepts on its port while it is alive is itself.
            let ended = self.child.try_wait()?;
            let program = broker.program();
            if let Some(status) = ended {
                let said = last_words(&log(broker, directory));
                return Err(io::Error::other(format!("{program} has ended at once ({status}): {said}")));
            }
            if accepts {
                return Ok(());
            }
            if mono_ns() >= end_ns {
                let said = last_words(&log(broker, directory));
                let what = format!("{program} accepts no connections after {START_WITHIN:?}: {said}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to save. An error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(broker: Broker, program: &Path, directory: &Path) -> io::Result<(Child, SocketAddr)> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let configuration = directory.join(format!("{}.conf", broker.program()));
    fs::write(&configuration, configuration::of(broker, port, directory))?;
    let said = File::create(log(broker, directory))?;
    let mut command = Command::new(program);
    if broker != Broker::Redis {
        command.arg("-c");
    }
    command.arg(&configuration).current_dir(directory).stdin(Stdio::null());
    let child = command.stdout(said.try_clone()?).stderr(said).spawn()?;
    Ok((child, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}

/// What a server says goes there.
fn log(broker: Broker, directory: &Path) -> PathBuf {
    directory.join(format!("{}.log", broker.program()))
}

fn last_words(log: &Path) -> String {
    let mut said = String::new();
    // What cannot be read is not there to be shown.
    let _ = File::open(log).and_then(|file| file.take(SAID_MAX).read_to_string(&mut said));
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
    if last.is_empty() { "it said nothing".to_owned() } else { last.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_said_last_is_shown() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        assert_eq!(last_words(&log), "it said nothing");
        fs::write(&log, "1\n2\n\n3\n4\n5\n6\n  7: why\n").expect("written");
        assert_eq!(last_words(&log), "2; 3; 4; 5; 6; 7: why");
    }

    #[test]
    fn a_server_that_ends_at_once_says_why() {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("server");
        fs::write(&program, "#!/bin/sh\necho cannot open $1\nexit 3\n").expect("written");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&program, executable).expect("changed");
        let (child, address) = launch(Broker::Redis, &program, directory.path()).expect("it starts");
        let mut server = Server { child, address, version: String::new() };
        // Bounded: it ends.
        server.child.wait().expect("its status");
        let error = server.wait_until_it_accepts(Broker::Redis, directory.path()).expect_err("it has ended");
        let error = error.to_string();
        assert!(
            error.starts_with("redis-server has ended at once (exit status: 3): cannot open /"),
            "{error}"
        );
    }
}
