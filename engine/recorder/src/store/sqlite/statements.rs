//! What is asked of SQLite. All of it is prepared at the start: tables of another shape are noticed there.

pub(super) const ALL: [&str; 10] = [
    RESPONDER,
    ENROL,
    PROGRESS,
    STREAM,
    NEW_STREAM,
    INSERT_MESSAGE,
    UPDATE_MESSAGE,
    AMEND,
    DIVERGENCE,
    RESPONSE,
];

pub(super) const RESPONDER: &str =
    "SELECT id, next, bitmap FROM responders WHERE publisher = ?1 AND session = ?2";

pub(super) const ENROL: &str = "INSERT INTO responders (publisher, session, next, bitmap, address, heard_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub(super) const PROGRESS: &str =
    "UPDATE responders SET next = ?2, bitmap = ?3, address = ?4, heard_ns = ?5 WHERE id = ?1";

pub(super) const STREAM: &str =
    "SELECT id FROM streams WHERE publisher = ?1 AND session = ?2 AND stream = ?3";

pub(super) const NEW_STREAM: &str = "INSERT INTO streams (publisher, session, stream) VALUES (?1, ?2, ?3)";

/// Nearly always all that is needed: most messages of a batch are new.
pub(super) const INSERT_MESSAGE: &str = "
    INSERT INTO messages (stream_id, seq, part, result, responder_id, recorded_ns, responses, divergent)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";

/// Gives the first result, if it is another.
pub(super) const UPDATE_MESSAGE: &str = "
    UPDATE messages
    SET responses = responses + ?5, divergent = divergent + iif(result = ?4, ?6, 0)
    WHERE stream_id = ?1 AND seq = ?2 AND part = ?3
    RETURNING nullif(result, ?4)";

pub(super) const AMEND: &str =
    "UPDATE messages SET divergent = divergent + ?4 WHERE stream_id = ?1 AND seq = ?2 AND part = ?3";

pub(super) const DIVERGENCE: &str = "
    INSERT INTO divergences (stream_id, seq, part, responder_id, response_seq, result, recorded_ns)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub(super) const RESPONSE: &str = "
    INSERT INTO responses (stream_id, seq, part, responder_id, response_seq, result, recorded_ns)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
