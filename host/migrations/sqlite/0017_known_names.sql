-- Names of events: their senders' ids, and idempotency keys. They were in two indexes of `events`, into which each event was
-- inserted at random: the larger they were, the slower it was. Now they are hashes that are kept for some time. Events that were
-- stored before stay in these indexes until they are deleted.
ALTER TABLE events ADD COLUMN sender_id TEXT;            -- instead of external_id
ALTER TABLE events ADD COLUMN sender_key TEXT;           -- instead of idempotency_key

-- The newest, in the order in which they were stored. A large number of them moves to `known_names` at a time.
CREATE TABLE recent_names (
    position   INTEGER PRIMARY KEY,
    hash       BLOB NOT NULL,             -- 16 bytes of the SHA-256 of tenant, kind and name
    event_key  INTEGER NOT NULL,
    mark       INTEGER NOT NULL,          -- a hash of the content; 0: any content is a repetition
    deliveries INTEGER NOT NULL
) STRICT;

-- A bucket takes some generations of names, each in the order of hashes, and is deleted as a whole.
CREATE TABLE known_names (
    bucket     INTEGER NOT NULL,
    hash       BLOB NOT NULL,
    event_key  INTEGER NOT NULL,
    mark       INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    PRIMARY KEY (bucket, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE name_buckets (
    number     INTEGER PRIMARY KEY,
    last_event INTEGER NOT NULL           -- the greatest key of an event in it
) STRICT;
