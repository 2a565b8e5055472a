//! All tables of a database, read directly.

use std::collections::HashMap;
use std::path::Path;

use postgres::fallible_iterator::FallibleIterator as _;
use rusqlite::OpenFlags;

/// A message: publisher, session, stream, sequence, part.
pub(crate) type Subject = (u32, u64, u16, u64, u16);
/// A run of a responder: its number and its session.
pub(crate) type Who = (u32, u64);

/// A response: whose, and its number there.
pub(crate) type ResponseId = (Who, u64);

/// What is in a database.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) messages: HashMap<Subject, State>,
    /// The first response that is not stored.
    pub(crate) responders: HashMap<Who, u64>,
    /// Filled with `--keep-all` only.
    pub(crate) responses: HashMap<ResponseId, Said>,
    pub(crate) divergences: HashMap<ResponseId, Said>,
}

/// The row of a message.
pub(crate) struct State {
    pub(crate) result: Vec<u8>,
    pub(crate) responder: Who,
    pub(crate) recorded_ns: i64,
    pub(crate) responses: u64,
    pub(crate) divergent: u64,
}

/// The row of a response, or of one that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    pub(crate) subject: Subject,
    pub(crate) result: Vec<u8>,
    pub(crate) recorded_ns: i64,
}

/// Calls for each row of a statement with its leading integers and its last column, if that is bytes.
trait Rows {
    fn each(&mut self, sql: &str, integers: usize, row: &mut dyn FnMut(&[i64], Vec<u8>));
}

pub(crate) fn of_sqlite(path: &Path) -> Tables {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = rusqlite::Connection::open_with_flags(path, flags).expect("the file opens");
    let mut transaction = connection.transaction().expect("a transaction");
    let check: String = transaction.query_row("PRAGMA quick_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(check, "ok");
    load(&mut transaction)
}

pub(crate) fn of_postgres(url: &str) -> Tables {
    let mut client = postgres::Client::connect(url, postgres::NoTls).expect("it lets us in");
    let transaction = client.build_transaction().isolation_level(postgres::IsolationLevel::RepeatableRead);
    load(&mut transaction.read_only(true).start().expect("a transaction"))
}

fn load(rows: &mut dyn Rows) -> Tables {
    let mut tables = Tables::default();
    let mut streams = HashMap::new();
    rows.each("SELECT id, publisher, session, stream FROM streams", 4, &mut |of, _| {
        let stream = (number(of[1]), of[2].cast_unsigned(), number::<u16>(of[3]));
        assert!(streams.insert(of[0], stream).is_none());
    });
    let mut whos = HashMap::new();
    rows.each("SELECT id, publisher, session, next FROM responders", 4, &mut |of, _| {
        let who = (number(of[1]), of[2].cast_unsigned());
        whos.insert(of[0], who);
        assert!(tables.responders.insert(who, of[3].cast_unsigned()).is_none(), "{who:?} is there twice");
    });
    let subject = |stream: i64, seq: i64, part: i64| {
        let (publisher, session, stream) = streams[&stream];
        (publisher, session, stream, seq.cast_unsigned(), number(part))
    };
    let sql =
        "SELECT stream_id, seq, part, responder_id, recorded_ns, responses, divergent, result FROM messages";
    rows.each(sql, 7, &mut |of, result| {
        let subject = subject(of[0], of[1], of[2]);
        let (responses, divergent) = (of[5].cast_unsigned(), of[6].cast_unsigned());
        let state = State { result, responder: whos[&of[3]], recorded_ns: of[4], responses, divergent };
        assert!(tables.messages.insert(subject, state).is_none(), "{subject:?} is there twice");
    });
    for (table, into) in [("responses", &mut tables.responses), ("divergences", &mut tables.divergences)] {
        let sql = format!(
            "SELECT stream_id, seq, part, responder_id, response_seq, recorded_ns, result FROM {table}"
        );
        rows.each(&sql, 6, &mut |of, result| {
            let said = Said { subject: subject(of[0], of[1], of[2]), result, recorded_ns: of[5] };
            let key = (whos[&of[3]], of[4].cast_unsigned());
            assert!(into.insert(key, said).is_none(), "{key:?} is there twice in {table}");
        });
    }
    tables
}

fn number<T: TryFrom<i64>>(of: i64) -> T {
    T::try_from(of).unwrap_or_else(|_| panic!("{of} is out of range"))
}

impl Rows for rusqlite::Transaction<'_> {
    fn each(&mut self, sql: &str, integers: usize, row: &mut dyn FnMut(&[i64], Vec<u8>)) {
        let mut statement = self.prepare(sql).expect(sql);
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect(sql);
        let mut of = vec![0; integers];
        while let Some(next) = rows.next().expect(sql) {
            for (at, of) in of.iter_mut().enumerate() {
                *of = next.get(at).expect(sql);
            }
            row(&of, if columns > integers { next.get(integers).expect(sql) } else { Vec::new() });
        }
    }
}

impl Rows for postgres::Transaction<'_> {
    fn each(&mut self, sql: &str, integers: usize, row: &mut dyn FnMut(&[i64], Vec<u8>)) {
        let mut rows = self.query_raw(sql, std::iter::empty::<i64>()).expect(sql);
        let mut of = vec![0; integers];
        while let Some(next) = rows.next().expect(sql) {
            for (at, of) in of.iter_mut().enumerate() {
                *of = next.get(at);
            }
            row(&of, if next.len() > integers { next.get(integers) } else { Vec::new() });
        }
    }
}
