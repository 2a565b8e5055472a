//! What SQLite's errors mean to us.

use std::io;
use std::path::Path;

use rusqlite::ffi::{SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMSIZE, SQLITE_READONLY_DBMOVED};
use rusqlite::{Error, ErrorCode};

use crate::{StoreError, Trouble};

/// Puts the name of the database to what went wrong with it.
pub(crate) struct Failure {
    pub(crate) database: String,
}

impl Failure {
    pub(crate) fn trouble(&self, reason: impl Into<String>) -> Trouble {
        Trouble { database: self.database.clone(), reason: reason.into() }
    }

    pub(crate) fn explain(&self, error: &rusqlite::Error) -> StoreError {
        // What is asked is always the same: not understood is only what the tables are not made for.
        if let Error::SqlInputError { msg, .. } = error {
            return StoreError::Foreign(self.trouble(msg));
        }
        let trouble = self.trouble(error.to_string());
        let Some(cause) = error.sqlite_error() else { return StoreError::Other(trouble) };
        match (cause.code, cause.extended_code) {
            (_, SQLITE_READONLY_DBMOVED) => self.moved(),
            // The memory that readers and the writer share is a file too, and grows.
            (_, SQLITE_IOERR_SHMSIZE | SQLITE_IOERR_SHMMAP) | (ErrorCode::DiskFull, _) => {
                StoreError::Full(trouble)
            }
            (
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed,
                _,
            ) => StoreError::Busy(trouble),
            (ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory, _) => StoreError::Unavailable(trouble),
            (ErrorCode::ReadOnly, _) => StoreError::ReadOnly(trouble),
            (ErrorCode::PermissionDenied, _) => StoreError::Denied(trouble),
            (ErrorCode::CannotOpen, _) => StoreError::Missing(trouble),
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => StoreError::Corrupt(trouble),
            _ => StoreError::Other(trouble),
        }
    }

    /// For statements about our tables: what SQLite does not understand there is not our schema.
    pub(crate) fn explain_schema(&self, error: &rusqlite::Error) -> StoreError {
        match error {
            Error::InvalidColumnType(..) => StoreError::Foreign(self.trouble(error.to_string())),
            Error::SqliteFailure(cause, _) if cause.code == ErrorCode::Unknown => {
                StoreError::Foreign(self.trouble(error.to_string()))
            }
            _ => self.explain(error),
        }
    }

    /// What the operating system said about a file.
    pub(crate) fn explain_file(&self, what: &str, path: &Path, error: &io::Error) -> StoreError {
        let trouble = self.trouble(format!("cannot {what} {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
                StoreError::Missing(trouble)
            }
            io::ErrorKind::PermissionDenied => StoreError::Denied(trouble),
            io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly(trouble),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(trouble),
            _ => StoreError::Other(trouble),
        }
    }

    pub(crate) fn moved(&self) -> StoreError {
        StoreError::Missing(self.trouble("the file was removed or replaced while it was written"))
    }

    pub(crate) fn vanished(&self) -> StoreError {
        StoreError::Busy(self.trouble("a responder was removed while it was written"))
    }
}
