-- Version 2. Messages that shared a datagram have one sequence: `part` is which of them one is, from 0. What was
-- stored before came alone; for the server that is a default, and no row is written anew. Later rows say theirs.

ALTER TABLE messages ADD COLUMN part bigint NOT NULL DEFAULT 0;
ALTER TABLE messages ALTER COLUMN part DROP DEFAULT;
ALTER TABLE messages DROP CONSTRAINT messages_pkey;
ALTER TABLE messages ADD PRIMARY KEY (stream_id, seq, part);

ALTER TABLE divergences ADD COLUMN part bigint NOT NULL DEFAULT 0;
ALTER TABLE divergences ALTER COLUMN part DROP DEFAULT;
ALTER TABLE divergences DROP CONSTRAINT divergences_pkey;
ALTER TABLE divergences ADD PRIMARY KEY (stream_id, seq, part, responder_id, response_seq);

-- This one may be by far the largest. It keeps its key and its index: the messages of one datagram are few.
ALTER TABLE responses ADD COLUMN part bigint NOT NULL DEFAULT 0;
ALTER TABLE responses ALTER COLUMN part DROP DEFAULT;

-- For people. A view that is replaced keeps who may read it; new columns of it come last.
CREATE OR REPLACE VIEW records AS
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
    m.divergent,
    m.part
FROM messages m
JOIN streams s ON s.id = m.stream_id
JOIN responders r ON r.id = m.responder_id;
