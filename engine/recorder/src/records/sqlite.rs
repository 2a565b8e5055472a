//! Reads a file, whoever writes it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::{Reader, Row};
use crate::StoreError;
use crate::store::schema;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::open::{MIGRATIONS, check_directory, present, version, with_suffix};

/// How long another program may hold a lock that is in the way of reading, which is short.
const BUSY_MAX: Duration = Duration::from_secs(5);

pub(super) struct Sqlite {
    connection: Connection,
    failure: Failure,
}

impl Sqlite {
    pub(super) fn open(path: &Path, database: String) -> Result<Self, StoreError> {
        let failure = Failure { database };
        let path = std::path::absolute(path).map_err(|error| failure.explain_file("find", path, &error))?;
        check_directory(&path, &failure)?;
        // By its true name, beside which its log is.
        let path = path.canonicalize().map_err(|error| failure.explain_file("find", &path, &error))?;
        let connection = connect(&path).map_err(|error| failure.explain(&error))?;
        connection.busy_timeout(BUSY_MAX).map_err(|error| failure.explain(&error))?;

        let explain = |error: rusqlite::Error| failure.explain_schema(&error);
        let present = present(&connection).map_err(explain)?;
        let version = version(&connection, &present).map_err(explain)?;
        schema::check(&failure.database, &present, version, MIGRATIONS.len())?;
        Ok(Self { connection, failure })
    }
}

/// A recorder that runs has a log beside its file, and one that has stopped leaves it there. Without it this is
/// a copy, which nobody changes; then nothing needs to be created to read it.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if with_suffix(path, "-wal").exists() {
        return Connection::open_with_flags(path, flags);
    }
    let name = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Connection::open_with_flags(format!("file:{name}?immutable=1"), flags | OpenFlags::SQLITE_OPEN_URI)
}

impl Reader for Sqlite {
    fn read(
        &mut self,
        statement: &str,
        arguments: &[i64],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let explain = |error: rusqlite::Error| self.failure.explain(&error);
        let mut statement = self.connection.prepare_cached(statement).map_err(explain)?;
        let mut rows = statement.query(params_from_iter(arguments)).map_err(explain)?;
        while let Some(row) = rows.next().map_err(explain)? {
            each(&Found { row, failure: &self.failure })?;
        }
        Ok(())
    }

    fn bytes_statement(&self) -> &'static str {
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    }
}

struct Found<'a> {
    row: &'a rusqlite::Row<'a>,
    failure: &'a Failure,
}

impl Found<'_> {
    fn get<T: rusqlite::types::FromSql>(&self, column: usize) -> Result<T, StoreError> {
        self.row.get(column).map_err(|error| self.failure.explain(&error))
    }
}

impl Row for Found<'_> {
    fn integer_or_null(&self, column: usize) -> Result<Option<i64>, StoreError> {
        self.get(column)
    }

    fn text(&self, column: usize) -> Result<String, StoreError> {
        self.get(column)
    }

    fn bytes(&self, column: usize) -> Result<Vec<u8>, StoreError> {
        self.get(column)
    }
}
