-- Version 1. Sessions and sequences are 64-bit numbers; times are nanoseconds since the Unix epoch. Messages,
-- divergences and responses may be deleted at any time; an id is never given again.

CREATE TABLE headcast_schema (version bigint NOT NULL);

-- One run of a publisher on one of its streams.
CREATE TABLE streams (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    publisher bigint NOT NULL,
    session bigint NOT NULL,
    stream bigint NOT NULL,
    UNIQUE (publisher, session, stream)
);

-- One run of a subscriber that responds, and which of its responses are stored: all below `next`, and
-- next + 1 + i for each bit i of `bitmap`, lowest bit of the first byte first. Not to be changed by hand:
-- a response would be counted twice, or never be stored. Updated all the time: room for it on each page.
CREATE TABLE responders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    publisher bigint NOT NULL,
    session bigint NOT NULL,
    next bigint NOT NULL,
    bitmap bytea NOT NULL,
    -- Where its newest response came from, and when.
    address text NOT NULL,
    heard_ns bigint NOT NULL,
    UNIQUE (publisher, session)
) WITH (fillfactor = 50);

-- The state of a message: its first result, and how many gave it.
CREATE TABLE messages (
    stream_id bigint NOT NULL,
    seq bigint NOT NULL,
    -- What the first response said, who it was, and when it was received.
    result bytea NOT NULL,
    responder_id bigint NOT NULL,
    recorded_ns bigint NOT NULL,
    -- How many have responded, the first included, and how many of them said something else.
    responses bigint NOT NULL,
    divergent bigint NOT NULL,
    PRIMARY KEY (stream_id, seq)
);

CREATE INDEX messages_by_time ON messages (recorded_ns);
CREATE INDEX messages_divergent ON messages (recorded_ns) WHERE divergent > 0;

-- Who said something else, and what.
CREATE TABLE divergences (
    stream_id bigint NOT NULL,
    seq bigint NOT NULL,
    responder_id bigint NOT NULL,
    response_seq bigint NOT NULL,
    result bytea NOT NULL,
    recorded_ns bigint NOT NULL,
    PRIMARY KEY (stream_id, seq, responder_id, response_seq)
);

CREATE INDEX divergences_by_responder ON divergences (responder_id);

-- Every response: only with --keep-all.
CREATE TABLE responses (
    responder_id bigint NOT NULL,
    response_seq bigint NOT NULL,
    stream_id bigint NOT NULL,
    seq bigint NOT NULL,
    result bytea NOT NULL,
    recorded_ns bigint NOT NULL,
    PRIMARY KEY (responder_id, response_seq)
);

CREATE INDEX responses_by_message ON responses (stream_id, seq);

-- For people.
CREATE VIEW records AS
SELECT
    s.publisher,
    lpad(to_hex(s.session), 16, '0') AS session,
    s.stream,
    m.seq,
    m.result,
    r.publisher AS responder,
    lpad(to_hex(r.session), 16, '0') AS responder_session,
    r.address,
    m.recorded_ns,
    m.responses,
    m.divergent
FROM messages m
JOIN streams s ON s.id = m.stream_id
JOIN responders r ON r.id = m.responder_id;
