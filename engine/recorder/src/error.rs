//! What can go wrong with a database, each with what would be right.

use std::fmt;

/// Why a database could not be opened, written or read.
///
/// Whatever it is: nothing was stored by the call that returned it, except that the outcome of a commit
/// whose connection broke is not known. To write the same batch again is right in every case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreError {
    /// It cannot be reached now: refused, cut off, starting, shutting down, or too slow.
    Unavailable(Trouble),
    /// Somebody else holds a lock on it: another program, or an operator's transaction.
    Busy(Trouble),
    /// Another recorder became its writer while this one was cut off.
    Taken(Trouble),
    /// No room is left.
    Full(Trouble),
    /// It can be read and not written.
    ReadOnly(Trouble),
    /// A wrong password, or a role, a file or a directory without the permission.
    Denied(Trouble),
    /// There is no such host, database, schema, directory or file.
    Missing(Trouble),
    /// It is damaged, or no database at all.
    Corrupt(Trouble),
    /// It has tables with the names of ours that are not ours.
    Foreign(Trouble),
    /// A newer program has changed its tables.
    Newer {
        /// Which database.
        database: String,
        /// The version of its tables.
        found: i64,
        /// The highest version that this program knows.
        known: i64,
    },
    /// Anything else.
    Other(Trouble),
}

/// What was wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// Which database, without its password.
    pub database: String,
    /// What it said.
    pub reason: String,
}

impl StoreError {
    /// Whether it may pass without anybody doing something about the program that says it: worth trying again.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Busy(_) | Self::Taken(_) | Self::Full(_) => true,
            Self::ReadOnly(_)
            | Self::Denied(_)
            | Self::Missing(_)
            | Self::Corrupt(_)
            | Self::Foreign(_)
            | Self::Newer { .. }
            | Self::Other(_) => false,
        }
    }

    /// A word for it: for counters and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Busy(_) => "busy",
            Self::Taken(_) => "taken",
            Self::Full(_) => "full",
            Self::ReadOnly(_) => "read_only",
            Self::Denied(_) => "denied",
            Self::Missing(_) => "missing",
            Self::Corrupt(_) => "corrupt",
            Self::Foreign(_) => "foreign",
            Self::Newer { .. } => "newer",
            Self::Other(_) => "other",
        }
    }

    /// What was wrong, and what would be right.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unavailable(_) => ("cannot be reached", "it is tried again where that can help"),
            Self::Busy(_) => ("is locked by another program", "end the transaction that holds the lock"),
            Self::Taken(_) => ("has another recorder now", "one recorder writes, all others stand by"),
            Self::Full(_) => ("has no room left", "make room on its disk"),
            Self::ReadOnly(_) => ("cannot be written", "the recorder needs one that takes writes"),
            Self::Denied(_) => ("does not let us in", "check the user, the password and the permissions"),
            Self::Missing(_) => ("is not there", "check the name, or create it"),
            Self::Corrupt(_) => ("is damaged or no database", "restore it from a backup, or name another"),
            Self::Foreign(_) => (
                "has tables of other programs under the names that are needed",
                "give it a schema of its own",
            ),
            Self::Newer { .. } => ("was changed by a newer program", "run that version or a newer one"),
            Self::Other(_) => ("failed", "this was not foreseen"),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wrong, right) = self.words();
        match self {
            Self::Newer { database, found, known } => {
                write!(
                    f,
                    "{database} {wrong}: its tables have version {found}, known here is {known}; {right}"
                )
            }
            Self::Unavailable(trouble)
            | Self::Busy(trouble)
            | Self::Taken(trouble)
            | Self::Full(trouble)
            | Self::ReadOnly(trouble)
            | Self::Denied(trouble)
            | Self::Missing(trouble)
            | Self::Corrupt(trouble)
            | Self::Foreign(trouble)
            | Self::Other(trouble) => write!(f, "{} {wrong}: {}; {right}", trouble.database, trouble.reason),
        }
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_what_would_be_right() {
        let trouble = Trouble { database: "sqlite:/data/r.db".into(), reason: "disk is full".into() };
        assert_eq!(
            StoreError::Full(trouble).to_string(),
            "sqlite:/data/r.db has no room left: disk is full; make room on its disk"
        );
        let newer = StoreError::Newer { database: "sqlite:r.db".into(), found: 9, known: 1 };
        assert_eq!(
            newer.to_string(),
            "sqlite:r.db was changed by a newer program: its tables have version 9, known here is 1; run that version or a newer one"
        );
    }
}
