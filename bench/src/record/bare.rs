//! What the recorder is compared with: the same rows into the same table, from memory, with nothing around it.

use std::error::Error;
use std::ops::Range;

use headcast_recorder::{Database, Durability};
use postgres::NoTls;

/// A connection, and the statement that inserts.
pub(super) enum Bare {
    Sqlite(rusqlite::Connection),
    Postgres(Box<postgres::Client>, postgres::Statement),
}

/// Empties the tables of PostgreSQL; a file of SQLite is made anew instead.
pub(super) fn truncate(database: &Database) -> Result<(), Box<dyn Error>> {
    if let Database::Postgres(config) = database {
        let tables = "streams, responders, messages, divergences, responses";
        config.connect(NoTls)?.batch_execute(&format!("TRUNCATE {tables}"))?;
    }
    Ok(())
}

impl Bare {
    pub(super) fn open(database: &Database, durability: Durability) -> Result<Self, Box<dyn Error>> {
        let waits = durability == Durability::Power;
        Ok(match database {
            Database::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path)?;
                connection.pragma_update(None, "synchronous", if waits { "FULL" } else { "NORMAL" })?;
                // As the store has it.
                connection.pragma_update(None, "cache_size", -16_384)?;
                Self::Sqlite(connection)
            }
            Database::Postgres(config) => {
                let mut client = config.connect(NoTls)?;
                client.batch_execute(if waits {
                    "SET synchronous_commit = on"
                } else {
                    "SET synchronous_commit = off"
                })?;
                let statement = client.prepare(
                    "INSERT INTO messages (stream_id, seq, part, result, responder_id, recorded_ns, responses, divergent)
                     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])",
                )?;
                Self::Postgres(Box::new(client), statement)
            }
        })
    }

    /// Inserts rows with these sequences in one transaction. Their results lie one behind the other, `len` bytes each.
    pub(super) fn insert(
        &mut self,
        seqs: Range<u64>,
        results: &[u8],
        len: usize,
    ) -> Result<(), Box<dyn Error>> {
        let result = |seq: i64| {
            let at = usize::try_from(seq).unwrap_or(0) * len;
            &results[at..at + len]
        };
        let seqs = i64::try_from(seqs.start)?..i64::try_from(seqs.end)?;
        match self {
            Self::Sqlite(connection) => {
                let transaction = connection.transaction()?;
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO messages (stream_id, seq, part, result, responder_id, recorded_ns, responses, divergent)
                     VALUES (1, ?1, 0, ?2, 1, ?3, 1, 0)",
                )?;
                for seq in seqs {
                    insert.execute((seq, result(seq), seq))?;
                }
                drop(insert);
                transaction.commit()?;
            }
            Self::Postgres(client, statement) => {
                let seqs: Vec<i64> = seqs.collect();
                let same = |number: i64| vec![number; seqs.len()];
                let results: Vec<&[u8]> = seqs.iter().map(|seq| result(*seq)).collect();
                client.execute(
                    &*statement,
                    &[&same(1), &seqs, &same(0), &results, &same(1), &seqs, &same(1), &same(0)],
                )?;
            }
        }
        Ok(())
    }
}
