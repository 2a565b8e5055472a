//! A PostgreSQL server of its own for tests: made in a temporary directory, gone with the test process.
//!
//! It takes connections on 127.0.0.1 with a password, and on a Unix socket without one.

#![allow(dead_code, reason = "not every test program needs all of it")]

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const USER: &str = "headcast";
const PASSWORD: &str = "s3cret: not 'easy'";
/// The same as it is written in a URL.
const PASSWORD_IN_URL: &str = "s3cret%3A%20not%20%27easy%27";
const START_MAX: Duration = Duration::from_secs(60);

/// A running server, or one that was killed and can be started again.
pub(crate) struct Cluster {
    programs: PathBuf,
    directory: tempfile::TempDir,
    port: u16,
    server: Option<Server>,
    databases: AtomicU32,
}

/// A shell that holds the server: it kills it when its own input ends, as it does with the test process. Then it
/// removes the directory too, if it was not told to keep it.
struct Server(Child);

impl Cluster {
    /// The server that all tests of this process share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server for one test, which may kill it.
    pub(crate) fn start() -> Self {
        let programs = programs();
        let directory =
            tempfile::Builder::new().prefix("headcast-pg").tempdir().expect("a temporary directory");
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(directory.path()));
        }
        let mut cluster =
            Self { programs, directory, port: free_port(), server: None, databases: AtomicU32::new(0) };
        cluster.create();
        cluster.restart();
        cluster
    }

    fn create(&self) {
        let password = self.directory.path().join("password");
        fs::write(&password, PASSWORD).expect("a file for the password");
        fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).expect("a file that can be read");
        run(unprivileged(&self.programs.join("initdb"))
            .args(["--username", USER, "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C", "--no-instructions"])
            .arg("--pwfile")
            .arg(&password)
            .arg("--pgdata")
            .arg(self.data()));
        run(Command::new("sh")
            .arg("-c")
            .arg(
                "cat >> \"$0/postgresql.conf\" <<END\n\
            listen_addresses = '127.0.0.1'\nfsync = off\nmax_connections = 50\nshared_buffers = 16MB\n\
            END",
            )
            .arg(self.data()));
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts it again where it was; waits until it takes connections.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut shell = unprivileged(Path::new("sh"));
        // A killed server leaves its mark, whose number may belong to another process by now.
        let script = "rm -f \"$2/postmaster.pid\" \"$1\"/.s.PGSQL.*; \"$0\" -D \"$2\" -k \"$1\" -p \"$3\" >\"$1/log\" 2>&1 <&- & server=$!; \
                      read word; kill -9 $server $(ps -o pid= --ppid $server); wait; \
                      [ \"$word\" = keep ] || rm -rf \"$1\"";
        shell
            .args(["-c", script])
            .arg(self.programs.join("postgres"))
            .arg(self.directory.path())
            .arg(self.data());
        shell.arg(self.port.to_string()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.server = Some(Server(shell.spawn().expect("a shell")));
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        let until = now() + START_MAX;
        loop {
            match postgres::Client::connect(&self.url_of("postgres"), postgres::NoTls) {
                Ok(_) => return,
                Err(error) if now() > until => {
                    let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                    panic!("PostgreSQL did not start within {START_MAX:?}: {error}\n{log}");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Kills the server and all of its processes at once; those who are connected notice it.
    pub(crate) fn kill(&mut self) {
        self.server = None;
    }

    /// An empty database of its own on this server: its URL.
    pub(crate) fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::SeqCst));
        let mut client =
            postgres::Client::connect(&self.url_of("postgres"), postgres::NoTls).expect("it is up");
        client.batch_execute(&format!("CREATE DATABASE {name}")).expect("a database");
        self.url_of(&name)
    }

    /// The URL of a database, with the right password.
    pub(crate) fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{}/{database}", self.port)
    }

    /// The URL of a database with another password.
    pub(crate) fn url_with_password(&self, password: &str, database: &str) -> String {
        format!("postgres://{USER}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The URL of a database through the Unix socket, without a password.
    pub(crate) fn url_of_socket(&self, database: &str) -> String {
        format!(
            "postgres:///{database}?user={USER}&port={}&host={}",
            self.port,
            self.directory.path().display()
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut input) = self.0.stdin.take() {
            let _ = input.write_all(b"keep\n");
        }
        let _ = self.0.wait();
    }
}

/// The newest of those that Debian has installed beside each other.
fn programs() -> PathBuf {
    let version =
        |path: &PathBuf| path.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse().ok());
    let all = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = all
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(|bin| version(bin).unwrap_or(0u32));
    newest
        .expect("these tests need PostgreSQL under /usr/lib/postgresql: install Debian's package postgresql")
}

/// A command that is not run as root, which PostgreSQL refuses.
fn unprivileged(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}

#[expect(clippy::disallowed_methods, reason = "a test waits for another program")]
fn now() -> Instant {
    Instant::now()
}
