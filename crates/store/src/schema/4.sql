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
