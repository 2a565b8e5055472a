//! Databases that cannot be used, and that will not pass: the recorder says so in one line and ends.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};

use crate::database::{PostgresSite, Site, SqliteSite};
use crate::load::{Load, Rate, Speaker};
use crate::mounts;
use crate::process::Recorder;
use crate::server::Cluster;
use crate::support::{free_address, until};

const RATE: Rate = Rate { responders: 2, responses: 2, queue: 1024 };

/// Starts a recorder that must end by itself: with 1, one line that has these words and no password, and nothing
/// acknowledged.
fn refuses(url: &str, words: &str) {
    let listen = free_address();
    let speaker = Speaker::new(1, &[listen], 16);
    assert!(speaker.say(1, 1, b"for nobody"));
    let ended = Recorder::spawn(url, listen, &[]).wait();
    assert_one_line(ended.status.code(), &ended.log, words);
    assert_eq!(speaker.responder.acknowledged_below(), 1);
    assert_eq!(speaker.responder.unacknowledged(), 1);
}

fn assert_one_line(code: Option<i32>, log: &str, words: &str) {
    let errors: Vec<&str> = log.lines().filter(|line| line.starts_with("error: ")).collect();
    let [error] = errors[..] else { panic!("not one line that says what is wrong:\n{log}") };
    assert!(error.contains(words), "{error}");
    assert_eq!(code, Some(1), "{log}");
    assert!(!log.contains("s3cret") && !log.contains("panicked"), "{log}");
    assert!(log.ends_with(&format!("{error}\n")), "it comes last:\n{log}");
}

/// Lets a recorder make its tables, and stores something.
fn used(site: &impl Site) {
    let mut recorder = Recorder::start(&site.url(), &["--keep-all"]);
    recorder.until_ready();
    let mut load = Load::start(&[recorder.address()], RATE);
    until("responses are acknowledged", || load.acknowledged() > 2_000);
    load.finish(site);
    recorder.terminate().totals();
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let site = SqliteSite::new();
    let garbage = b"this is not a database, and longer than any header of one".repeat(200);
    fs::write(site.path(), &garbage).expect("written");
    refuses(&site.url(), "is damaged or no database");
    assert_eq!(fs::read(site.path()).expect("it is still there"), garbage);
}

#[test]
fn a_damaged_file_stops_the_recorder_before_anything_more_is_acknowledged() {
    let site = SqliteSite::new();
    used(&site);
    let mut file = fs::File::options().write(true).open(site.path()).expect("it is there");
    let len = file.metadata().expect("a file").len();
    // All but the first page, which has the schema.
    file.seek(SeekFrom::Start(4096)).expect("a place");
    let rest = usize::try_from(len - 4096).expect("small");
    file.write_all(&vec![0xa5; rest]).expect("written");
    drop(file);

    let listen = free_address();
    let load = Load::start(&[listen], RATE);
    let ended = Recorder::spawn(&site.url(), listen, &[]).wait();
    assert_one_line(ended.status.code(), &ended.log, "is damaged or no database");
    assert_eq!(load.acknowledged(), 0);
}

#[test]
fn a_file_that_may_only_be_read_is_refused() {
    mounts::in_a_namespace("a database on a disk that may only be read", || {
        let site = SqliteSite::new();
        let directory = site.path().parent().expect("a directory").to_owned();
        mounts::mount(&directory, 64 << 20);
        used(&site);
        mounts::make_read_only(&directory);
        refuses(&site.url(), "cannot be written");
        mounts::unmount(&directory);
    });
}

#[test]
fn a_file_that_is_removed_while_it_is_written_stops_the_recorder() {
    let site = SqliteSite::new();
    let mut recorder = Recorder::start(&site.url(), &[]);
    recorder.until_ready();
    let load = Load::start(&[recorder.address()], RATE);
    until("responses are acknowledged", || load.acknowledged() > 500);
    fs::remove_file(site.path()).expect("removed");
    let ended = recorder.wait();
    assert_one_line(ended.status.code(), &ended.log, "was removed or replaced");
}

#[test]
fn places_where_no_database_can_be_are_refused() {
    let site = SqliteSite::new();
    let directory = site.path().parent().expect("a directory").display().to_string();
    refuses(&format!("sqlite:{directory}/none/responses.db"), "is not there");
    refuses(&format!("sqlite:{directory}"), "this is a directory");
    let none = site.url().replace("responses.db", "responses.db/x");
    fs::write(site.path(), b"").expect("written");
    refuses(&none, "is not");
}

#[test]
fn tables_from_the_future_are_refused_in_sqlite() {
    let site = SqliteSite::new();
    used(&site);
    let before = site.tables();
    let connection = rusqlite::Connection::open(site.path()).expect("it opens");
    connection.execute_batch("UPDATE headcast_schema SET version = 99").expect("set");
    drop(connection);
    refuses(&site.url(), "its tables have version 99");
    assert_eq!(site.tables().responses, before.responses, "left alone");
}

#[test]
fn tables_from_the_future_are_refused_in_postgresql() {
    let site = PostgresSite::new();
    used(&site);
    let before = site.tables();
    let mut client = postgres::Client::connect(&site.url(), postgres::NoTls).expect("it lets us in");
    client.batch_execute("UPDATE headcast_schema SET version = 99").expect("set");
    refuses(&site.url(), "its tables have version 99");
    assert_eq!(site.tables().responses, before.responses, "left alone");
}

#[test]
fn tables_of_another_program_are_refused() {
    let sqlite = SqliteSite::new();
    let theirs = "CREATE TABLE messages (id integer)";
    rusqlite::Connection::open(sqlite.path()).expect("it opens").execute_batch(theirs).expect("made");
    refuses(&sqlite.url(), "has tables of other programs");
    let postgres = PostgresSite::new();
    let mut client = postgres::Client::connect(&postgres.url(), postgres::NoTls).expect("it lets us in");
    client.batch_execute(theirs).expect("made");
    refuses(&postgres.url(), "has tables of other programs");
}

#[test]
fn a_wrong_password_or_name_is_told_without_the_password() {
    let cluster = Cluster::shared();
    refuses(&cluster.url_with_password("s3cret-but-wrong", "postgres"), "does not let us in");
    refuses(&cluster.url_of("nobody_made_this"), "is not there");
}

#[test]
fn tables_that_are_dropped_while_they_are_written_stop_the_recorder() {
    let site = PostgresSite::new();
    let mut recorder = Recorder::start(&site.url(), &[]);
    recorder.until_ready();
    let load = Load::start(&[recorder.address()], RATE);
    until("responses are acknowledged", || load.acknowledged() > 500);
    let mut client = postgres::Client::connect(&site.url(), postgres::NoTls).expect("it lets us in");
    client.batch_execute("DROP TABLE messages CASCADE").expect("dropped");
    let ended = recorder.wait();
    assert_one_line(ended.status.code(), &ended.log, "messages");
}
