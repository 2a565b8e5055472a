//! SQLite: one file, in WAL mode, so that others can read while we write.

pub(crate) mod failure;
pub(crate) mod open;
mod statements;

use std::os::raw::c_int;
use std::path::Path;

use rusqlite::{CachedStatement, Connection, FileControl, MAIN_DB, OptionalExtension, params};

use super::Options;
use super::backend::{
    Amendment, Backend, Begun, Enrolled, Key, Mismatch, Progress, Row, Said, Stream, Upserted,
};
use crate::lock::FileLock;
use crate::{Responder, StoreError};
use failure::Failure;

/// A file that this process alone writes.
pub(super) struct Sqlite {
    connection: Connection,
    failure: Failure,
    /// Changes when another connection has changed the database.
    data_version: Option<i64>,
    _lock: FileLock,
}

impl Sqlite {
    /// `None` if another process writes it.
    pub(super) fn open(path: &Path, database: String, options: Options) -> Result<Option<Self>, StoreError> {
        let failure = Failure { database };
        let Some((connection, lock)) = open::open(path, options.durability, &failure)? else {
            return Ok(None);
        };
        Ok(Some(Self { connection, failure, data_version: None, _lock: lock }))
    }

    fn prepared(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        self.connection.prepare_cached(sql).map_err(self.failed())
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> StoreError + Copy {
        |error| self.failure.explain(&error)
    }

    /// Whether the file is still where it was: what is written into a removed one is lost.
    fn check_place(&self) -> Result<(), StoreError> {
        let mut moved: c_int = 0;
        self.connection
            .file_control(Some(MAIN_DB), FileControl::HasMoved(&mut moved))
            .map_err(self.failed())?;
        if moved == 0 { Ok(()) } else { Err(self.failure.moved()) }
    }

    fn say(&self, sql: &str, all: &[Said<'_>]) -> Result<(), StoreError> {
        let mut insert = self.prepared(sql)?;
        for said in all {
            insert
                .execute(params![
                    said.key.stream_id,
                    said.key.seq.cast_signed(),
                    said.key.part,
                    said.responder_id,
                    said.response_seq.cast_signed(),
                    said.result,
                    said.recorded_ns.cast_signed(),
                ])
                .map_err(self.failed())?;
        }
        Ok(())
    }
}

impl Backend for Sqlite {
    fn begin(&mut self) -> Result<Begun, StoreError> {
        self.check_place()?;
        self.prepared("BEGIN IMMEDIATE")?.execute([]).map_err(self.failed())?;
        let version =
            self.prepared("PRAGMA data_version")?.query_row([], |row| row.get(0)).map_err(self.failed())?;
        let same = self.data_version == Some(version);
        self.data_version = Some(version);
        Ok(if same { Begun::Same } else { Begun::Changed })
    }

    fn responders(&mut self, responders: &[Responder]) -> Result<Vec<Option<Enrolled>>, StoreError> {
        let mut select = self.prepared(statements::RESPONDER)?;
        let mut find = |responder: &Responder| {
            select
                .query_row(params![responder.publisher, responder.session.cast_signed()], |row| {
                    let next: i64 = row.get(1)?;
                    Ok(Enrolled { id: row.get(0)?, next: next.cast_unsigned(), bitmap: row.get(2)? })
                })
                .optional()
        };
        responders.iter().map(|responder| find(responder).map_err(self.failed())).collect()
    }

    fn enrol(&mut self, newcomers: &[Progress]) -> Result<Vec<i64>, StoreError> {
        let mut insert = self.prepared(statements::ENROL)?;
        let mut enrol = |newcomer: &Progress| {
            insert.insert(params![
                newcomer.responder.publisher,
                newcomer.responder.session.cast_signed(),
                newcomer.next.cast_signed(),
                newcomer.bitmap,
                newcomer.source.to_string(),
                newcomer.heard_ns.cast_signed(),
            ])
        };
        newcomers.iter().map(|newcomer| enrol(newcomer).map_err(self.failed())).collect()
    }

    fn progress(&mut self, responders: &[Progress]) -> Result<(), StoreError> {
        let mut update = self.prepared(statements::PROGRESS)?;
        for progress in responders {
            let changed = update
                .execute(params![
                    progress.id,
                    progress.next.cast_signed(),
                    progress.bitmap,
                    progress.source.to_string(),
                    progress.heard_ns.cast_signed(),
                ])
                .map_err(self.failed())?;
            if changed != 1 {
                return Err(self.failure.vanished());
            }
        }
        Ok(())
    }

    fn streams(&mut self, streams: &[Stream]) -> Result<Vec<i64>, StoreError> {
        let mut select = self.prepared(statements::STREAM)?;
        let mut insert = self.prepared(statements::NEW_STREAM)?;
        let mut find = |stream: &Stream| {
            let key = params![stream.publisher, stream.session.cast_signed(), stream.stream];
            match select.query_row(key, |row| row.get(0)).optional()? {
                Some(id) => Ok(id),
                None => insert.insert(key),
            }
        };
        streams.iter().map(|stream| find(stream).map_err(self.failed())).collect()
    }

    fn upsert(&mut self, rows: &[Row<'_>]) -> Result<Upserted, StoreError> {
        let mut insert = self.prepared(statements::INSERT_MESSAGE)?;
        let mut update = self.prepared(statements::UPDATE_MESSAGE)?;
        let mut upserted = Upserted::default();
        for (at, row) in rows.iter().enumerate() {
            let Key { stream_id, seq, part } = row.key;
            let seq = seq.cast_signed();
            let inserted = insert
                .execute(params![
                    stream_id,
                    seq,
                    part,
                    row.result,
                    row.responder_id,
                    row.recorded_ns.cast_signed(),
                    row.responses,
                    row.divergent,
                ])
                .map_err(self.failed())?;
            if inserted == 1 {
                upserted.inserted += 1;
                continue;
            }
            let first: Option<Vec<u8>> = update
                .query_row(params![stream_id, seq, part, row.result, row.responses, row.divergent], |row| {
                    row.get(0)
                })
                .map_err(self.failed())?;
            if let Some(first) = first {
                upserted.mismatches.push(Mismatch { row: at, first });
            }
        }
        Ok(upserted)
    }

    fn amend(&mut self, amendments: &[Amendment]) -> Result<(), StoreError> {
        let mut update = self.prepared(statements::AMEND)?;
        for amendment in amendments {
            let Key { stream_id, seq, part } = amendment.key;
            update
                .execute(params![stream_id, seq.cast_signed(), part, amendment.divergent])
                .map_err(self.failed())?;
        }
        Ok(())
    }

    fn divergences(&mut self, divergences: &[Said<'_>]) -> Result<(), StoreError> {
        self.say(statements::DIVERGENCE, divergences)
    }

    fn responses(&mut self, responses: &[Said<'_>]) -> Result<(), StoreError> {
        self.say(statements::RESPONSE, responses)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.prepared("COMMIT")?.execute([]).map_err(self.failed()).map(|_| ())
    }

    fn check(&mut self) -> Result<(), StoreError> {
        self.check_place()
    }

    fn rollback(&mut self) {
        // Some errors have rolled back already. If this fails the next `begin` says so.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}
