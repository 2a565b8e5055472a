//! Reads from a server, whoever writes there; a standby will do.

use postgres::types::{FromSql, ToSql};
use postgres::{Client, Config, NoTls};

use super::{Reader, Row};
use crate::StoreError;
use crate::store::postgres::connect::{MIGRATIONS, present, version, with_timeouts};
use crate::store::postgres::failure::Failure;
use crate::store::schema;

pub(super) struct Postgres {
    client: Client,
    failure: Failure,
}

impl Postgres {
    pub(super) fn open(config: &Config, database: String) -> Result<Self, StoreError> {
        let failure = Failure { database };
        let explain = |error: postgres::Error| failure.explain(&error);
        let mut client = with_timeouts(config).connect(NoTls).map_err(explain)?;
        client.batch_execute("SET default_transaction_read_only = on").map_err(explain)?;
        let present = present(&mut client).map_err(explain)?;
        let version = version(&mut client, &present).map_err(explain)?;
        schema::check(&failure.database, &present, version, MIGRATIONS.len())?;
        Ok(Self { client, failure })
    }
}

impl Reader for Postgres {
    fn read(
        &mut self,
        statement: &str,
        arguments: &[i64],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let arguments: Vec<&(dyn ToSql + Sync)> =
            arguments.iter().map(|argument| argument as &(dyn ToSql + Sync)).collect();
        let rows = self.client.query(statement, &arguments).map_err(|error| self.failure.explain(&error))?;
        rows.iter().try_for_each(|row| each(&Found { row, failure: &self.failure }))
    }

    fn bytes_statement(&self) -> &'static str {
        "SELECT pg_database_size(current_database())"
    }
}

struct Found<'a> {
    row: &'a postgres::Row,
    failure: &'a Failure,
}

impl Found<'_> {
    fn get<'b, T: FromSql<'b>>(&'b self, column: usize) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|error| self.failure.explain(&error))
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
