-- Version 1. Sessions and sequences are 64-bit numbers; times are nanoseconds since the Unix epoch. Messages,
-- divergences and responses may be deleted at any time; an id is never given again.

CREATE TABLE headcast_schema (version INTEGER NOT NULL) STRICT;

-- One run of a publisher on one of its streams.
CREATE TABLE streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    publisher INTEGER NOT NULL,
    session INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    UNIQUE (publisher, session, stream)
) STRICT;

-- One run of a subscriber that responds, and which of its responses are stored: all below `next`, and
-- next + 1 + i for each bit i of `bitmap`, lowest bit of the first byte first. Not to be changed by hand:
-- a response would be counted twice, or never be stored.
CREATE TABLE responders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    publisher INTEGER NOT NULL,
    session INTEGER NOT NULL,
    next INTEGER NOT NULL,
    bitmap BLOB NOT NULL,
    -- Where its newest response came from, and when.
    address TEXT NOT NULL,
    heard_ns INTEGER NOT NULL,
    UNIQUE (publisher, session)
) STRICT;

-- The state of a message: its first result, and how many gave it.
CREATE TABLE messages (
    stream_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    -- What the first response said, who it was, and when it was received.
    result BLOB NOT NULL,
    responder_id INTEGER NOT NULL,
    recorded_ns INTEGER NOT NULL,
    -- How many have responded, the first included, and how many of them said something else.
    responses INTEGER NOT NULL,
    divergent INTEGER NOT NULL,
    PRIMARY KEY (stream_id, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX messages_by_time ON messages (recorded_ns);
CREATE INDEX messages_divergent ON messages (recorded_ns) WHERE divergent > 0;

-- Who said something else, and what.
CREATE TABLE divergences (
    stream_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    responder_id INTEGER NOT NULL,
    response_seq INTEGER NOT NULL,
    result BLOB NOT NULL,
    recorded_ns INTEGER NOT NULL,
    PRIMARY KEY (stream_id, seq, responder_id, response_seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX divergences_by_responder ON divergences (responder_id);

-- Every response: only with --keep-all.
CREATE TABLE responses (
    responder_id INTEGER NOT NULL,
    response_seq INTEGER NOT NULL,
    stream_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    result BLOB NOT NULL,
    recorded_ns INTEGER NOT NULL,
    PRIMARY KEY (responder_id, response_seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX responses_by_message ON responses (stream_id, seq);

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
    m.divergent
FROM messages m
JOIN streams s ON s.id = m.stream_id
JOIN responders r ON r.id = m.responder_id;
