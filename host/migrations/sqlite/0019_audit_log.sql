-- Who changed what of the configuration. An entry is written in the transaction of its change, and never changed.
CREATE TABLE audit_log (
    id          INTEGER PRIMARY KEY,      -- has the time
    tenant_id   INTEGER,                  -- NULL: it is about the engine
    actor_kind  TEXT NOT NULL,
    actor_id    TEXT,
    actor_name  TEXT,
    surface     TEXT,                     -- NULL: not by a request
    address     TEXT,
    request_id  TEXT,
    action      TEXT NOT NULL,            -- such as hook.updated
    object_kind TEXT NOT NULL,
    object_id   TEXT NOT NULL,
    object_name TEXT,
    changes     TEXT NOT NULL             -- JSON: [["name", old, new], …]; without values if these may be secret
) STRICT;
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, id);

-- The first characters of a key, when it ends, when it was last used, and scopes that older builds do not know.
ALTER TABLE api_keys ADD COLUMN prefix TEXT;
ALTER TABLE api_keys ADD COLUMN expires_at INTEGER;
ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER;
ALTER TABLE api_keys ADD COLUMN further_scopes TEXT NOT NULL DEFAULT '[]';   -- JSON, as scopes

-- Keys of operators beside the one of the settings.
CREATE TABLE operator_keys (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    role         TEXT NOT NULL,
    hash         BLOB NOT NULL UNIQUE,    -- SHA-256 of the key
    prefix       TEXT NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    created_at   INTEGER NOT NULL
) STRICT;
