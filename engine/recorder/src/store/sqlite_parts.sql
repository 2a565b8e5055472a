-- Version 2. Messages that shared a datagram have one sequence: `part` is which of them one is, from 0. What was
-- stored before came alone.
--
-- A table without rowids cannot be given another key. So rows are put aside, and written again: in this order SQLite
-- needs no temporary file, for which there may be no place, and no memory for one, and the views of others stay as they
-- are. A table that is emptied first is dropped without a look at what was in it, an index that grows with its table is
-- not sorted, and rows that undo all if they do not fit (OR ROLLBACK) need not be undone one by one.

DROP VIEW records;

CREATE TABLE headcast_aside AS SELECT * FROM messages WHERE false;
INSERT INTO headcast_aside SELECT * FROM messages;
DELETE FROM messages;
DROP TABLE messages;

-- The state of a message: its first result, and how many gave it.
CREATE TABLE messages (
    stream_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    part INTEGER NOT NULL,
    -- What the first response said, who it was, and when it was received.
    result BLOB NOT NULL,
    responder_id INTEGER NOT NULL,
    recorded_ns INTEGER NOT NULL,
    -- How many have responded, the first included, and how many of them said something else.
    responses INTEGER NOT NULL,
    divergent INTEGER NOT NULL,
    PRIMARY KEY (stream_id, seq, part)
) STRICT, WITHOUT ROWID;

CREATE INDEX messages_by_time ON messages (recorded_ns);
CREATE INDEX messages_divergent ON messages (recorded_ns) WHERE divergent > 0;

INSERT OR ROLLBACK INTO messages
    (stream_id, seq, part, result, responder_id, recorded_ns, responses, divergent)
SELECT stream_id, seq, 0, result, responder_id, recorded_ns, responses, divergent
FROM headcast_aside;
DELETE FROM headcast_aside;
DROP TABLE headcast_aside;

CREATE TABLE headcast_aside AS SELECT * FROM divergences WHERE false;
INSERT INTO headcast_aside SELECT * FROM divergences;
DELETE FROM divergences;
DROP TABLE divergences;

-- Who said something else, and what.
CREATE TABLE divergences (
    stream_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    part INTEGER NOT NULL,
    responder_id INTEGER NOT NULL,
    response_seq INTEGER NOT NULL,
    result BLOB NOT NULL,
    recorded_ns INTEGER NOT NULL,
    PRIMARY KEY (stream_id, seq, part, responder_id, response_seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX divergences_by_responder ON divergences (responder_id);

INSERT OR ROLLBACK INTO divergences (stream_id, seq, part, responder_id, response_seq, result, recorded_ns)
SELECT stream_id, seq, 0, responder_id, response_seq, result, recorded_ns
FROM headcast_aside;
DELETE FROM headcast_aside;
DROP TABLE headcast_aside;

-- This one may be by far the largest. It keeps its key and its index: the messages of one datagram are few.
ALTER TABLE responses ADD COLUMN part INTEGER NOT NULL DEFAULT 0;

-- For people.
CREATE VIEW records AS
SELECT
    s.publisher,
    printf('%016x', s.session) AS session,
    s.stream,
    m.seq,
    m.result,
    r.publisher AS responder,
    printf('%016x', r.session) AS responder_session,
    r.address,
    m.recorded_ns,
    m.responses,
    m.divergent,
    m.part
FROM messages m
JOIN streams s ON s.id = m.stream_id
JOIN responders r ON r.id = m.responder_id;
