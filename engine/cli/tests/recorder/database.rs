//! A database of each kind for a test.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::readers::{self, Tables};
use crate::server::Cluster;

/// An empty database that is gone with this value.
pub(crate) trait Site {
    fn new() -> Self;
    /// As the recorder is told, with its password.
    fn url(&self) -> String;
    /// Everything in it, at one moment, read past the recorder.
    fn tables(&self) -> Tables;
}

/// A file in a directory of its own.
pub(crate) struct SqliteSite(TempDir);

impl SqliteSite {
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("responses.db")
    }
}

impl Site for SqliteSite {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    /// Of a live database through a connection. Of a dead one from a copy: the last connection to a file tidies up
    /// behind a dead writer, and that is what the next recorder shall have to do.
    fn tables(&self) -> Tables {
        let lock = std::fs::File::open(self.path().with_extension("db.lock"));
        if lock.as_ref().is_ok_and(|lock| lock.try_lock().is_err()) {
            return readers::of_sqlite(&self.path());
        }
        let copy = tempfile::tempdir().expect("a directory");
        for name in ["responses.db", "responses.db-wal"] {
            let from = self.0.path().join(name);
            if from.exists() {
                std::fs::copy(from, copy.path().join(name)).expect("a copy");
            }
        }
        readers::of_sqlite(&copy.path().join("responses.db"))
    }
}

/// A database of the server that all tests share.
pub(crate) struct PostgresSite(String);

impl Site for PostgresSite {
    fn new() -> Self {
        Self(Cluster::shared().database())
    }

    fn url(&self) -> String {
        self.0.clone()
    }

    fn tables(&self) -> Tables {
        readers::of_postgres(&self.0)
    }
}
