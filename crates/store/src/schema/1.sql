-- Everything that an agent's processes must not forget. Times are milliseconds since 1970.

CREATE TABLE login (            -- accounts that are logged in; WHO READS THIS CAN WRITE AS THEM
    did          TEXT PRIMARY KEY,
    handle       TEXT NOT NULL,  -- at the time of the login
    pds          TEXT NOT NULL,  -- URL
    plc          TEXT,           -- URL of the did:plc directory; null is the public one
    access       TEXT NOT NULL,  -- tokens, as the PDS gave them
    refresh      TEXT NOT NULL,
    logged_in_at INTEGER NOT NULL -- the newest is used where none is named
) STRICT;

CREATE TABLE outbox (           -- what was accepted for writing, in the order of acceptance
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    did         TEXT NOT NULL,   -- at://DID/COLLECTION/RKEY is where it goes
    collection  TEXT NOT NULL,
    rkey        TEXT NOT NULL,
    action      TEXT NOT NULL CHECK (action IN ('create', 'put', 'delete')),
    swap        TEXT,            -- put, delete: only if this CID is what is there
    record      BLOB,            -- DAG-CBOR; null for a delete, and once it is forgotten
    cid         TEXT,            -- of the record, once it is fixed: its attachments are uploaded
    once        TEXT,            -- the caller's own key: the same key again is the same row
    priority    INTEGER NOT NULL,
    rank        INTEGER NOT NULL, -- the lowest is sent next: the time of acceptance, less what priority is worth
    state       TEXT NOT NULL DEFAULT 'pending'
                CHECK (state IN ('pending', 'written', 'failed', 'folded')),
    attempts    INTEGER NOT NULL DEFAULT 0, -- how often it was sent
    doubt_since INTEGER,         -- sent, and not known what became of it: it is read back before it is sent again
    not_before  INTEGER NOT NULL DEFAULT 0, -- not sent again before this
    failure     TEXT,            -- failed: a name for it
    reason      TEXT,            -- failed, or pending after a failed attempt: in words
    found       TEXT,            -- failed: the CID that is there instead
    folded_into INTEGER REFERENCES outbox (id), -- folded: the later write of the same key that replaced it
    accepted_at INTEGER NOT NULL,
    settled_at  INTEGER,         -- when it was written, failed or folded
    rev         TEXT,            -- written: of the commit, if the PDS told
    commit_cid  TEXT
) STRICT;
CREATE UNIQUE INDEX outbox_once ON outbox (did, once) WHERE once IS NOT NULL;
CREATE INDEX outbox_next ON outbox (did, rank, id) WHERE state = 'pending';
CREATE INDEX outbox_place ON outbox (did, collection, rkey, id) WHERE state = 'pending';
CREATE INDEX outbox_folded ON outbox (folded_into) WHERE folded_into IS NOT NULL; -- else each row that goes costs a scan

CREATE TABLE attachment (       -- the files that an outbox row needs uploaded; each is in the blob folder by its CID
    outbox_id INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    cid       TEXT NOT NULL,
    size      INTEGER NOT NULL,
    mime_type TEXT NOT NULL,     -- that is sent; the PDS may know better
    PRIMARY KEY (outbox_id, cid)
) STRICT, WITHOUT ROWID;
CREATE INDEX attachment_cid ON attachment (cid);

CREATE TABLE uploaded (         -- blobs that a PDS has
    did       TEXT NOT NULL,
    cid       TEXT NOT NULL,
    pds       TEXT NOT NULL,
    mime_type TEXT NOT NULL,     -- as the PDS found it to be
    at        INTEGER NOT NULL,  -- a PDS forgets it after an hour or so if no record refers to it
    PRIMARY KEY (did, cid, pds)
) STRICT, WITHOUT ROWID;

CREATE TABLE bucket (           -- the rate limits of an account at its PDS
    did       TEXT NOT NULL,
    pool      TEXT NOT NULL CHECK (pool IN ('writes', 'blobs')), -- what is counted in it
    policy    TEXT NOT NULL,     -- such as 5000;w=3600: points and the window in seconds
    size      INTEGER NOT NULL,  -- points in a window
    window_s  INTEGER NOT NULL,
    left      INTEGER NOT NULL,  -- points, by our own count and the PDS's word
    resets_at INTEGER,           -- when it is full again; null while nothing was spent
    told      INTEGER NOT NULL,  -- 1: the PDS has named it; 0: it is assumed
    PRIMARY KEY (did, pool, policy)
) STRICT, WITHOUT ROWID;

CREATE TABLE server (           -- what is known of a PDS
    pds        TEXT PRIMARY KEY,
    blob_limit INTEGER,          -- the largest blob that it accepts, in bytes, as far as is known
    limited    INTEGER           -- 1: it tells of rate limits; 0: it has none; null: not asked yet
) STRICT, WITHOUT ROWID;

CREATE TABLE clock (            -- one row: what time has been reached, so that a clock set back does not matter
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    tid_micros INTEGER NOT NULL, -- of the newest record key
    millis     INTEGER NOT NULL  -- of the newest rank
) STRICT;
INSERT INTO clock VALUES (1, 0, 0);
