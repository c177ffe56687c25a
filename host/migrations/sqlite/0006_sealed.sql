-- What could be misused by a reader of the file is encrypted. A row whose column is NULL is one of an earlier engine: the
-- next start seals it.

ALTER TABLE hooks ADD COLUMN sealed BLOB;               -- URL, headers, settings, members, signing secrets
ALTER TABLE rendered_requests ADD COLUMN sealed BLOB;   -- URL and headers

-- What the engine must know of its own past.
CREATE TABLE engine_state (
    name  TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
