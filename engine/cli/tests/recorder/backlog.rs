//! A database that takes nothing for a while: locked by another program, or its disk is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use crate::database::{Site, SqliteSite};
use crate::load::{Load, Rate};
use crate::mounts;
use crate::process::Recorder;
use crate::readers::{self, Tables};
use crate::support::{SOON, free_address, now, until};

const LOCKED: Duration = Duration::from_secs(5);
const RATE: Rate = Rate { responders: 4, responses: 2, queue: 1024 };
const DISK: u64 = 64 << 20;
const BALLAST: usize = 60 << 20;

#[test]
fn a_locked_file_is_waited_for_and_nothing_is_acknowledged_meanwhile() {
    let site = SqliteSite::new();
    let mut recorder = Recorder::start(&site.url(), &["--keep-all"]);
    recorder.until_ready();
    let mut load = Load::start(&[recorder.address()], RATE);
    until("responses are acknowledged", || load.acknowledged() > 500);

    let lock = locked(&site.path());
    let stored = next_of_all(&load, &site.tables());
    recorder.until_ready_is(false, SOON);
    let since = now();
    until("it has been locked for a while", || {
        assert!(load.acknowledged() <= stored, "nobody can have stored more than {stored}");
        assert!(!recorder.is_ready(), "nobody can store anything");
        since.elapsed() > LOCKED
    });
    drop(lock);
    recorder.until_ready();
    until("it goes on", || load.acknowledged() > stored + 500);
    load.finish(&site);
    recorder.terminate().totals();
}

#[test]
fn a_recorder_whose_file_is_locked_stops_in_good_order_and_nothing_is_lost() {
    let site = SqliteSite::new();
    let listen = free_address();
    let start = || Recorder::start_at(&site.url(), listen, &["--keep-all"]);
    let mut recorder = start();
    recorder.until_ready();
    let mut load = Load::start(&[listen], RATE);
    until("responses are acknowledged", || load.acknowledged() > 500);
    let lock = locked(&site.path());
    recorder.until_ready_is(false, SOON);
    let ended = recorder.terminate();
    ended.totals();
    assert!(ended.log.contains("did not take the last responses"), "what it leaves is told: {}", ended.log);
    drop(lock);
    load.check(&site);
    let mut recorder = start();
    recorder.until_ready();
    load.finish(&site);
    recorder.terminate().totals();
}

#[test]
fn a_full_disk_is_waited_for_and_nothing_is_acknowledged_meanwhile() {
    mounts::in_a_namespace("a full disk", || {
        let disk = Disk::new();
        let mut recorder = Recorder::start(&disk.url(), &["--keep-all"]);
        recorder.until_ready();
        let ballast = disk.0.path().join("ballast");
        fs::write(&ballast, vec![1; BALLAST]).expect("room for ballast");
        let mut load = Load::start(&[recorder.address()], RATE);
        recorder.until_ready_is(false, Duration::from_secs(60));
        // What was committed before may be on its way to the responders; more cannot be stored.
        let stored = next_of_all(&load, &disk.tables());
        let since = now();
        until("it has been full for a while", || {
            assert!(load.acknowledged() <= stored, "nobody can have stored more than {stored}");
            since.elapsed() > Duration::from_secs(1)
        });
        assert!(recorder.log().contains("has no room left"), "{}", recorder.log());
        load.stop();
        fs::remove_file(&ballast).expect("room again");
        recorder.until_ready();
        load.finish(&disk);
        recorder.terminate().totals();
    });
}

#[test]
fn a_disk_that_is_full_from_the_start_is_waited_for() {
    mounts::in_a_namespace("a disk that is full from the start", || {
        let disk = Disk::new();
        let ballast = disk.0.path().join("ballast");
        // As much as fits: the last of it fails.
        let _ = fs::write(&ballast, vec![1; usize::try_from(DISK).expect("small") + 1]);
        let mut recorder = Recorder::start(&disk.url(), &["--keep-all"]);
        let mut load = Load::start(&[recorder.address()], RATE);
        until("it says what it waits for", || recorder.log().contains("has no room left"));
        assert!(!recorder.is_ready());
        assert_eq!(load.acknowledged(), 0);
        fs::remove_file(&ballast).expect("room");
        recorder.until_ready();
        load.finish(&disk);
        recorder.terminate().totals();
    });
}

/// A small disk of its own.
struct Disk(tempfile::TempDir);

impl Disk {
    fn path(&self) -> PathBuf {
        self.0.path().join("responses.db")
    }
}

impl Site for Disk {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        mounts::mount(directory.path(), DISK);
        Self(directory)
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    fn tables(&self) -> Tables {
        readers::of_sqlite(&self.path())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        mounts::unmount(self.0.path());
    }
}

/// Locks a file against all other writers; they may still read.
fn locked(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("it opens");
    connection.busy_timeout(SOON).expect("set");
    connection.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    connection
}

/// How many responses are stored of all responders in a row from the first.
fn next_of_all(load: &Load, tables: &Tables) -> u64 {
    assert_eq!(tables.responders.len(), load.speakers.len());
    tables.responders.values().map(|next| next - 1).sum()
}
