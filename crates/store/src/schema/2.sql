-- The way in: what durable consumers have taken in, and what they have not acknowledged yet.

CREATE TABLE consumer (         -- a named subscription that goes on where it was
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE cursor (           -- how far a consumer has taken in a host's stream: all up to here is durable
    consumer_id INTEGER NOT NULL REFERENCES consumer (id) ON DELETE CASCADE,
    host        TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    PRIMARY KEY (consumer_id, host)
) STRICT, WITHOUT ROWID;

CREATE TABLE repository (       -- the newest commit of each repository that a consumer has verified
    consumer_id INTEGER NOT NULL REFERENCES consumer (id) ON DELETE CASCADE,
    did         TEXT NOT NULL,
    rev         TEXT NOT NULL,
    data        TEXT NOT NULL,   -- the root of its tree
    at          INTEGER NOT NULL,
    PRIMARY KEY (consumer_id, did)
) STRICT, WITHOUT ROWID;

CREATE TABLE relayed (          -- the newest commit of each repository that a consumer took on a relay's word
    consumer_id INTEGER NOT NULL REFERENCES consumer (id) ON DELETE CASCADE,
    did         TEXT NOT NULL,
    rev         TEXT NOT NULL,   -- only for dropping others like it
    PRIMARY KEY (consumer_id, did)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (            -- events that are not acknowledged yet; an acknowledged one is gone from here
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order in which they are delivered first
    consumer_id INTEGER NOT NULL REFERENCES consumer (id) ON DELETE CASCADE,
    did         TEXT NOT NULL,   -- at://DID/COLLECTION/RKEY is what it is about
    collection  TEXT NOT NULL,
    rkey        TEXT NOT NULL,
    action      TEXT NOT NULL CHECK (action IN ('create', 'update', 'delete')),
    rev         TEXT NOT NULL,
    cid         TEXT,            -- of the record; null for a delete
    commit_cid  TEXT NOT NULL,
    trust       TEXT,            -- null: the record cannot be read, and `undecodable` says why
    continuity  TEXT,
    undecodable TEXT,
    live        INTEGER NOT NULL,
    source      TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    state       TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
    attempts    INTEGER NOT NULL DEFAULT 0, -- how often it was handed out
    visible_at  INTEGER NOT NULL DEFAULT 0, -- not handed out before this: it is with somebody, or was put off; 0: at once
    lease       INTEGER,         -- who has it; null if nobody
    reason      TEXT,            -- dead: why
    -- Last, so that what is before it is read without it.
    record      BLOB             -- DAG-CBOR as it was signed; null for a delete
) STRICT;
-- Each question is answered out of one of these, however much waits.
CREATE INDEX inbox_fresh ON inbox (consumer_id, id) WHERE state = 'waiting' AND visible_at = 0;
CREATE INDEX inbox_out ON inbox (consumer_id, visible_at, lease, attempts) WHERE state = 'waiting' AND visible_at > 0;
CREATE INDEX inbox_of_repository ON inbox (consumer_id, did, id) WHERE state = 'waiting';
CREATE INDEX inbox_dead ON inbox (consumer_id, id) WHERE state = 'dead';
