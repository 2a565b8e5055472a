//! What can go wrong with a file.

use std::fs;
use std::path::Path;
use std::process::Command;

use headcast_recorder::{Database, Options, Response, Store, StoreError, Tally};

use crate::fixture::{Fixture, SqliteFile, batch, response, write};

pub(crate) fn refused(path: &Path) -> StoreError {
    match Store::open(&Database::Sqlite(path.to_owned()), Options::default()) {
        Err(error) => error,
        Ok(_) => panic!("{} opened", path.display()),
    }
}

fn names(directory: &Path) -> usize {
    directory.read_dir().expect("a directory").count()
}

#[test]
fn a_second_store_stands_by_until_the_first_is_gone() {
    let fixture = SqliteFile::new();
    let mut first = fixture.open();
    let second = || Store::open(&fixture.database(), Options::default()).expect("it answers");
    assert!(second().is_none());
    // Nor by another name of the same file.
    let link = fixture.directory.path().join("link.db");
    std::os::unix::fs::symlink(fixture.path(), &link).expect("a link");
    let by_link = || Store::open(&Database::Sqlite(link.clone()), Options::default()).expect("it answers");
    assert!(by_link().is_none());
    // Standing by disturbs nobody.
    write(&mut first, &[response(1, 1, 1, b"a")]);
    drop(first);
    let (tally, _) = write(&mut by_link().expect("its turn"), &[response(1, 1, 1, b"a")]);
    assert_eq!(tally.duplicates, 1);
}

#[test]
fn nothing_is_created_where_there_is_no_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let error = refused(&directory.path().join("none/responses.db"));
    assert!(matches!(error, StoreError::Missing(_)), "{error}");
    assert!(error.to_string().contains("/none"), "{error}");
    assert!(matches!(refused(directory.path()), StoreError::Missing(_)));
    fs::write(directory.path().join("file"), "").expect("a file");
    assert!(matches!(refused(&directory.path().join("file/responses.db")), StoreError::Missing(_)));
    assert_eq!(names(directory.path()), 1);
}

#[test]
fn a_newer_schema_and_foreign_tables_are_left_as_they_are() {
    for (sql, name) in [
        ("CREATE TABLE headcast_schema (version INTEGER); INSERT INTO headcast_schema VALUES (3)", "newer"),
        ("CREATE TABLE headcast_schema (version INTEGER)", "foreign"),
        ("CREATE TABLE headcast_schema (release TEXT)", "foreign"),
        ("CREATE TABLE headcast_schema (version INTEGER); INSERT INTO headcast_schema VALUES (2)", "foreign"),
        ("CREATE TABLE headcast_schema (version INTEGER); INSERT INTO headcast_schema VALUES (1)", "foreign"),
        ("CREATE TABLE messages (id INTEGER)", "foreign"),
        ("CREATE VIEW records AS SELECT 1", "foreign"),
        ("CREATE TABLE other (a); CREATE INDEX messages_by_time ON other (a)", "foreign"),
    ] {
        let fixture = SqliteFile::new();
        let connection = rusqlite::Connection::open(fixture.path()).expect("a file");
        connection.execute_batch(sql).expect(sql);
        let schema = "SELECT name FROM sqlite_schema ORDER BY name";
        let before = fixture.rows(schema);
        let error = refused(&fixture.path());
        assert_eq!(error.name(), name, "{sql}: {error}");
        assert!(!error.is_passing());
        assert_eq!(fixture.rows(schema), before, "{sql}");
    }
}

#[test]
fn other_tables_in_the_file_are_no_harm() {
    let fixture = SqliteFile::new();
    let connection = rusqlite::Connection::open(fixture.path()).expect("a file");
    connection.execute_batch("CREATE TABLE mine (a); INSERT INTO mine VALUES (7)").expect("a table");
    write(&mut fixture.open(), &[response(1, 1, 1, b"a")]);
    assert_eq!(fixture.integer("SELECT a FROM mine"), 7);
}

#[test]
fn what_is_no_database_and_what_is_damaged_is_said_and_kept() {
    let fixture = SqliteFile::new();
    let text = "this is a text and no database, ".repeat(64);
    fs::write(fixture.path(), &text).expect("a file");
    let error = refused(&fixture.path());
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert_eq!(fs::read_to_string(fixture.path()).expect("the file"), text);

    let fixture = SqliteFile::new();
    let all: Vec<Response> = (1..2000).map(|seq| response(1, seq, seq, b"some result")).collect();
    write(&mut fixture.open(), &all);
    let mut bytes = fs::read(fixture.path()).expect("the file");
    bytes[4096..].fill(0x5a);
    fs::write(fixture.path(), bytes).expect("the file");
    let _ = fs::remove_file(fixture.directory.path().join("responses.db-wal"));
    let result = Store::open(&fixture.database(), Options::default());
    let error = result.and_then(|store| {
        let mut store = store.expect("nobody else writes");
        store.write(&batch(&[response(1, 5000, 5000, b"x"), response(1, 2000, 2000, b"x")]), &mut Vec::new())
    });
    let error = error.expect_err("it is damaged");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
}

#[test]
fn a_file_that_was_removed_or_replaced_is_noticed_before_anything_is_acknowledged() {
    let fixture = SqliteFile::new();
    let mut store = fixture.open();
    write(&mut store, &[response(1, 1, 1, b"a")]);
    fs::rename(fixture.path(), fixture.directory.path().join("old.db")).expect("it is moved");
    let mut receipts = Vec::new();
    for create in [false, true] {
        if create {
            fs::write(fixture.path(), "").expect("another file");
        }
        let error = store.write(&batch(&[response(1, 2, 2, b"a")]), &mut receipts).expect_err("it is gone");
        assert!(matches!(error, StoreError::Missing(_)), "{error}");
        assert!(matches!(store.check(), Err(StoreError::Missing(_))));
        assert!(receipts.is_empty());
    }
}

#[test]
fn what_others_have_changed_is_read_again() {
    let fixture = SqliteFile::new();
    let mut store = fixture.open();
    let one = [response(1, 1, 1, b"a"), response(2, 1, 1, b"a")];
    write(&mut store, &one);
    fixture.rows("DELETE FROM messages");
    fixture.rows("DELETE FROM responders WHERE publisher = 1001");
    fixture.rows("DELETE FROM streams");
    let (tally, receipts) = write(&mut store, &one);
    assert_eq!(tally, Tally { stored: 1, duplicates: 1, rows: 1, bytes: 1, ..Tally::default() });
    assert_eq!(receipts.len(), 2);
    assert_eq!(fixture.dump().counts, [1, 2, 1, 0, 0]);
}

#[test]
fn a_lock_of_another_program_is_waited_for_and_then_told() {
    let fixture = SqliteFile::new();
    let mut store = fixture.open();
    let other = rusqlite::Connection::open(fixture.path()).expect("the file");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let error = store.write(&batch(&[response(1, 1, 1, b"a")]), &mut Vec::new()).expect_err("it is locked");
    assert!(matches!(error, StoreError::Busy(_)) && error.is_passing(), "{error}");
    other.execute_batch("ROLLBACK").expect("no lock");
    let (tally, _) = write(&mut store, &[response(1, 1, 1, b"a")]);
    assert_eq!(tally.stored, 1);
}

#[test]
fn a_file_as_a_killed_recorder_leaves_it_has_whole_batches_and_their_acknowledgements() {
    let fixture = SqliteFile::new();
    let mut store = fixture.open_with(Options { keep_all: true, ..Options::default() });
    let batches: Vec<Vec<Response>> = (0..4u64)
        .map(|n| {
            let of = |responder: u32| {
                move |seq| response(responder, seq, seq, if seq % 7 == 0 { b"x" } else { b"y" })
            };
            let seqs = n * 50 + 1..=n * 50 + 50;
            seqs.clone().map(of(1)).chain(seqs.filter(|seq| seq % 2 == 0).map(of(2))).collect()
        })
        .collect();
    let mut states = vec![fixture.dump()];
    let mut acknowledged = Vec::new();
    for all in &batches {
        acknowledged.push(write(&mut store, all).1);
        states.push(fixture.dump());
    }
    // As it is on the disk while the recorder runs, with the end of the log lost at any place.
    let log = fixture.directory.path().join("responses.db-wal");
    let bytes = fs::read(&log).expect("a log");
    let mut found = Vec::new();
    for kept in [bytes.len(), bytes.len() - 1, bytes.len() / 2, bytes.len() / 3, bytes.len() / 5] {
        let copy = SqliteFile::new();
        fs::copy(fixture.path(), copy.path()).expect("a copy");
        fs::write(copy.directory.path().join("responses.db-wal"), &bytes[..kept]).expect("a copy of the log");
        let mut survivor = copy.open_with(Options { keep_all: true, ..Options::default() });
        let survived = copy.dump();
        found.push(states.iter().position(|state| *state == survived).expect("a state between batches"));
        // Everything comes again, and in the end everything is there once.
        let again: Vec<_> = batches.iter().map(|all| write(&mut survivor, all).1).collect();
        assert_eq!(copy.dump(), states[4]);
        assert_eq!(again[3], acknowledged[3]);
    }
    assert_eq!(found[..2], [4, 3], "{found:?}");
}

#[test]
fn who_may_not_write_is_told_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let modes = |directory_mode, file_mode| {
        use std::os::unix::fs::PermissionsExt;
        let set =
            |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
        set(&directory.path().join("responses.db"), file_mode);
        set(directory.path(), directory_mode);
    };
    fs::write(directory.path().join("responses.db"), "").expect("a file");
    // Where everybody can run it.
    let program = directory.path().join("program");
    fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy");
    modes(0o555, 0o444);
    let mut command = Command::new(if nix::unistd::geteuid().is_root() { "setpriv" } else { "env" });
    if nix::unistd::geteuid().is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    }
    command.arg(&program).args(["--exact", "sqlite::as_somebody_else_nothing_may_be_written", "--ignored"]);
    let output = command.current_dir("/").env(MOUNTED, directory.path()).output().expect("setpriv or env");
    modes(0o755, 0o644);
    assert_one_passed(&output);
}

/// A name that no test has any more would be a success, too.
fn assert_one_passed(output: &std::process::Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by another test, as somebody else"]
fn as_somebody_else_nothing_may_be_written() {
    let error = refused(&mounted().join("responses.db"));
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
    let error = refused(&mounted().join("new.db"));
    assert!(matches!(error, StoreError::Denied(_)), "{error}");
    assert!(!mounted().join("new.db.lock").exists());
}

/// Runs a test of this program again where it may mount file systems of its own, with `script` before it.
pub(crate) fn run_in_own_mounts(test: &str, directory: &Path, script: &str) {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let program = std::env::current_exe().expect("this program");
    let output = command
        .args([
            "--mount",
            "sh",
            "-e",
            "-c",
            &format!("{script}; exec \"$1\" --exact {test} --ignored --nocapture"),
        ])
        .arg(directory)
        .arg(program)
        .env(MOUNTED, directory)
        .output()
        .expect("unshare");
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "this test mounts file systems: it needs root or user namespaces\n{told}"
    );
    assert!(told.contains("1 passed"), "{told}");
}

const MOUNTED: &str = "HEADCAST_TEST_MOUNTED";

pub(crate) fn mounted() -> std::path::PathBuf {
    std::env::var_os(MOUNTED).expect("run by another test").into()
}

#[test]
fn on_a_full_disk_nothing_is_acknowledged_and_with_room_it_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let mount = "mount -t tmpfs -o size=1m,mode=777 headcast \"$0\"";
    run_in_own_mounts("sqlite::in_own_mounts_a_disk_gets_full", directory.path(), mount);
}

#[test]
#[ignore = "run by another test, where it may mount"]
fn in_own_mounts_a_disk_gets_full() {
    let database = Database::Sqlite(mounted().join("responses.db"));
    let mut store =
        Store::open(&database, Options::default()).expect("it opens").expect("nobody else writes");
    let result = [0x5a; 1000];
    let mut receipts = Vec::new();
    let mut stored = 0;
    let failed = loop {
        let all: Vec<Response> =
            (stored + 1..=stored + 20).map(|seq| response(1, seq, seq, &result)).collect();
        match store.write(&batch(&all), &mut receipts) {
            Ok(tally) => {
                stored += tally.stored;
                assert_eq!(receipts[0].next, stored + 1);
                assert!(stored < 2000, "the disk never got full");
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Full(_)) && error.is_passing(), "{error}");
                assert!(receipts.is_empty());
                break all;
            }
        }
    };
    assert!(stored > 0);
    let error = store.write(&batch(&failed), &mut receipts).expect_err("it is still full");
    assert!(matches!(error, StoreError::Full(_)), "{error}");

    let mut remount = Command::new("mount");
    remount.args(["-o", "remount,size=8m"]).arg(mounted());
    assert!(remount.status().expect("mount").success());
    let (tally, receipts) = write(&mut store, &failed);
    assert_eq!((tally.stored, receipts[0].next), (20, stored + 21));
    drop(store);
    let mut records = headcast_recorder::records::Records::open(&database).expect("it opens");
    let stats = records.stats().expect("it is counted");
    assert_eq!((stats.messages, stats.responses), (stored + 20, stored + 20));
}

#[test]
fn on_a_disk_that_is_read_only_it_is_said_and_still_read() {
    let fixture = SqliteFile::new();
    write(&mut fixture.open(), &[response(1, 1, 1, b"a")]);
    let mount = "mount --bind \"$0\" \"$0\"; mount -o remount,bind,ro \"$0\"";
    run_in_own_mounts("sqlite::in_own_mounts_a_disk_is_read_only", fixture.directory.path(), mount);
}

#[test]
#[ignore = "run by another test, where it may mount"]
fn in_own_mounts_a_disk_is_read_only() {
    for name in ["responses.db", "new.db"] {
        let error = refused(&mounted().join(name));
        assert!(matches!(error, StoreError::ReadOnly(_)), "{name}: {error}");
    }
    let database = Database::Sqlite(mounted().join("responses.db"));
    let mut records = headcast_recorder::records::Records::open(&database).expect("it opens");
    assert_eq!(records.stats().expect("it is counted").messages, 1);
}
