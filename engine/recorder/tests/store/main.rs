//! What the store promises, on each kind of database.

mod fixture;
mod parts;
mod postgres;
#[path = "../support/postgres.rs"]
mod postgres_server;
mod property;
mod records;
mod renewed;
mod semantics;
mod sqlite;

/// Makes a test of each function, once for each kind of database.
macro_rules! on_every_kind {
    ($($name:ident)*) => {
        mod on_sqlite { $(#[test] fn $name() { super::$name::<crate::fixture::SqliteFile>(); })* }
        mod on_postgres { $(#[test] fn $name() { super::$name::<crate::fixture::PostgresDatabase>(); })* }
    };
}
pub(crate) use on_every_kind;
