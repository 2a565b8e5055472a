//! How a file becomes ours: found or created, locked, and given its tables.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, FileControl, MAIN_DB, OpenFlags};

use super::failure::Failure;
use super::statements;
use crate::StoreError;
use crate::lock::FileLock;
use crate::store::{Durability, schema};

/// How long another program may hold a lock. Readers hold none that is in our way.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// The migration at index n makes version n + 1.
pub(crate) const MIGRATIONS: [&str; 2] = [include_str!("../sqlite.sql"), include_str!("../sqlite_parts.sql")];

/// `None` if another process writes it.
pub(super) fn open(
    path: &Path,
    durability: Durability,
    failure: &Failure,
) -> Result<Option<(Connection, FileLock)>, StoreError> {
    // An absolute path is never taken for a URI.
    let path = std::path::absolute(path).map_err(|error| failure.explain_file("find", path, &error))?;
    check_directory(&path, failure)?;
    let connection = connect(&path, failure)?;

    // By its true name: a file must not have two locks because it is reached in two ways.
    let real = path.canonicalize().map_err(|error| failure.explain_file("find", &path, &error))?;
    let beside = with_suffix(&real, ".lock");
    let lock =
        FileLock::try_acquire(&beside).map_err(|error| failure.explain_file("lock", &beside, &error))?;
    let Some(lock) = lock else { return Ok(None) };

    configure(&connection, durability, failure).map_err(|error| failure.explain(&error))??;
    migrate(&connection, failure)?;
    Ok(Some((connection, lock)))
}

pub(crate) fn check_directory(path: &Path, failure: &Failure) -> Result<(), StoreError> {
    if path.is_dir() {
        return Err(StoreError::Missing(failure.trouble("this is a directory; name a file in it")));
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    match directory.metadata() {
        Ok(directory) if directory.is_dir() => Ok(()),
        Ok(_) => {
            Err(StoreError::Missing(failure.trouble(format!("{} is not a directory", directory.display()))))
        }
        Err(error) => Err(failure.explain_file("find the directory", directory, &error)),
    }
}

fn connect(path: &Path, failure: &Failure) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| {
        match (error.sqlite_error_code(), create(path)) {
            // SQLite does not say why.
            (Some(ErrorCode::CannotOpen), Err(reason)) => failure.explain_file("create", path, &reason),
            _ => failure.explain(&error),
        }
    })?;
    // A file that must not be written is opened for reading instead.
    match connection.is_readonly(MAIN_DB) {
        Ok(false) => Ok(connection),
        Ok(true) => Err(StoreError::ReadOnly(failure.trouble("the file may only be read"))),
        Err(error) => Err(failure.explain(&error)),
    }
}

/// Creates the file as SQLite would, to learn what is wrong.
fn create(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn configure(
    connection: &Connection,
    durability: Durability,
    failure: &Failure,
) -> rusqlite::Result<Result<(), StoreError>> {
    connection.busy_timeout(BUSY_MAX)?;
    // Only a new file has a choice: 4 KiB hold few results, and with twice that a row took 7 % less time.
    connection.pragma_update(None, "page_size", 8192)?;
    connection.set_prepared_statement_cache_capacity(2 * statements::ALL.len());
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let reason =
            format!("its journal is '{mode}', and WAL is needed; the file system may not have shared memory");
        return Ok(Err(StoreError::Other(failure.trouble(reason))));
    }
    let synchronous = match durability {
        Durability::Power => "FULL",
        Durability::Process => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // A reader that was slow must not leave a large log behind for ever.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    // KiB. The newest pages of the tables and their indexes.
    connection.pragma_update(None, "cache_size", -16_384)?;
    // The log stays when we close: readers then need not create it, where they may not.
    let mut persist = 1;
    connection.file_control(Some(MAIN_DB), FileControl::PersistWal(&mut persist))?;
    Ok(Ok(()))
}

/// Creates or renews the tables, by one transaction.
fn migrate(connection: &Connection, failure: &Failure) -> Result<(), StoreError> {
    let explain = |error: rusqlite::Error| failure.explain_schema(&error);
    let transaction = connection.unchecked_transaction().map_err(explain)?;
    let present = present(&transaction).map_err(explain)?;
    let version = version(&transaction, &present).map_err(explain)?;
    let todo = schema::plan(&failure.database, &present, version, MIGRATIONS.len())?;
    schema::announce(&failure.database, &todo);
    for at in todo {
        transaction.execute_batch(MIGRATIONS[at]).map_err(explain)?;
        transaction.execute("DELETE FROM headcast_schema", []).map_err(explain)?;
        transaction
            .execute("INSERT INTO headcast_schema (version) VALUES (?1)", [schema::made_by(at)])
            .map_err(explain)?;
    }
    transaction.commit().map_err(explain)?;
    for sql in statements::ALL {
        connection.prepare_cached(sql).map_err(explain)?;
    }
    Ok(())
}

/// Which of our names are taken.
pub(crate) fn present(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut select =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name")?;
    let names = select.query_map([], |row| row.get::<_, String>(0))?;
    names.filter(|name| name.as_ref().map_or(true, |name| schema::NAMES.contains(&&name[..]))).collect()
}

/// The version of the tables, if they have one.
pub(crate) fn version(connection: &Connection, present: &[String]) -> rusqlite::Result<Option<i64>> {
    if !present.iter().any(|name| name == schema::NAMES[0]) {
        return Ok(None);
    }
    connection.query_row("SELECT max(version) FROM headcast_schema", [], |row| row.get(0))
}
