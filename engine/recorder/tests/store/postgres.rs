//! What can go wrong with a server.

use std::time::Duration;

use headcast_recorder::records::Records;
use headcast_recorder::{Database, Durability, Options, Receipt, Response, Store, StoreError, Tally};
use postgres::NoTls;

use crate::fixture::{Cell, Fixture, PostgresDatabase, batch, now, response, write};
use crate::postgres_server::Cluster;

fn database(url: &str) -> Database {
    url.parse().expect("a name")
}

pub(crate) fn refused(url: &str) -> StoreError {
    match Store::open(&database(url), Options::default()) {
        Err(error) => error,
        Ok(_) => panic!("{url} opened"),
    }
}

fn sql(url: &str, sql: &str) -> postgres::Client {
    let mut client = postgres::Client::connect(url, NoTls).expect("it is up");
    client.batch_execute(sql).expect(sql);
    client
}

/// Cuts off all others who are connected to the database, and waits until they are gone.
fn cut_off(url: &str) {
    let mut client = sql(url, "");
    let others = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(!client.query(others, &[]).expect("it is done").is_empty(), "nobody was connected");
}

/// Writes again and again, as a recorder does, as long as the error is one that passes.
fn write_until_stored(store: &mut Store, responses: &[Response<'_>]) -> (Tally, Vec<Receipt>) {
    let until = now() + Duration::from_secs(30);
    let mut receipts = Vec::new();
    loop {
        match store.write(&batch(responses), &mut receipts) {
            Ok(tally) => return (tally, receipts),
            Err(error) => {
                assert!(error.is_passing(), "{error}");
                assert!(receipts.is_empty());
                assert!(now() < until, "{error}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

#[test]
fn a_second_store_stands_by_until_the_first_is_gone() {
    let fixture = PostgresDatabase::new();
    let mut first = fixture.open();
    let second = || Store::open(&fixture.database(), Options::default()).expect("it answers");
    assert!(second().is_none());
    write(&mut first, &[response(1, 1, 1, b"a")]);
    // Another schema is another database.
    sql(&fixture.url, "CREATE SCHEMA other");
    let other = format!("{}?options=-csearch_path%3Dother", fixture.url);
    let mut other =
        Store::open(&database(&other), Options::default()).expect("it opens").expect("it is free");
    let (tally, _) = write(&mut other, &[response(1, 1, 1, b"a")]);
    assert_eq!(tally.stored, 1);
    assert_eq!(fixture.integer("SELECT count(*) FROM other.messages"), 1);
    drop(first);
    let mut store = fixture.open();
    let (tally, _) = write(&mut store, &[response(1, 1, 1, b"a")]);
    assert_eq!(tally.duplicates, 1);
}

#[test]
fn what_is_wrong_with_the_name_or_the_password_is_told_without_it() {
    let cluster = Cluster::shared();
    let url = cluster.database();
    let name = url.rsplit_once('/').expect("a name").1;
    let error = refused(&cluster.url_with_password("wr0ng", name));
    assert!(matches!(error, StoreError::Denied(_)), "{error}");
    let told = error.to_string();
    assert!(!told.contains("wr0ng") && told.contains(name) && told.contains("127.0.0.1"), "{told}");
    let error = refused(&url.replace(":s3cret%3A%20not%20%27easy%27", ""));
    assert!(matches!(error, StoreError::Denied(_)), "{error}");
    let error = refused(&cluster.url_of("nothing"));
    assert!(matches!(error, StoreError::Missing(_)), "{error}");
    assert!(!error.is_passing() && error.to_string().contains("nothing"), "{error}");
    let error = refused("postgres://me:s3cret@127.0.0.1:1/r");
    assert!(matches!(error, StoreError::Unavailable(_)) && error.is_passing(), "{error}");
    assert!(error.to_string().to_lowercase().contains("refused"), "{error}");
    let error = refused("postgres:///r?user=me&host=/nowhere");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}

#[test]
fn a_unix_socket_will_do() {
    let cluster = Cluster::shared();
    let url = cluster.database();
    let socket = cluster.url_of_socket(url.rsplit_once('/').expect("a name").1);
    let mut store =
        Store::open(&database(&socket), Options::default()).expect("it opens").expect("it is free");
    let (tally, _) = write(&mut store, &[response(1, 1, 1, b"a")]);
    assert_eq!(tally.stored, 1);
}

#[test]
fn a_role_without_permission_is_told_so_and_one_with_just_enough_writes() {
    let cluster = Cluster::shared();
    let fixture = PostgresDatabase::new();
    let name = fixture.url.rsplit_once('/').expect("a name").1;
    sql(&fixture.url, &format!("CREATE ROLE {name}_role LOGIN PASSWORD 'secret'"));
    let url = cluster.url_with_password("secret", name).replace("headcast:", &format!("{name}_role:"));
    // It may not create tables.
    let error = refused(&url);
    assert!(matches!(error, StoreError::Denied(_)), "{error}");
    drop(fixture.open());
    let error = refused(&url);
    assert!(matches!(error, StoreError::Denied(_)), "{error}");
    sql(&fixture.url, &format!("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {name}_role"));
    let until = now() + Duration::from_secs(10);
    let mut store = loop {
        match Store::open(&database(&url), Options::default()).expect("it opens") {
            Some(store) => break store,
            None => assert!(now() < until, "the lock was not freed"),
        }
    };
    let all = [response(1, 1, 1, b"a"), response(2, 1, 1, b"b"), response(1, 1, 1, b"a")];
    let (tally, _) = write(&mut store, &all);
    assert_eq!((tally.stored, tally.duplicates, tally.divergent), (2, 1, 1));
}

#[test]
fn a_newer_schema_and_foreign_tables_are_left_as_they_are() {
    for (create, name) in [
        ("CREATE TABLE headcast_schema (version bigint); INSERT INTO headcast_schema VALUES (3)", "newer"),
        ("CREATE TABLE headcast_schema (version bigint)", "foreign"),
        ("CREATE TABLE headcast_schema (release text)", "foreign"),
        ("CREATE TABLE headcast_schema (version bigint); INSERT INTO headcast_schema VALUES (2)", "foreign"),
        ("CREATE TABLE headcast_schema (version bigint); INSERT INTO headcast_schema VALUES (1)", "foreign"),
        ("CREATE TABLE messages (id bigint)", "foreign"),
        ("CREATE VIEW records AS SELECT 1", "foreign"),
        ("CREATE TABLE other (a bigint); CREATE INDEX messages_by_time ON other (a)", "foreign"),
    ] {
        let fixture = PostgresDatabase::new();
        sql(&fixture.url, create);
        let schema =
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1";
        let before = fixture.rows(schema);
        let error = refused(&fixture.url);
        assert_eq!(error.name(), name, "{create}: {error}");
        assert_eq!(fixture.rows(schema), before, "{create}");
    }
}

#[test]
fn a_connection_cut_between_batches_costs_nothing() {
    let fixture = PostgresDatabase::new();
    let mut store = fixture.open();
    let mut stored = 0;
    for seq in 1..=5 {
        let all = [response(1, seq, seq, b"a"), response(2, seq, seq, b"a")];
        let (tally, receipts) = write_until_stored(&mut store, &all);
        stored += tally.stored;
        assert_eq!(receipts.iter().map(|receipt| receipt.next).collect::<Vec<_>>(), [seq + 1; 2]);
        cut_off(&fixture.url);
    }
    assert_eq!(stored, 10);
    assert_eq!(fixture.integer("SELECT CAST(sum(responses) AS bigint) FROM messages"), 10);
}

#[test]
fn a_connection_cut_in_the_middle_of_a_batch_costs_nothing() {
    let fixture = PostgresDatabase::new();
    let mut store = fixture.open_with(Options { keep_all: true, ..Options::default() });
    write(&mut store, &[response(1, 1, 1, b"a")]);
    // The batch waits for this row with half of its statements done; then it is cut off.
    let mut other = sql(&fixture.url, "");
    let mut holding = other.transaction().expect("a transaction");
    holding.batch_execute("SELECT * FROM messages WHERE seq = 1 FOR UPDATE").expect("a lock");
    let all = [response(2, 1, 1, b"b"), response(1, 2, 2, b"a"), response(2, 2, 2, b"a")];
    let writer = std::thread::spawn(move || {
        let mut receipts = Vec::new();
        let result = store.write(&batch(&all), &mut receipts);
        (store, result, receipts)
    });
    let mut watcher = sql(&fixture.url, "");
    let waiting =
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let until = now() + Duration::from_secs(10);
    let pid: i32 = loop {
        match watcher.query_opt(waiting, &[]).expect("it is up") {
            Some(row) => break row.get(0),
            None => assert!(now() < until, "nobody waits"),
        }
    };
    watcher.execute("SELECT pg_terminate_backend($1, 10000)", &[&pid]).expect("it is cut off");
    let (mut store, result, receipts) = writer.join().expect("no panic");
    let error = result.expect_err("it was cut off");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(receipts.is_empty());
    holding.rollback().expect("no lock");
    let (tally, receipts) = write_until_stored(&mut store, &all);
    assert_eq!(tally, Tally { stored: 3, rows: 1, divergent: 1, bytes: 3, ..Tally::default() });
    assert_eq!(receipts.iter().map(|receipt| receipt.next).collect::<Vec<_>>(), [3, 3]);
    assert_eq!(fixture.dump().counts, [1, 2, 2, 1, 4]);
}

#[test]
fn a_lock_of_another_program_is_waited_for_and_then_told() {
    let fixture = PostgresDatabase::new();
    let mut store = fixture.open();
    let mut other = sql(&fixture.url, "");
    let mut holding = other.transaction().expect("a transaction");
    holding.batch_execute("LOCK TABLE messages").expect("a lock");
    let error = store.write(&batch(&[response(1, 1, 1, b"a")]), &mut Vec::new()).expect_err("it is locked");
    assert!(matches!(error, StoreError::Busy(_)) && error.is_passing(), "{error}");
    holding.rollback().expect("no lock");
    let (tally, _) = write(&mut store, &[response(1, 1, 1, b"a")]);
    assert_eq!(tally.stored, 1);
}

#[test]
fn who_was_cut_off_and_has_a_successor_stores_nothing_any_more() {
    let fixture = PostgresDatabase::new();
    let mut first = fixture.open();
    write(&mut first, &[response(1, 1, 1, b"a")]);
    cut_off(&fixture.url);
    let mut second = fixture.open();
    let mut receipts = Vec::new();
    let until = now() + Duration::from_secs(10);
    loop {
        match first.write(&batch(&[response(1, 2, 2, b"a")]), &mut receipts) {
            Err(StoreError::Taken(_)) => break,
            Err(error) => assert!(error.is_passing() && now() < until, "{error}"),
            Ok(_) => panic!("two writers"),
        }
    }
    assert!(receipts.is_empty());
    let (tally, _) = write(&mut second, &[response(1, 1, 1, b"a"), response(1, 2, 2, b"a")]);
    assert_eq!((tally.stored, tally.duplicates), (1, 1));
    // And the first comes back when the second is gone, and knows what happened meanwhile.
    drop(second);
    let (tally, receipts) = write_until_stored(&mut first, &[response(1, 2, 2, b"a")]);
    assert_eq!((tally.duplicates, receipts[0].next), (1, 3));
}

#[test]
fn who_was_cut_off_and_only_looked_knows_what_happened_meanwhile() {
    let fixture = PostgresDatabase::new();
    let mut first = fixture.open();
    write(&mut first, &[response(1, 1, 1, b"a")]);
    cut_off(&fixture.url);
    write(&mut fixture.open(), &[response(1, 2, 2, b"a")]);
    // It connects again without a batch.
    let until = now() + Duration::from_secs(10);
    while let Err(error) = first.check() {
        assert!(error.is_passing() && now() < until, "{error}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (tally, receipts) = write(&mut first, &[response(1, 2, 2, b"a")]);
    assert_eq!((tally.duplicates, receipts[0].next), (1, 3));
}

#[test]
fn a_server_that_is_killed_and_comes_back_has_everything_once() {
    let mut cluster = Cluster::start();
    let url = cluster.database();
    let mut store = Store::open(&database(&url), Options::default()).expect("it opens").expect("it is free");
    let all = [response(1, 1, 1, b"a"), response(2, 1, 1, b"b")];
    write(&mut store, &all);
    cluster.kill();
    let mut receipts = Vec::new();
    for _ in 0..3 {
        let error = store.write(&batch(&all), &mut receipts).expect_err("it is gone");
        assert!(matches!(error, StoreError::Unavailable(_)) && receipts.is_empty(), "{error}");
        assert!(store.check().is_err());
    }
    let error = Store::open(&database(&url), Options::default()).err().expect("it is gone");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    cluster.restart();
    let (tally, receipts) = write_until_stored(&mut store, &all);
    assert_eq!((tally, receipts.len()), (Tally { duplicates: 2, ..Tally::default() }, 2));
    let (tally, _) = write(&mut store, &[response(1, 2, 2, b"a")]);
    assert_eq!((tally.stored, store.check()), (1, Ok(())));
}

#[test]
fn a_responder_removed_by_hand_is_noticed_and_read_again() {
    let fixture = PostgresDatabase::new();
    let mut store = fixture.open();
    write(&mut store, &[response(1, 1, 1, b"a")]);
    fixture.rows("DELETE FROM responders");
    let error = store.write(&batch(&[response(1, 2, 2, b"a")]), &mut Vec::new()).expect_err("it is gone");
    assert!(error.is_passing(), "{error}");
    let (tally, _) = write(&mut store, &[response(1, 2, 2, b"a")]);
    assert_eq!(tally.stored, 1);
}

/// What a setting is on the connection of a store: it is noted by a trigger on what the store writes.
fn setting_of_a_store(fixture: &PostgresDatabase, options: Options, setting: &str) -> Cell {
    let mut store = fixture.open_with(options);
    let note = format!(
        "CREATE TABLE seen (a text); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO seen VALUES (current_setting('{setting}')); RETURN NEW; END $$; \
         CREATE TRIGGER see AFTER INSERT ON streams FOR EACH ROW EXECUTE FUNCTION see()"
    );
    sql(&fixture.url, &note);
    write(&mut store, &[response(1, 1, 1, b"a")]);
    fixture.rows("SELECT a FROM seen").remove(0).remove(0)
}

#[test]
fn commits_wait_for_the_disk_unless_they_need_not_and_for_replicas_if_so_set() {
    for (server, durability, store) in [
        ("off", Durability::Power, "on"),
        ("remote_apply", Durability::Power, "remote_apply"),
        ("on", Durability::Process, "off"),
    ] {
        let fixture = PostgresDatabase::new();
        let name = fixture.url.rsplit_once('/').expect("a name").1;
        sql(&fixture.url, &format!("ALTER DATABASE {name} SET synchronous_commit = {server}"));
        let options = Options { durability, ..Options::default() };
        let set = setting_of_a_store(&fixture, options, "synchronous_commit");
        assert_eq!(set, Cell::Text(store.into()), "{server} {durability:?}");
    }
}

#[test]
fn the_server_notices_within_seconds_that_a_writer_is_gone() {
    for (setting, value) in [
        ("tcp_keepalives_idle", "2"),
        ("tcp_keepalives_interval", "1"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "5000"),
        ("lock_timeout", "5s"),
    ] {
        let set = setting_of_a_store(&PostgresDatabase::new(), Options::default(), setting);
        assert_eq!(set, Cell::Text(value.into()), "{setting}");
    }
}

#[test]
fn a_server_that_takes_no_writes_is_told_apart_and_still_read() {
    let fixture = PostgresDatabase::new();
    write(&mut fixture.open(), &[response(1, 1, 1, b"a")]);
    let read_only = format!("{}?options=-cdefault_transaction_read_only%3Don", fixture.url);
    assert_eq!(Records::open(&database(&read_only)).expect("it opens").stats().expect("counted").messages, 1);
    let empty = PostgresDatabase::new();
    let error = refused(&format!("{}?options=-cdefault_transaction_read_only%3Don", empty.url));
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
}
