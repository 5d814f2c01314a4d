-- Resynchronisation: what a consumer knows of the repositories that it follows, to tell what it missed. And
-- events without a commit, for a server that names none.

CREATE TABLE known (            -- the records of followed repositories, as far as they are in scope; never pruned
    consumer_id INTEGER NOT NULL REFERENCES consumer (id) ON DELETE CASCADE,
    did         TEXT NOT NULL,
    collection  TEXT NOT NULL,
    rkey        TEXT NOT NULL,
    cid         TEXT NOT NULL,
    PRIMARY KEY (consumer_id, did, collection, rkey)
) STRICT, WITHOUT ROWID;

-- How much of the repository's story is known, if it is followed: begun, as far as the stream brought it; whole:
-- `known` has all its records; broken: it was whole, something was missed since, and it must be fetched.
ALTER TABLE repository ADD COLUMN story TEXT NOT NULL DEFAULT 'begun' CHECK (story IN ('begun', 'whole', 'broken'));

-- Whether it was made to begin with what was live then: what was there before is no news for it.
ALTER TABLE consumer ADD COLUMN began_live INTEGER NOT NULL DEFAULT 0;

-- The inbox as before, but `commit_cid` may be null and an event paused, which SQLite can say of a new table only.
CREATE TABLE new_inbox (        -- events that are not acknowledged yet; an acknowledged one is gone from here
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order in which they are delivered first
    consumer_id INTEGER NOT NULL REFERENCES consumer (id) ON DELETE CASCADE,
    did         TEXT NOT NULL,   -- at://DID/COLLECTION/RKEY is what it is about
    collection  TEXT NOT NULL,
    rkey        TEXT NOT NULL,
    action      TEXT NOT NULL CHECK (action IN ('create', 'update', 'delete')),
    rev         TEXT NOT NULL,
    cid         TEXT,            -- of the record; null for a delete
    commit_cid  TEXT,            -- null: the source names no commit
    trust       TEXT,            -- null: the record cannot be read, and `undecodable` says why
    continuity  TEXT,
    undecodable TEXT,
    live        INTEGER NOT NULL,
    source      TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    state       TEXT NOT NULL DEFAULT 'waiting'
                CHECK (state IN ('waiting', 'paused', 'dead')), -- paused: its account is not active
    attempts    INTEGER NOT NULL DEFAULT 0, -- how often it was handed out
    visible_at  INTEGER NOT NULL DEFAULT 0, -- not handed out before this: it is with somebody, or was put off; 0: at once
    lease       INTEGER,         -- who has it; null if nobody
    reason      TEXT,            -- dead: why
    record      BLOB             -- DAG-CBOR as it was signed; null for a delete
) STRICT;
INSERT INTO new_inbox SELECT id, consumer_id, did, collection, rkey, action, rev, cid, commit_cid, trust, continuity,
    undecodable, live, source, seq, received_at, state, attempts, visible_at, lease, reason, record FROM inbox;
DROP TABLE inbox;
ALTER TABLE new_inbox RENAME TO inbox;
CREATE INDEX inbox_fresh ON inbox (consumer_id, id) WHERE state = 'waiting' AND visible_at = 0;
CREATE INDEX inbox_out ON inbox (consumer_id, visible_at, lease, attempts) WHERE state = 'waiting' AND visible_at > 0;
CREATE INDEX inbox_of_repository ON inbox (consumer_id, did, id) WHERE state = 'waiting';
CREATE INDEX inbox_dead ON inbox (consumer_id, id) WHERE state = 'dead';
CREATE INDEX inbox_paused ON inbox (consumer_id, did) WHERE state = 'paused';

-- Events that come alone, not with all of their commit: a Jetstream's.

CREATE TABLE heard (            -- the last operations of each repository that a consumer took one by one
    consumer_id INTEGER NOT NULL REFERENCES consumer (id) ON DELETE CASCADE,
    did         TEXT NOT NULL,
    rev         TEXT NOT NULL,
    collection  TEXT NOT NULL,
    rkey        TEXT NOT NULL,
    cid         TEXT,            -- of the record; null for a delete
    PRIMARY KEY (consumer_id, did, rev, collection, rkey)
) STRICT, WITHOUT ROWID;

-- Retention: what was laid aside may lose its record, and is still there to be seen.
ALTER TABLE inbox ADD COLUMN since INTEGER;      -- waiting: when it was sent again, if it was; dead: when retention found it so
ALTER TABLE inbox ADD COLUMN removed_at INTEGER; -- when retention removed its record
