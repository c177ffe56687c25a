-- Who changed what of the configuration. An entry is written in the transaction of its change, and never changed.
CREATE TABLE audit_log (
    id          bigint PRIMARY KEY,       -- has the time
    tenant_id   bigint,                   -- NULL: it is about the engine
    actor_kind  text NOT NULL,
    actor_id    text,
    actor_name  text,
    surface     text,                     -- NULL: not by a request
    address     text,
    request_id  text,
    action      text NOT NULL,            -- such as hook.updated
    object_kind text NOT NULL,
    object_id   text NOT NULL,
    object_name text,
    changes     text NOT NULL             -- JSON: [["name", old, new], …]; without values if these may be secret
);
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, id);

-- The first characters of a key, when it ends, when it was last used, and scopes that older builds do not know: these leave
-- out a key whose scopes have an unknown one.
ALTER TABLE api_keys ADD COLUMN prefix text;
ALTER TABLE api_keys ADD COLUMN expires_at bigint;
ALTER TABLE api_keys ADD COLUMN last_used_at bigint;
ALTER TABLE api_keys ADD COLUMN further_scopes text NOT NULL DEFAULT '[]';   -- JSON, as scopes

-- Keys of operators beside the one of the settings.
CREATE TABLE operator_keys (
    id           bigint PRIMARY KEY,
    name         text COLLATE "C" NOT NULL UNIQUE,
    role         text NOT NULL,
    hash         bytea NOT NULL UNIQUE,   -- SHA-256 of the key
    prefix       text NOT NULL,
    expires_at   bigint,
    last_used_at bigint,
    created_at   bigint NOT NULL
);
