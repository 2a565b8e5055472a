//! A database of each kind for a test, and what is in it.

use std::time::{Duration, Instant};

use headcast_recorder::{Batch, Database, Options, Receipt, Responder, Response, Store, Subject, Tally};

use crate::postgres_server::Cluster;

/// A value of a row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Cell {
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    Null,
}

/// A result that makes a poisoned database fail.
pub(crate) const POISON: &[u8] = b"poison";

/// An empty database that is gone with this value.
pub(crate) trait Fixture {
    fn new() -> Self;
    fn database(&self) -> Database;
    /// What a statement gives, asked past the store. The statements of the tests are the same for all kinds.
    fn rows(&self, sql: &str) -> Vec<Vec<Cell>>;

    /// The tables as version 1 had them.
    const VERSION_1: &str;
    /// The type of its numbers.
    const INTEGER: &str;
    /// Bytes as they are written in a statement.
    fn literal(bytes: &[u8]) -> String;
    /// Runs statements past the store.
    fn run(&self, sql: &str);

    /// From now on a message whose first result is [`POISON`] fails.
    fn poison(&self);

    /// A server needs a moment to notice that the store before is gone.
    fn open_with(&self, options: Options) -> Store {
        let until = now() + Duration::from_secs(10);
        loop {
            if let Some(store) = Store::open(&self.database(), options).expect("it opens") {
                return store;
            }
            assert!(now() < until, "somebody else writes");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn open(&self) -> Store {
        self.open_with(Options::default())
    }

    fn integer(&self, sql: &str) -> i64 {
        match self.rows(sql)[0][0] {
            Cell::Integer(value) => value,
            ref other => panic!("{sql} gave {other:?}"),
        }
    }

    /// All that is stored, by names and not by ids, so that it can be compared between databases.
    fn dump(&self) -> Dump {
        let rows = |sql: &str| {
            let mut rows = self.rows(sql);
            rows.sort();
            rows
        };
        let who = "JOIN streams s ON s.id = x.stream_id JOIN responders r ON r.id = x.responder_id";
        let key = "s.publisher, s.session, s.stream, x.seq, x.part, r.publisher, r.session";
        Dump {
            responders: rows("SELECT publisher, session, next, bitmap, address, heard_ns FROM responders"),
            messages: rows(&format!(
                "SELECT {key}, x.result, x.recorded_ns, x.responses, x.divergent FROM messages x {who}"
            )),
            divergences: rows(&format!(
                "SELECT {key}, x.response_seq, x.result, x.recorded_ns FROM divergences x {who}"
            )),
            responses: rows(&format!(
                "SELECT {key}, x.response_seq, x.result, x.recorded_ns FROM responses x {who}"
            )),
            counts: ["streams", "responders", "messages", "divergences", "responses"]
                .map(|table| self.integer(&format!("SELECT count(*) FROM {table}"))),
        }
    }
}

/// What is in a database, each table sorted.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Dump {
    pub(crate) responders: Vec<Vec<Cell>>,
    pub(crate) messages: Vec<Vec<Cell>>,
    pub(crate) divergences: Vec<Vec<Cell>>,
    pub(crate) responses: Vec<Vec<Cell>>,
    /// Rows of streams and of the four above, those included whose ids lead nowhere.
    pub(crate) counts: [i64; 5],
}

#[expect(clippy::disallowed_methods, reason = "a test waits for another program")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A response, told in a line: responder 1000 + n, message m of one stream.
pub(crate) fn response(responder: u32, seq: u64, message: u64, result: &[u8]) -> Response<'_> {
    Response {
        responder: Responder { publisher: 1000 + responder, session: 0x1b00 + u64::from(responder) },
        seq,
        held_from: 1,
        source: (std::net::Ipv4Addr::from_bits(0x0a00_0000 + responder), 7000).into(),
        received_ns: 1_000_000 + seq,
        subject: Subject { publisher: 5, session: 0x2a, stream: 3, seq: message, part: 0 },
        result,
    }
}

/// The same to another message of that datagram.
pub(crate) fn to_part(part: u16, response: Response<'_>) -> Response<'_> {
    Response { subject: Subject { part, ..response.subject }, ..response }
}

/// Responses in a batch that has just room for them.
pub(crate) fn batch(responses: &[Response<'_>]) -> Batch {
    let mut batch = Batch::new(responses.len(), responses.iter().map(|response| response.result.len()).sum());
    for response in responses {
        assert!(batch.push(response));
    }
    batch
}

/// Writes what has to succeed.
pub(crate) fn write(store: &mut Store, responses: &[Response<'_>]) -> (Tally, Vec<Receipt>) {
    let mut receipts = Vec::new();
    let tally = store.write(&batch(responses), &mut receipts).expect("it is written");
    (tally, receipts)
}

/// The numbers among the values of a row.
pub(crate) fn integers(row: &[Cell]) -> Vec<i64> {
    row.iter().filter_map(|cell| if let Cell::Integer(value) = cell { Some(*value) } else { None }).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file in a directory of its own.
pub(crate) struct SqliteFile {
    pub(crate) directory: tempfile::TempDir,
}

impl SqliteFile {
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("responses.db")
    }
}

impl Fixture for SqliteFile {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn database(&self) -> Database {
        Database::Sqlite(self.path())
    }

    const VERSION_1: &str = include_str!("../../src/store/sqlite.sql");
    const INTEGER: &str = "INTEGER";

    fn literal(bytes: &[u8]) -> String {
        format!("X'{}'", hex(bytes))
    }

    fn run(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.path()).expect("the file opens");
        connection.execute_batch(sql).expect(sql);
    }

    fn poison(&self) {
        let trigger = "CREATE TRIGGER poison AFTER INSERT ON messages WHEN NEW.result = CAST('poison' AS BLOB) \
                       BEGIN SELECT RAISE(ABORT, 'poison'); END";
        self.run(trigger);
    }

    fn rows(&self, sql: &str) -> Vec<Vec<Cell>> {
        let connection = rusqlite::Connection::open(self.path()).expect("the file opens");
        let mut statement = connection.prepare(sql).expect(sql);
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| Ok(cell(row.get_ref(at)?))).collect());
        rows.expect(sql).collect::<Result<_, _>>().expect(sql)
    }
}

fn cell(value: rusqlite::types::ValueRef<'_>) -> Cell {
    use rusqlite::types::ValueRef;
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::Integer(value),
        ValueRef::Real(value) => panic!("no column has fractions: {value}"),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
    }
}

/// A database on the server that all tests share.
pub(crate) struct PostgresDatabase {
    pub(crate) url: String,
}

impl Fixture for PostgresDatabase {
    fn new() -> Self {
        Self { url: Cluster::shared().database() }
    }

    fn database(&self) -> Database {
        self.url.parse().expect("a name")
    }

    const VERSION_1: &str = include_str!("../../src/store/postgres.sql");
    const INTEGER: &str = "bigint";

    fn literal(bytes: &[u8]) -> String {
        format!("'\\x{}'::bytea", hex(bytes))
    }

    fn run(&self, sql: &str) {
        let mut client = ::postgres::Client::connect(&self.url, ::postgres::NoTls).expect("it is up");
        client.batch_execute(sql).expect(sql);
    }

    fn poison(&self) {
        let trigger = "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                       IF NEW.result = 'poison'::bytea THEN RAISE 'poison'; END IF; RETURN NEW; END $$; \
                       CREATE TRIGGER poison AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION poison()";
        self.run(trigger);
    }

    fn rows(&self, sql: &str) -> Vec<Vec<Cell>> {
        let mut client = ::postgres::Client::connect(&self.url, ::postgres::NoTls).expect("it is up");
        let rows = client.query(sql, &[]).expect(sql);
        rows.iter().map(|row| (0..row.len()).map(|at| postgres_cell(row, at)).collect()).collect()
    }
}

fn postgres_cell(row: &::postgres::Row, at: usize) -> Cell {
    use ::postgres::types::Type;
    let kind = row.columns()[at].type_().clone();
    let cell = match kind {
        Type::INT8 => row.get::<_, Option<i64>>(at).map(Cell::Integer),
        Type::TEXT => row.get::<_, Option<String>>(at).map(Cell::Text),
        Type::BYTEA => row.get::<_, Option<Vec<u8>>>(at).map(Cell::Bytes),
        other => panic!("no column is {other}"),
    };
    cell.unwrap_or(Cell::Null)
}
