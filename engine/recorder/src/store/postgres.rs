//! PostgreSQL: one connection, which also holds the lock that makes us the only writer.
//!
//! So it must be a session of the server for as long as it lasts: a pooler that hands connections on after each
//! transaction will not do.
//!
//! Each step is one statement for all rows of a batch, which come as arrays.

pub(crate) mod connect;
pub(crate) mod failure;
mod statements;

use std::collections::HashMap;

use postgres::types::ToSql;
use postgres::{Client, Config, Statement};

use super::Options;
use super::backend::{
    Amendment, Backend, Begun, Enrolled, Key, Mismatch, Progress, Row, Said, Stream, Upserted,
};
use crate::{Responder, StoreError};
use connect::with_timeouts;
use failure::Failure;
use statements::Statements;

/// A server that this process alone writes to, under the tables of one schema.
pub(super) struct Postgres {
    config: Config,
    options: Options,
    failure: Failure,
    /// `None` after an error that broke it: the next transaction connects again.
    session: Option<Session>,
    /// Whether a transaction is open, or may be.
    is_open: bool,
    /// Whether nothing has been begun since it connected.
    is_renewed: bool,
}

/// A connection with the lock, and the statements prepared on it.
pub(super) struct Session {
    client: Client,
    statements: Statements,
}

impl Postgres {
    /// `None` if another process writes there.
    pub(super) fn open(
        config: &Config,
        database: String,
        options: Options,
    ) -> Result<Option<Self>, StoreError> {
        let failure = Failure { database };
        let config = with_timeouts(config);
        let Some(session) = connect::connect(&config, options.durability, &failure)? else { return Ok(None) };
        let session = Some(session);
        Ok(Some(Self { config, options, failure, session, is_open: false, is_renewed: true }))
    }

    /// Connects, unless it is connected.
    fn ensure_connected(&mut self) -> Result<(), StoreError> {
        if self.session.as_ref().is_some_and(|session| !session.client.is_closed()) {
            return Ok(());
        }
        self.session = None;
        match connect::connect(&self.config, self.options.durability, &self.failure)? {
            Some(session) => {
                self.session = Some(session);
                self.is_renewed = true;
                Ok(())
            }
            // It may also be our own connection, of which the server does not know yet that it is dead.
            None => Err(StoreError::Taken(self.failure.trouble("the lock of the writer is held"))),
        }
    }

    /// Does something on the connection. One that broke is given up, and with it the lock.
    fn run<T>(
        &mut self,
        what: impl FnOnce(&mut Client, &Statements) -> Result<T, postgres::Error>,
    ) -> Result<T, StoreError> {
        let Some(session) = &mut self.session else {
            return Err(StoreError::Unavailable(self.failure.trouble("the connection was lost")));
        };
        let result = what(&mut session.client, &session.statements);
        if session.client.is_closed() {
            self.session = None;
        }
        result.map_err(|error| self.failure.explain(&error))
    }

    fn say(
        &mut self,
        statement: impl FnOnce(&Statements) -> &Statement,
        all: &[Said<'_>],
    ) -> Result<(), StoreError> {
        let keys = Keys::of(all.iter().map(|said| said.key));
        let responder_ids: Vec<i64> = all.iter().map(|said| said.responder_id).collect();
        let response_seqs: Vec<i64> = all.iter().map(|said| said.response_seq.cast_signed()).collect();
        let results: Vec<&[u8]> = all.iter().map(|said| said.result).collect();
        let recorded: Vec<i64> = all.iter().map(|said| said.recorded_ns.cast_signed()).collect();
        let columns: [&(dyn ToSql + Sync); 7] =
            [&keys.stream_ids, &keys.seqs, &keys.parts, &responder_ids, &response_seqs, &results, &recorded];
        self.run(|client, statements| client.execute(statement(statements), &columns)).map(|_| ())
    }
}

impl Backend for Postgres {
    fn begin(&mut self) -> Result<Begun, StoreError> {
        self.ensure_connected()?;
        self.is_open = true;
        // Whatever the server's defaults are.
        self.run(|client, _| client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"))?;
        let renewed = std::mem::take(&mut self.is_renewed);
        Ok(if renewed { Begun::Changed } else { Begun::Same })
    }

    fn responders(&mut self, responders: &[Responder]) -> Result<Vec<Option<Enrolled>>, StoreError> {
        let publishers: Vec<i64> = responders.iter().map(|responder| responder.publisher.into()).collect();
        let sessions: Vec<i64> = responders.iter().map(|responder| responder.session.cast_signed()).collect();
        let mut found: Vec<Option<Enrolled>> = responders.iter().map(|_| None).collect();
        self.run(|client, statements| {
            for row in client.query(&statements.responders, &[&publishers, &sessions])? {
                let next: i64 = row.try_get(2)?;
                let enrolled =
                    Enrolled { id: row.try_get(1)?, next: next.cast_unsigned(), bitmap: row.try_get(3)? };
                if let Some(place) = place(row.try_get(0)?).and_then(|at| found.get_mut(at)) {
                    *place = Some(enrolled);
                }
            }
            Ok(found)
        })
    }

    fn enrol(&mut self, newcomers: &[Progress]) -> Result<Vec<i64>, StoreError> {
        let publishers: Vec<i64> = newcomers.iter().map(|new| new.responder.publisher.into()).collect();
        let sessions: Vec<i64> = newcomers.iter().map(|new| new.responder.session.cast_signed()).collect();
        let columns = Columns::of(newcomers);
        let mut ids = vec![0; newcomers.len()];
        self.run(|client, statements| {
            let all: [&(dyn ToSql + Sync); 6] =
                [&publishers, &sessions, &columns.next, &columns.bitmaps, &columns.addresses, &columns.heard];
            for row in client.query(&statements.enrol, &all)? {
                if let Some(id) = place(row.try_get(0)?).and_then(|at| ids.get_mut(at)) {
                    *id = row.try_get(1)?;
                }
            }
            Ok(ids)
        })
    }

    fn progress(&mut self, responders: &[Progress]) -> Result<(), StoreError> {
        let ids: Vec<Option<i64>> = responders.iter().map(|responder| responder.id).collect();
        let columns = Columns::of(responders);
        let all: [&(dyn ToSql + Sync); 5] =
            [&ids, &columns.next, &columns.bitmaps, &columns.addresses, &columns.heard];
        let changed = self.run(|client, statements| client.execute(&statements.progress, &all))?;
        if changed == responders.len() as u64 { Ok(()) } else { Err(self.failure.vanished()) }
    }

    fn streams(&mut self, streams: &[Stream]) -> Result<Vec<i64>, StoreError> {
        let publishers: Vec<i64> = streams.iter().map(|stream| stream.publisher.into()).collect();
        let sessions: Vec<i64> = streams.iter().map(|stream| stream.session.cast_signed()).collect();
        let numbers: Vec<i64> = streams.iter().map(|stream| stream.stream.into()).collect();
        let mut ids = vec![0; streams.len()];
        self.run(|client, statements| {
            for row in client.query(&statements.streams, &[&publishers, &sessions, &numbers])? {
                if let Some(id) = place(row.try_get(0)?).and_then(|at| ids.get_mut(at)) {
                    *id = row.try_get(1)?;
                }
            }
            Ok(ids)
        })
    }

    fn upsert(&mut self, rows: &[Row<'_>]) -> Result<Upserted, StoreError> {
        let keys = Keys::of(rows.iter().map(|row| row.key));
        let results: Vec<&[u8]> = rows.iter().map(|row| row.result).collect();
        let responder_ids: Vec<i64> = rows.iter().map(|row| row.responder_id).collect();
        let recorded: Vec<i64> = rows.iter().map(|row| row.recorded_ns.cast_signed()).collect();
        let responses: Vec<i64> = rows.iter().map(|row| row.responses).collect();
        let divergent: Vec<i64> = rows.iter().map(|row| row.divergent).collect();
        let columns: [&(dyn ToSql + Sync); 8] = [
            &keys.stream_ids,
            &keys.seqs,
            &keys.parts,
            &results,
            &responder_ids,
            &recorded,
            &responses,
            &divergent,
        ];
        let mut upserted = Upserted::default();
        let mut places: HashMap<(i64, i64, i64), usize> = HashMap::new();
        self.run(|client, statements| {
            for found in client.query(&statements.upsert, &columns)? {
                // One row says how many are new, each of the others what the first result of a message is.
                let Some(first) = found.try_get(3)? else {
                    let inserted: i64 = found.try_get(4)?;
                    upserted.inserted = inserted.cast_unsigned();
                    continue;
                };
                let key: (i64, i64, i64) = (found.try_get(0)?, found.try_get(1)?, found.try_get(2)?);
                if places.is_empty() {
                    // Seldom needed.
                    places.extend(rows.iter().map(|row| stored(row.key)).zip(0..));
                }
                upserted.mismatches.extend(places.get(&key).map(|&row| Mismatch { row, first }));
            }
            Ok(upserted)
        })
    }

    fn amend(&mut self, amendments: &[Amendment]) -> Result<(), StoreError> {
        let keys = Keys::of(amendments.iter().map(|amendment| amendment.key));
        let divergent: Vec<i64> = amendments.iter().map(|amendment| amendment.divergent).collect();
        let columns: [&(dyn ToSql + Sync); 4] = [&keys.stream_ids, &keys.seqs, &keys.parts, &divergent];
        self.run(|client, statements| client.execute(&statements.amend, &columns)).map(|_| ())
    }

    fn divergences(&mut self, divergences: &[Said<'_>]) -> Result<(), StoreError> {
        self.say(|statements| &statements.divergences, divergences)
    }

    fn responses(&mut self, responses: &[Said<'_>]) -> Result<(), StoreError> {
        self.say(|statements| &statements.responses, responses)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.run(|client, _| client.batch_execute("COMMIT"))?;
        self.is_open = false;
        Ok(())
    }

    fn check(&mut self) -> Result<(), StoreError> {
        self.ensure_connected()?;
        self.run(|client, _| client.batch_execute("SELECT 1"))
    }

    fn rollback(&mut self) {
        let undone = !self.is_open || self.run(|client, _| client.batch_execute("ROLLBACK")).is_ok();
        if !undone {
            // The server undoes what is open on a connection that is gone.
            self.session = None;
        }
        self.is_open = false;
    }
}

/// An ordinality, which begins at 1, as an index.
fn place(ordinality: i64) -> Option<usize> {
    usize::try_from(ordinality).ok()?.checked_sub(1)
}

/// A key as it is stored.
fn stored(key: Key) -> (i64, i64, i64) {
    (key.stream_id, key.seq.cast_signed(), key.part.into())
}

/// Keys of messages, column by column.
struct Keys {
    stream_ids: Vec<i64>,
    seqs: Vec<i64>,
    parts: Vec<i64>,
}

impl Keys {
    fn of(all: impl ExactSizeIterator<Item = Key>) -> Self {
        let room = || Vec::with_capacity(all.len());
        let mut keys = Self { stream_ids: room(), seqs: room(), parts: room() };
        for (stream_id, seq, part) in all.map(stored) {
            keys.stream_ids.push(stream_id);
            keys.seqs.push(seq);
            keys.parts.push(part);
        }
        keys
    }
}

/// What is stored of responders, column by column.
struct Columns<'a> {
    next: Vec<i64>,
    bitmaps: Vec<&'a [u8]>,
    addresses: Vec<String>,
    heard: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(all: &'a [Progress]) -> Self {
        Self {
            next: all.iter().map(|progress| progress.next.cast_signed()).collect(),
            bitmaps: all.iter().map(|progress| &progress.bitmap[..]).collect(),
            addresses: all.iter().map(|progress| progress.source.to_string()).collect(),
            heard: all.iter().map(|progress| progress.heard_ns.cast_signed()).collect(),
        }
    }
}
