//! Which tables there are, and what has to be done to have those of today.

use std::ops::Range;

use crate::{StoreError, Trouble};

/// The names that are ours, in both kinds of database.
pub(crate) const NAMES: [&str; 7] =
    ["headcast_schema", "streams", "responders", "messages", "divergences", "responses", "records"];

/// Which of a list of migrations have to be applied, by what is there: which of [`NAMES`], and the version.
///
/// The migration at index n makes version n + 1.
pub(crate) fn plan(
    database: &str,
    present: &[String],
    version: Option<i64>,
    migrations: usize,
) -> Result<Range<usize>, StoreError> {
    let foreign = |reason| Err(StoreError::Foreign(Trouble { database: database.to_owned(), reason }));
    if present.is_empty() {
        return Ok(0..migrations);
    }
    if !present.iter().any(|name| name == NAMES[0]) {
        return foreign(format!("there is {} without headcast_schema", present.join(", ")));
    }
    let Some(found) = version else {
        return foreign("headcast_schema has no version".to_owned());
    };
    match usize::try_from(found) {
        Ok(applied) if applied > migrations => Err(StoreError::Newer {
            database: database.to_owned(),
            found,
            known: i64::try_from(migrations).unwrap_or(i64::MAX),
        }),
        Ok(applied) if applied > 0 => Ok(applied..migrations),
        _ => foreign(format!("headcast_schema has version {found}, and the first was 1")),
    }
}

/// Says that tables of an older version are about to be renewed: where there is much nothing else is heard for a while.
pub(crate) fn announce(database: &str, todo: &Range<usize>) {
    if todo.start > 0 && !todo.is_empty() {
        tracing::info!(database, from = todo.start, to = todo.end, "renewing the tables");
    }
}

/// Whether what is there can be read as it is.
pub(crate) fn check(
    database: &str,
    present: &[String],
    version: Option<i64>,
    migrations: usize,
) -> Result<(), StoreError> {
    let missing = |reason: &str| {
        Err(StoreError::Missing(Trouble { database: database.to_owned(), reason: reason.to_owned() }))
    };
    match plan(database, present, version, migrations)? {
        todo if todo.is_empty() => Ok(()),
        _ if present.is_empty() => missing("no recorder has written to it yet"),
        _ => missing("its tables are those of an older program, and the recorder of this one renews them"),
    }
}

/// The version that the migration at an index makes.
pub(crate) fn made_by(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(present: &[&str], version: Option<i64>) -> Result<Range<usize>, StoreError> {
        let present: Vec<String> = present.iter().map(|name| (*name).to_owned()).collect();
        plan("sqlite:r.db", &present, version, 3)
    }

    #[test]
    fn an_empty_database_gets_everything_and_an_older_one_what_it_lacks() {
        assert_eq!(plan_of(&[], None), Ok(0..3));
        assert_eq!(plan_of(&NAMES, Some(1)), Ok(1..3));
        assert_eq!(plan_of(&NAMES, Some(3)), Ok(3..3));
    }

    #[test]
    fn a_newer_one_and_one_that_is_not_ours_are_left_alone() {
        assert!(matches!(plan_of(&NAMES, Some(4)), Err(StoreError::Newer { found: 4, known: 3, .. })));
        for (present, version) in [
            (&["messages"][..], None),
            (&["headcast_schema"], None),
            (&["headcast_schema"], Some(0)),
            (&["headcast_schema"], Some(-1)),
        ] {
            assert!(
                matches!(plan_of(present, version), Err(StoreError::Foreign(_))),
                "{present:?} {version:?}"
            );
        }
    }
}
