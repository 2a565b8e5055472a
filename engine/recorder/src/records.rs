//! Reads what a recorder has stored, also while it stores more.

mod postgres;
mod sql;
mod sqlite;

use std::ops::ControlFlow;

use crate::{Database, Responder, StoreError, Subject};
use sql::{Position, Row};

/// How many messages are read at a time. Nothing is locked and no snapshot is held while they are looked at,
/// however long that takes.
const PAGE: usize = 256;

/// A database that is read. Nothing in it is changed, no file is created, and no recorder is in the way.
///
/// It blocks, and with PostgreSQL it must not be used on a thread of an asynchronous runtime.
pub struct Records {
    reader: Box<dyn Reader>,
}

/// Which messages are wanted: those that satisfy all that is said here.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Filter {
    /// Only of this publisher.
    pub publisher: Option<u32>,
    /// Only of this session of a publisher.
    pub session: Option<u64>,
    /// Only of streams with this number.
    pub stream: Option<u16>,
    /// Only those whose first result was received then or later, in nanoseconds since the Unix epoch.
    pub since_ns: Option<u64>,
    /// Only those whose first result was received before.
    pub until_ns: Option<u64>,
    /// Only those about which somebody said something else.
    pub divergent: bool,
    /// Only so many of them: the earliest.
    pub limit: Option<u64>,
}

/// What is stored of one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The message.
    pub subject: Subject,
    /// The first result.
    pub result: Vec<u8>,
    /// Who gave it.
    pub responder: Responder,
    /// Where the newest response of that responder came from.
    pub address: String,
    /// When the first result was received, in nanoseconds since the Unix epoch.
    pub recorded_ns: u64,
    /// How many have responded.
    pub responses: u64,
    /// How many of them said something else.
    pub divergent: u64,
    /// Who said what else, by time.
    pub divergences: Vec<Divergence>,
}

/// A result that is not the first of its message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// Who gave it.
    pub responder: Responder,
    /// Where the newest response of that responder came from.
    pub address: String,
    /// What it said.
    pub result: Vec<u8>,
    /// When it was received, in nanoseconds since the Unix epoch.
    pub recorded_ns: u64,
}

/// What a database has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Messages with a result.
    pub messages: u64,
    /// Responses to them.
    pub responses: u64,
    /// Messages about which not all said the same.
    pub divergent_messages: u64,
    /// Responses that differ from the first result of their message.
    pub divergent_responses: u64,
    /// Publishers of these messages.
    pub publishers: u64,
    /// Their streams, each run of a publisher by itself.
    pub streams: u64,
    /// Responders, each run of a subscriber by itself.
    pub responders: u64,
    /// When the first of the first results was received, in nanoseconds since the Unix epoch.
    pub first_ns: Option<u64>,
    /// And the last.
    pub last_ns: Option<u64>,
    /// Bytes of the database; with PostgreSQL all of it, whatever else is in it.
    pub bytes: u64,
}

impl Records {
    /// Opens a database that a recorder has written to.
    ///
    /// # Errors
    /// When it cannot be opened, or no recorder has ever written there.
    pub fn open(database: &Database) -> Result<Self, StoreError> {
        let reader: Box<dyn Reader> = match database {
            Database::Sqlite(path) => Box::new(sqlite::Sqlite::open(path, database.to_string())?),
            Database::Postgres(config) => Box::new(postgres::Postgres::open(config, database.to_string())?),
        };
        Ok(Self { reader })
    }

    /// Gives all messages that are wanted to `each` until it breaks: by time, and those of the same time by stream,
    /// sequence and part. What is stored meanwhile may be among them or not.
    ///
    /// # Errors
    /// When the database fails; what was given by then was right.
    pub fn query(
        &mut self,
        filter: &Filter,
        mut each: impl FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut left = filter.limit.unwrap_or(u64::MAX);
        let mut after = None;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(PAGE, |left| left.min(PAGE));
            let page = self.page(filter, after, wanted)?;
            let is_last = page.len() < wanted;
            left -= page.len() as u64;
            for (position, record) in page {
                after = Some(position);
                if each(record).is_break() {
                    return Ok(());
                }
            }
            if is_last {
                return Ok(());
            }
        }
        Ok(())
    }

    fn page(
        &mut self,
        filter: &Filter,
        after: Option<Position>,
        rows_max: usize,
    ) -> Result<Vec<(Position, Record)>, StoreError> {
        let (statement, arguments) = sql::messages(filter, after, rows_max);
        let mut page = Vec::with_capacity(rows_max);
        self.reader.read(&statement, &arguments, &mut |row| {
            page.push(sql::record(row)?);
            Ok(())
        })?;
        for (position, record) in page.iter_mut().filter(|(_, record)| record.divergent > 0) {
            let key = [position.stream_id, position.seq, position.part];
            self.reader.read(sql::DIVERGENCES, &key, &mut |row| {
                record.divergences.push(sql::divergence(row)?);
                Ok(())
            })?;
        }
        Ok(page)
    }

    /// Counts everything; that takes a while where there is much.
    ///
    /// # Errors
    /// When the database fails.
    pub fn stats(&mut self) -> Result<Stats, StoreError> {
        let mut stats = Stats::default();
        self.reader.read(sql::STATS, &[], &mut |row| {
            sql::count(row, &mut stats)?;
            Ok(())
        })?;
        let bytes = self.reader.bytes_statement();
        self.reader.read(bytes, &[], &mut |row| {
            stats.bytes = row.integer(0)?.cast_unsigned();
            Ok(())
        })?;
        Ok(stats)
    }
}

/// What a kind of database has to offer to be read.
trait Reader: Send {
    /// Gives each row of a statement to `each`.
    fn read(
        &mut self,
        statement: &str,
        arguments: &[i64],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;

    /// The statement that gives the size of the database.
    fn bytes_statement(&self) -> &'static str;
}
