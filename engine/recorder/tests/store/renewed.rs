//! A database that an older recorder has filled is renewed when the store is opened, and nothing in it is lost.

use std::fmt::Write as _;

use headcast_recorder::records::{Filter, Records};
use headcast_recorder::{Options, Response, Store, StoreError, Tally};

use crate::fixture::{Cell, Fixture, PostgresDatabase, SqliteFile, response, to_part, write};
use crate::postgres_server::Cluster;
use crate::sqlite::{mounted, run_in_own_mounts};
use crate::{on_every_kind, postgres, sqlite};

on_every_kind! {
    a_database_of_version_1_has_everything_afterwards
    what_was_stored_before_stays_apart_from_the_rest_of_its_datagram
    an_old_database_is_not_read_before_it_is_renewed
    a_renewal_that_fails_changes_nothing
}

const KEEP_ALL: Options = Options { keep_all: true, durability: headcast_recorder::Durability::Power };

/// The tables of version 1 and their columns; ids are given in their order.
const TABLES: [(&str, &str); 5] = [
    ("streams", "publisher, session, stream"),
    ("responders", "publisher, session, next, bitmap, address, heard_ns"),
    ("messages", "stream_id, seq, result, responder_id, recorded_ns, responses, divergent"),
    ("divergences", "stream_id, seq, responder_id, response_seq, result, recorded_ns"),
    ("responses", "responder_id, response_seq, stream_id, seq, result, recorded_ns"),
];

/// Responses as an older recorder could store them: some divergent, some out of order, to two streams.
fn some() -> Vec<Response<'static>> {
    let of = |responder: u32| {
        move |seq: u64| {
            let lies = seq % 5 == u64::from(responder);
            let one = response(responder, seq, 1 + seq * 7 % 90, if lies { b"no\0" } else { b"\xffyes" });
            let stream = if seq.is_multiple_of(3) { 4 } else { 3 };
            Response { subject: headcast_recorder::Subject { stream, ..one.subject }, ..one }
        }
    };
    let seqs = (1..=150).filter(|seq| seq % 50 != 49);
    seqs.clone().map(of(1)).chain(seqs.clone().map(of(2))).chain(seqs.skip(3).map(of(3))).collect()
}

/// What a table has, in the order of its key.
fn rows_of<F: Fixture>(fixture: &F, (table, columns): (&str, &str)) -> Vec<Vec<Cell>> {
    let order = if columns.starts_with("publisher") { "id" } else { columns };
    fixture.rows(&format!("SELECT {columns} FROM {table} ORDER BY {order}"))
}

/// A database of version 1 with what another one has.
fn version_1_of<F: Fixture>(other: &F) -> F {
    let fixture = F::new();
    let mut sql = format!("{} INSERT INTO headcast_schema (version) VALUES (1);", F::VERSION_1);
    for table in TABLES {
        let (name, columns) = table;
        for row in rows_of(other, table) {
            let values: Vec<String> = row.iter().map(literal::<F>).collect();
            write!(sql, "INSERT INTO {name} ({columns}) VALUES ({});", values.join(", ")).expect("a string");
        }
    }
    fixture.run(&sql);
    fixture
}

fn literal<F: Fixture>(cell: &Cell) -> String {
    match cell {
        Cell::Integer(value) => value.to_string(),
        Cell::Text(text) => format!("'{text}'"),
        Cell::Bytes(bytes) => F::literal(bytes),
        Cell::Null => "NULL".to_owned(),
    }
}

/// A database of version 1, and one of today with the same.
fn old_and_new<F: Fixture>() -> (F, F) {
    let new = F::new();
    write(&mut new.open_with(KEEP_ALL), &some());
    (version_1_of(&new), new)
}

fn a_database_of_version_1_has_everything_afterwards<F: Fixture>() {
    let (fixture, new) = old_and_new::<F>();
    drop(fixture.open());
    let dump = fixture.dump();
    assert!(dump.counts.iter().all(|count| *count > 1), "{:?}", dump.counts);
    assert_eq!(dump, new.dump());
    for sql in [
        "SELECT version FROM headcast_schema",
        "SELECT * FROM records ORDER BY publisher, session, stream, seq",
        "SELECT * FROM streams ORDER BY id",
    ] {
        assert_eq!(fixture.rows(sql), new.rows(sql), "{sql}");
    }
    // A second time there is nothing to do.
    let mut store = fixture.open_with(KEEP_ALL);
    assert_eq!(fixture.dump(), dump);
    let (tally, receipts) = write(&mut store, &some());
    let all = some().len() as u64;
    assert_eq!(tally, Tally { duplicates: all, ..Tally::default() });
    let (_, expected) = write(&mut new.open_with(KEEP_ALL), &some());
    assert_eq!((receipts, fixture.dump()), (expected, dump));
}

fn what_was_stored_before_stays_apart_from_the_rest_of_its_datagram<F: Fixture>() {
    let (fixture, _) = old_and_new::<F>();
    let mut store = fixture.open_with(KEEP_ALL);
    let first = some()[1];
    let before = fixture.integer("SELECT count(*) FROM messages");
    let another = Response { subject: first.subject, ..response(9, 1, 1, b"\xffyes") };
    let beside = to_part(1, Response { subject: first.subject, ..response(9, 2, 1, b"else") });
    let (tally, _) = write(&mut store, &[another, beside]);
    assert_eq!(tally, Tally { stored: 2, rows: 1, bytes: 8, ..Tally::default() });
    assert_eq!(fixture.integer("SELECT count(*) FROM messages"), before + 1);
    let kept = "SELECT count(*) FROM responses WHERE part = 1";
    assert_eq!(fixture.integer(kept), 1);
    // An id is not given again.
    fixture.run("DELETE FROM streams WHERE id = 2");
    let other = Response {
        subject: headcast_recorder::Subject { publisher: 77, ..first.subject },
        ..response(9, 3, 1, b"")
    };
    write(&mut store, &[other]);
    assert_eq!(fixture.integer("SELECT id FROM streams WHERE publisher = 77"), 3);
}

fn an_old_database_is_not_read_before_it_is_renewed<F: Fixture>() {
    let (fixture, new) = old_and_new::<F>();
    let error = Records::open(&fixture.database()).err().expect("it is old");
    assert!(matches!(error, StoreError::Missing(_)), "{error}");
    assert!(error.to_string().contains("older program"), "{error}");
    drop(fixture.open());
    let read = |fixture: &F| {
        let mut found = Vec::new();
        let mut records = Records::open(&fixture.database()).expect("it opens");
        let each = |record| {
            found.push(record);
            std::ops::ControlFlow::Continue(())
        };
        records.query(&Filter::default(), each).expect("it is read");
        found
    };
    let found = read(&fixture);
    assert!(found.iter().all(|record| record.subject.part == 0));
    assert_eq!(found, read(&new));
}

fn a_renewal_that_fails_changes_nothing<F: Fixture>() {
    let (fixture, new) = old_and_new::<F>();
    // One of its last steps.
    fixture.run(&format!("ALTER TABLE responses ADD COLUMN part {}", F::INTEGER));
    let before: Vec<_> = TABLES.map(|table| rows_of(&fixture, table)).into();
    let error = Store::open(&fixture.database(), Options::default()).err().expect("there is one already");
    assert!(!error.is_passing(), "{error}");
    assert_eq!(fixture.integer("SELECT version FROM headcast_schema"), 1);
    assert_eq!(TABLES.map(|table| rows_of(&fixture, table)).to_vec(), before);
    fixture.run("ALTER TABLE responses DROP COLUMN part");
    drop(fixture.open());
    assert_eq!(fixture.dump(), new.dump());
}

#[test]
fn views_of_others_stay() {
    let mine = "CREATE VIEW mine AS SELECT count(*) AS n FROM messages WHERE divergent > 0";
    let (fixture, _) = old_and_new::<SqliteFile>();
    fixture.run(mine);
    let before = fixture.rows("SELECT n FROM mine");
    drop(fixture.open());
    assert_eq!(fixture.rows("SELECT n FROM mine"), before);
    assert_eq!(fixture.rows("PRAGMA integrity_check"), [[Cell::Text("ok".into())]]);

    let (fixture, _) = old_and_new::<PostgresDatabase>();
    fixture.run(mine);
    let before = fixture.rows("SELECT n FROM mine");
    drop(fixture.open());
    assert_eq!(fixture.rows("SELECT n FROM mine"), before);
}

#[test]
fn who_could_read_a_server_still_can_and_who_does_not_own_its_tables_cannot_renew_them() {
    let cluster = Cluster::shared();
    let (fixture, _) = old_and_new::<PostgresDatabase>();
    let name = fixture.url.rsplit_once('/').expect("a name").1;
    fixture.run(&format!(
        "CREATE ROLE {name}_reader LOGIN PASSWORD 'secret';
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}_reader;
         CREATE ROLE {name}_writer LOGIN PASSWORD 'secret';
         GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {name}_writer"
    ));
    let url_of = |role: &str| {
        cluster.url_with_password("secret", name).replace("headcast:", &format!("{name}_{role}:"))
    };
    let error = postgres::refused(&url_of("writer"));
    assert!(matches!(error, StoreError::Denied(_)), "{error}");
    drop(fixture.open());
    let reader = PostgresDatabase { url: url_of("reader") };
    for table in ["records", "messages", "divergences", "responses", "streams", "responders"] {
        assert!(reader.integer(&format!("SELECT count(*) FROM {table}")) > 1, "{table}");
    }
    let writer = PostgresDatabase { url: url_of("writer") };
    let (tally, _) = write(&mut writer.open(), &[to_part(1, response(9, 1, 1, b"a"))]);
    assert_eq!(tally.rows, 1);
}

/// As in a container whose root file system cannot be written.
#[test]
fn a_file_needs_no_place_beside_it_to_be_renewed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mount = "for place in /tmp /var/tmp; do mount --bind $place $place; mount -o remount,bind,ro $place; done; \
                 mount -t tmpfs -o size=128m,mode=777 headcast \"$0\"; cd /proc; unset TMPDIR SQLITE_TMPDIR";
    run_in_own_mounts(
        "renewed::in_own_mounts_there_is_no_place_for_temporary_files",
        directory.path(),
        mount,
    );
}

#[test]
#[ignore = "run by another test, where it may mount"]
fn in_own_mounts_there_is_no_place_for_temporary_files() {
    const MESSAGES: i64 = 100_000;
    assert!(std::fs::write("/tmp/file", "").is_err() && std::fs::write("file", "").is_err());
    let path = mounted().join("responses.db");
    let connection = rusqlite::Connection::open(&path).expect("a file");
    let rows = format!(
        "INSERT INTO headcast_schema (version) VALUES (1);
         INSERT INTO streams (publisher, session, stream) VALUES (1, 2, 3);
         INSERT INTO responders (publisher, session, next, bitmap, address, heard_ns) VALUES (4, 5, 1, X'', '', 6);
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {MESSAGES})
         INSERT INTO messages SELECT 1, n, randomblob(50), 1, n * 7919 % {MESSAGES}, 1, n % 2 FROM n;
         INSERT INTO divergences SELECT stream_id, seq, 1, seq, result, recorded_ns FROM messages;
         INSERT INTO responses SELECT 1, seq, stream_id, seq, result, recorded_ns FROM messages;"
    );
    connection.execute_batch(&format!("{}{rows}", SqliteFile::VERSION_1)).expect("an old database");
    drop(connection);
    let database = headcast_recorder::Database::Sqlite(path.clone());
    match Store::open(&database, Options::default()) {
        Ok(store) => drop(store.expect("nobody else writes")),
        Err(_) => panic!("{}", sqlite::refused(&path)),
    }
    let mut records = Records::open(&database).expect("it opens");
    assert_eq!(records.stats().expect("it is counted").messages, MESSAGES.cast_unsigned());
}
