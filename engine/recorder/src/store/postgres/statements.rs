//! What is asked of PostgreSQL. All of it is prepared on each new connection: tables of another shape are
//! noticed there.
//!
//! The estimates of the planner are of no use for arrays of which it does not know the length. So nothing
//! here joins two arrays, and what joins a table does it by its key.

use postgres::{Client, Statement};

/// The statements of one connection.
pub(super) struct Statements {
    pub(super) responders: Statement,
    pub(super) enrol: Statement,
    pub(super) progress: Statement,
    pub(super) streams: Statement,
    pub(super) upsert: Statement,
    pub(super) amend: Statement,
    pub(super) divergences: Statement,
    pub(super) responses: Statement,
}

impl Statements {
    pub(super) fn prepare(client: &mut Client) -> Result<Self, postgres::Error> {
        Ok(Self {
            responders: client.prepare(RESPONDERS)?,
            enrol: client.prepare(ENROL)?,
            progress: client.prepare(PROGRESS)?,
            streams: client.prepare(STREAMS)?,
            upsert: client.prepare(UPSERT)?,
            amend: client.prepare(AMEND)?,
            divergences: client.prepare(DIVERGENCES)?,
            responses: client.prepare(RESPONSES)?,
        })
    }
}

const RESPONDERS: &str = "
    SELECT i.at, r.id, r.next, r.bitmap
    FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS i (publisher, session, at)
    JOIN responders r ON r.publisher = i.publisher AND r.session = i.session";

/// Rows are inserted in the order of the arrays, and their ids grow in that order.
const ENROL: &str = "
    WITH enrolled AS (
        INSERT INTO responders (publisher, session, next, bitmap, address, heard_ns)
        SELECT publisher, session, next, bitmap, address, heard_ns
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::text[], $6::bigint[])
            WITH ORDINALITY AS i (publisher, session, next, bitmap, address, heard_ns, at)
        ORDER BY at
        RETURNING id
    )
    SELECT row_number() OVER (ORDER BY id), id FROM enrolled";

const PROGRESS: &str = "
    UPDATE responders r SET next = i.next, bitmap = i.bitmap, address = i.address, heard_ns = i.heard_ns
    FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::text[], $5::bigint[])
        AS i (id, next, bitmap, address, heard_ns)
    WHERE r.id = i.id";

/// The second part does not see what the first has inserted.
const STREAMS: &str = "
    WITH input AS MATERIALIZED (
        SELECT i.publisher, i.session, i.stream, i.at, s.id
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
            WITH ORDINALITY AS i (publisher, session, stream, at)
        LEFT JOIN streams s
            ON s.publisher = i.publisher AND s.session = i.session AND s.stream = i.stream
    ), inserted AS (
        INSERT INTO streams (publisher, session, stream)
        SELECT publisher, session, stream FROM input WHERE id IS NULL ORDER BY at
        RETURNING id
    ), numbered AS (
        SELECT row_number() OVER (ORDER BY id) AS n, id FROM inserted
    ), missing AS (
        SELECT row_number() OVER (ORDER BY at) AS n, at FROM input WHERE id IS NULL
    )
    SELECT missing.at, numbered.id FROM missing JOIN numbered USING (n)
    UNION ALL
    SELECT at, id FROM input WHERE id IS NOT NULL";

/// How many rows are new, and which have another first result. The subquery is looked at only for rows that
/// are not new, through a hash; nothing of the others is carried along.
const UPSERT: &str = "
    WITH upserted AS (
        INSERT INTO messages AS m
            (stream_id, seq, part, result, responder_id, recorded_ns, responses, divergent)
        SELECT * FROM unnest(
            $1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::bigint[]
        )
        ON CONFLICT (stream_id, seq, part) DO UPDATE SET
            responses = m.responses + excluded.responses,
            divergent = m.divergent + CASE WHEN m.result = excluded.result THEN excluded.divergent ELSE 0 END
        RETURNING m.stream_id, m.seq, m.part, CASE WHEN m.xmax = 0 THEN NULL ELSE m.result END AS first
    )
    SELECT NULL::bigint, NULL::bigint, NULL::bigint, NULL::bytea, count(*) FROM upserted WHERE first IS NULL
    UNION ALL
    SELECT stream_id, seq, part, first, 0 FROM upserted
    WHERE first IS NOT NULL
        AND (stream_id, seq, part, first) NOT IN (
            SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[])
        )";

const AMEND: &str = "
    UPDATE messages m SET divergent = m.divergent + i.divergent
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS i (stream_id, seq, part, divergent)
    WHERE m.stream_id = i.stream_id AND m.seq = i.seq AND m.part = i.part";

const DIVERGENCES: &str = "
    INSERT INTO divergences (stream_id, seq, part, responder_id, response_seq, result, recorded_ns)
    SELECT * FROM unnest(
        $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bigint[]
    )";

const RESPONSES: &str = "
    INSERT INTO responses (stream_id, seq, part, responder_id, response_seq, result, recorded_ns)
    SELECT * FROM unnest(
        $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bigint[]
    )";
