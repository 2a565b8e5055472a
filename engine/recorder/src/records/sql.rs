//! What is asked, the same of each kind of database, and what the answers mean.

use std::fmt::Write as _;

use super::{Divergence, Filter, Record, Stats};
use crate::{Responder, StoreError, Subject};

/// A row of an answer, by the numbers of its columns.
pub(super) trait Row {
    /// A number that is there.
    fn integer(&self, column: usize) -> Result<i64, StoreError> {
        Ok(self.integer_or_null(column)?.unwrap_or(0))
    }
    fn integer_or_null(&self, column: usize) -> Result<Option<i64>, StoreError>;
    fn text(&self, column: usize) -> Result<String, StoreError>;
    fn bytes(&self, column: usize) -> Result<Vec<u8>, StoreError>;
}

/// Where a record stands in the order of all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) recorded_ns: i64,
    pub(super) stream_id: i64,
    pub(super) seq: i64,
    pub(super) part: i64,
}

/// The next messages after a position, and the arguments of the statement.
///
/// Arguments are numbered in the order in which they occur, which both kinds of database understand. With
/// SQLite CROSS JOIN means that tables are gone through in this order: messages by their index by time, so
/// that nothing has to be sorted.
pub(super) fn messages(filter: &Filter, after: Option<Position>, rows_max: usize) -> (String, Vec<i64>) {
    let mut statement = "
        SELECT m.recorded_ns, m.stream_id, m.seq, m.part, s.publisher, s.session, s.stream, m.result,
            r.publisher, r.session, r.address, m.responses, m.divergent
        FROM messages m CROSS JOIN streams s CROSS JOIN responders r
        WHERE s.id = m.stream_id AND r.id = m.responder_id"
        .to_owned();
    let mut arguments = Vec::new();
    let mut demand = |column: &str, value: Option<i64>| {
        if let Some(value) = value {
            arguments.push(value);
            // Writing to a string cannot fail.
            let _ = write!(statement, " AND {column} ${}", arguments.len());
        }
    };
    let time = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
    demand("s.publisher =", filter.publisher.map(i64::from));
    demand("s.session =", filter.session.map(u64::cast_signed));
    demand("s.stream =", filter.stream.map(i64::from));
    demand("m.recorded_ns >=", filter.since_ns.map(time));
    demand("m.recorded_ns <", filter.until_ns.map(time));
    if filter.divergent {
        statement.push_str(" AND m.divergent > 0");
    }
    if let Some(Position { recorded_ns, stream_id, seq, part }) = after {
        let first = arguments.len() + 1;
        arguments.extend([recorded_ns, stream_id, seq, part]);
        let _ = write!(
            statement,
            " AND (m.recorded_ns, m.stream_id, m.seq, m.part) > (${first}, ${}, ${}, ${})",
            first + 1,
            first + 2,
            first + 3
        );
    }
    let _ = write!(statement, " ORDER BY m.recorded_ns, m.stream_id, m.seq, m.part LIMIT {rows_max}");
    (statement, arguments)
}

pub(super) fn record(row: &dyn Row) -> Result<(Position, Record), StoreError> {
    let position = Position {
        recorded_ns: row.integer(0)?,
        stream_id: row.integer(1)?,
        seq: row.integer(2)?,
        part: row.integer(3)?,
    };
    let record = Record {
        subject: Subject {
            publisher: number(row.integer(4)?),
            session: row.integer(5)?.cast_unsigned(),
            stream: small(row.integer(6)?),
            seq: position.seq.cast_unsigned(),
            part: small(position.part),
        },
        result: row.bytes(7)?,
        responder: responder(row, 8)?,
        address: row.text(10)?,
        recorded_ns: position.recorded_ns.cast_unsigned(),
        responses: row.integer(11)?.cast_unsigned(),
        divergent: row.integer(12)?.cast_unsigned(),
        divergences: Vec::new(),
    };
    Ok((position, record))
}

pub(super) const DIVERGENCES: &str = "
    SELECT r.publisher, r.session, r.address, d.result, d.recorded_ns
    FROM divergences d JOIN responders r ON r.id = d.responder_id
    WHERE d.stream_id = $1 AND d.seq = $2 AND d.part = $3
    ORDER BY d.recorded_ns, r.publisher, r.session, d.response_seq";

pub(super) fn divergence(row: &dyn Row) -> Result<Divergence, StoreError> {
    Ok(Divergence {
        responder: responder(row, 0)?,
        address: row.text(2)?,
        result: row.bytes(3)?,
        recorded_ns: row.integer(4)?.cast_unsigned(),
    })
}

/// One row, whose columns are those of [`Stats`] in their order.
pub(super) const STATS: &str = "
    SELECT
        count(*),
        CAST(coalesce(sum(responses), 0) AS bigint),
        (SELECT count(*) FROM messages WHERE divergent > 0),
        (SELECT CAST(coalesce(sum(divergent), 0) AS bigint) FROM messages WHERE divergent > 0),
        (SELECT count(DISTINCT publisher) FROM streams),
        (SELECT count(*) FROM streams),
        (SELECT count(*) FROM responders),
        (SELECT min(recorded_ns) FROM messages),
        (SELECT max(recorded_ns) FROM messages)
    FROM messages";

pub(super) fn count(row: &dyn Row, stats: &mut Stats) -> Result<(), StoreError> {
    let counts = [
        &mut stats.messages,
        &mut stats.responses,
        &mut stats.divergent_messages,
        &mut stats.divergent_responses,
        &mut stats.publishers,
        &mut stats.streams,
        &mut stats.responders,
    ];
    for (column, count) in counts.into_iter().enumerate() {
        *count = row.integer(column)?.cast_unsigned();
    }
    stats.first_ns = row.integer_or_null(7)?.map(i64::cast_unsigned);
    stats.last_ns = row.integer_or_null(8)?.map(i64::cast_unsigned);
    Ok(())
}

fn responder(row: &dyn Row, column: usize) -> Result<Responder, StoreError> {
    Ok(Responder {
        publisher: number(row.integer(column)?),
        session: row.integer(column + 1)?.cast_unsigned(),
    })
}

/// A stream's number, or a part; a recorder stores no other.
fn small(stored: i64) -> u16 {
    u16::try_from(stored).unwrap_or(u16::MAX)
}

/// A publisher's number; a recorder stores no other.
fn number(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or(u32::MAX)
}
