//! What PostgreSQL's errors mean to us, by the classes of its manual's appendix A.

use std::error::Error as _;

use crate::{StoreError, Trouble};

/// Puts the name of the database to what went wrong with it.
pub(crate) struct Failure {
    pub(crate) database: String,
}

impl Failure {
    pub(crate) fn trouble(&self, reason: impl Into<String>) -> Trouble {
        Trouble { database: self.database.clone(), reason: reason.into() }
    }

    pub(crate) fn explain(&self, error: &postgres::Error) -> StoreError {
        match error.as_db_error() {
            Some(said) => by_code(said.code().code(), self.trouble(words(said))),
            None => self.explain_connection(error),
        }
    }

    /// What went wrong without the server saying so.
    fn explain_connection(&self, error: &postgres::Error) -> StoreError {
        let mut reason = error.to_string();
        // The kind of error says little; its cause says what happened.
        if let Some(cause) = error.source().map(ToString::to_string).filter(|cause| !reason.contains(cause)) {
            reason = format!("{reason}: {cause}");
        }
        if reason.contains("password") || reason.contains("authentication") {
            return StoreError::Denied(self.trouble(reason));
        }
        let is_input = error.source().is_some_and(|cause| cause.is::<std::io::Error>());
        if is_input || error.is_closed() || reason.contains("connect") || reason.contains("timeout") {
            StoreError::Unavailable(self.trouble(reason))
        } else {
            StoreError::Other(self.trouble(reason))
        }
    }

    pub(crate) fn vanished(&self) -> StoreError {
        StoreError::Busy(self.trouble("a responder was removed while it was written"))
    }
}

fn words(said: &postgres::error::DbError) -> String {
    let mut words = format!("{} ({})", said.message(), said.code().code());
    for more in [said.detail(), said.hint()].into_iter().flatten() {
        words.push_str("; ");
        words.push_str(more.trim_end_matches('.'));
    }
    words
}

fn by_code(code: &str, trouble: Trouble) -> StoreError {
    match (&code[..2.min(code.len())], code) {
        // No space on its disk; all else that it may be short of passes sooner.
        (_, "53100") => StoreError::Full(trouble),
        // No such database, dropped under our feet, or no schema to create tables in.
        (_, "3D000" | "57P04" | "3F000") => StoreError::Missing(trouble),
        (_, "25006") => StoreError::ReadOnly(trouble),
        ("28", _) | (_, "42501") => StoreError::Denied(trouble),
        ("40", _) | (_, "55P03" | "55006") => StoreError::Busy(trouble),
        // The connection was ended for being idle in a transaction, or for a transaction that took too long.
        (_, "25P02" | "25P03" | "25P04") => StoreError::Unavailable(trouble),
        (_, "XX001" | "XX002") => StoreError::Corrupt(trouble),
        // Tables, columns or types that are not those that were asked for.
        (_, "42P01" | "42703" | "42P07" | "42P10" | "42804" | "42809" | "42883" | "42846" | "23502") => {
            StoreError::Foreign(trouble)
        }
        // Broken connections, no resources, shutting down or starting, and its operating system.
        ("08" | "53" | "57" | "58", _) => StoreError::Unavailable(trouble),
        _ => StoreError::Other(trouble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_by_what_can_be_done() {
        for (code, name) in [
            ("53100", "full"),
            ("53300", "unavailable"),
            ("57P01", "unavailable"),
            ("57P03", "unavailable"),
            ("08006", "unavailable"),
            ("58030", "unavailable"),
            ("3D000", "missing"),
            ("3F000", "missing"),
            ("28P01", "denied"),
            ("28000", "denied"),
            ("42501", "denied"),
            ("25006", "read_only"),
            ("25P03", "unavailable"),
            ("40001", "busy"),
            ("55P03", "busy"),
            ("XX001", "corrupt"),
            ("42P01", "foreign"),
            ("42703", "foreign"),
            ("XX000", "other"),
            ("", "other"),
        ] {
            let trouble = Trouble { database: "postgres://db/r".into(), reason: "why".into() };
            assert_eq!(by_code(code, trouble).name(), name, "{code}");
        }
    }
}
