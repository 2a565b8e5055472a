//! PostgreSQL is killed and started again, or stands still, while responses come in.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::chance::Chance;
use crate::database::Site;
use crate::load::{Load, Rate};
use crate::process::Recorder;
use crate::readers::{self, Tables};
use crate::server::Cluster;
use crate::support::{SOON, free_address, now, until};

const CYCLES: u32 = 24;
const SEED: u64 = 0x5eed_0002;
const STILL: Duration = Duration::from_secs(4);
const RATE: Rate = Rate { responders: 4, responses: 2, queue: 1024 };

/// A server of its own: it is killed.
struct Own {
    cluster: Cluster,
    url: String,
}

impl Own {
    /// The server and all processes that it has now.
    fn processes(&self) -> Vec<i32> {
        // Beside its data lies its socket, whose place is in this URL.
        let url = self.cluster.url_of_socket("postgres");
        let directory = url.rsplit_once("host=").expect("a place").1.to_owned();
        let mark = fs::read_to_string(Path::new(&directory).join("data/postmaster.pid")).expect("it runs");
        let server = mark.lines().next().expect("a line");
        let children = format!("/proc/{server}/task/{server}/children");
        let children = fs::read_to_string(children).expect("it runs");
        std::iter::once(server)
            .chain(children.split_whitespace())
            .map(|id| id.parse().expect("an id"))
            .collect()
    }

    /// Kills them, and waits until they are gone: one that is on its way out still has memory that the next server would
    /// not share.
    fn kill(&mut self) {
        let processes = self.processes();
        self.cluster.kill();
        Self::until_gone(&processes);
    }

    /// Ends them in good order, and all connections with them.
    fn shut_down(&mut self) {
        let processes = self.processes();
        kill(Pid::from_raw(processes[0]), Signal::SIGINT).expect("signalled");
        Self::until_gone(&processes);
    }

    /// Kills the process that serves the recorder.
    fn crash(&self) {
        let mut client = postgres::Client::connect(&self.url, postgres::NoTls).expect("it lets us in");
        let sql = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted";
        let pid: i32 = client.query_one(sql, &[]).expect("one has the lock").get(0);
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("signalled");
        until("it is gone", || !is_alive(pid));
    }

    fn until_gone(processes: &[i32]) {
        until("all processes of the server are gone", || !processes.iter().any(|process| is_alive(*process)));
    }
}

/// Whether a process is there, and not only waiting to be noticed as dead.
fn is_alive(process: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

impl Site for Own {
    fn new() -> Self {
        let cluster = Cluster::start();
        let url = cluster.database();
        Self { cluster, url }
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    fn tables(&self) -> Tables {
        readers::of_postgres(&self.url)
    }
}

#[test]
fn kills_of_postgresql_lose_and_double_nothing_and_the_recorder_stays_up() {
    println!("seed {SEED:#x}");
    let mut chance = Chance::new(SEED);
    let mut site = Own::new();
    let mut recorder = Recorder::start(&site.url, &["--keep-all"]);
    recorder.until_ready();
    let mut load = Load::start(&[recorder.address()], RATE);
    for cycle in 0..CYCLES {
        recorder.until_ready();
        let before = load.acknowledged();
        until("responses are acknowledged", || load.acknowledged() > before);
        std::thread::sleep(Duration::from_millis(chance.below(150)));
        match cycle % 3 {
            0 => site.kill(),
            1 => site.shut_down(),
            // One that serves a connection, without the server: it ends all others, and begins anew by itself.
            _ => {
                site.crash();
                continue;
            }
        }
        recorder.until_ready_is(false, SOON);
        site.cluster.restart();
        load.check(&site);
    }
    recorder.until_ready();
    load.finish(&site);
    let log = recorder.log();
    assert!(!log.contains("s3cret"), "the password is not told: {log}");
    recorder.terminate().totals();
}

#[test]
fn a_postgresql_that_stands_still_is_waited_for_and_nothing_is_acknowledged_meanwhile() {
    let site = Own::new();
    let mut recorder = Recorder::start(&site.url, &["--keep-all"]);
    recorder.until_ready();
    let mut load = Load::start(&[recorder.address()], RATE);
    until("responses are acknowledged", || load.acknowledged() > 1_000);
    let processes = site.processes();
    assert!(processes.len() > 3, "the server and its processes: {processes:?}");
    let signal = |signal| {
        for process in &processes {
            // One that serves a connection may have ended meanwhile.
            let _ = kill(Pid::from_raw(*process), signal);
        }
    };
    signal(Signal::SIGSTOP);
    // A commit before that may still be under way to the responders.
    recorder.until_ready_is(false, SOON);
    let (acknowledged, since) = (load.acknowledged(), now());
    until("it has stood still for a while", || {
        assert_eq!(load.acknowledged(), acknowledged, "nobody can have stored anything");
        assert!(!recorder.is_ready(), "nobody can store anything");
        since.elapsed() > STILL
    });
    signal(Signal::SIGCONT);
    recorder.until_ready();
    until("it goes on", || load.acknowledged() > acknowledged + 1_000);
    load.finish(&site);
    recorder.terminate().totals();
}

#[test]
fn a_recorder_without_its_postgresql_stops_in_good_order_and_nothing_is_lost() {
    let mut site = Own::new();
    let listen = free_address();
    let mut recorder = Recorder::start_at(&site.url, listen, &["--keep-all"]);
    recorder.until_ready();
    let mut load = Load::start(&[listen], RATE);
    until("responses are acknowledged", || load.acknowledged() > 500);
    site.kill();
    recorder.until_ready_is(false, SOON);
    recorder.terminate().totals();

    // It also starts without: PostgreSQL may come later.
    let mut recorder = Recorder::start_at(&site.url, listen, &["--keep-all"]);
    until("it says what it waits for", || recorder.log().contains("cannot be reached"));
    assert!(!recorder.is_ready());
    site.cluster.restart();
    load.check(&site);
    recorder.until_ready();
    load.finish(&site);
    recorder.terminate().totals();
}

#[test]
fn a_recorder_whose_postgresql_stands_still_stops_when_it_is_asked_to() {
    let site = Own::new();
    let mut recorder = Recorder::start(&site.url, &["--keep-all"]);
    recorder.until_ready();
    let load = Load::start(&[recorder.address()], RATE);
    until("responses are acknowledged", || load.acknowledged() > 500);
    for process in site.processes() {
        let _ = kill(Pid::from_raw(process), Signal::SIGSTOP);
    }
    recorder.until_ready_is(false, SOON);
    let ended = recorder.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(ended.log.contains("did not take the last responses"), "what it leaves is told: {}", ended.log);
}
