-- Ids are 63-bit numbers that ascend with time, so as INTEGER PRIMARY KEY they are the row id and
-- every table is appended to. Times are milliseconds since the Unix epoch.
-- There are no foreign keys: events and deliveries are the hot path, and everything else is removed by
-- the statement that removes what it belongs to.

CREATE TABLE tenants (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    client_id  INTEGER UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE projects (
    tenant_id  INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    name       TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id         INTEGER PRIMARY KEY,
    tenant_id  INTEGER NOT NULL,
    name       TEXT NOT NULL,
    scopes     TEXT NOT NULL,             -- JSON: ["events:write", …]
    hash       BLOB NOT NULL UNIQUE,      -- SHA-256 of the key
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE hooks (
    id           INTEGER PRIMARY KEY,
    tenant_id    INTEGER NOT NULL,
    url          TEXT NOT NULL,
    subscription TEXT NOT NULL,           -- JSON: ["session.*", …]
    enabled      INTEGER NOT NULL,
    description  TEXT NOT NULL,
    headers      TEXT NOT NULL,           -- JSON: [["name", "value"], …]
    pipeline     TEXT NOT NULL,           -- JSON: [{"plugin": "name@3", "settings": "{…}"}, …]
    timeout_ms   INTEGER NOT NULL,
    retry_ms     TEXT NOT NULL,           -- JSON: [5000, …]
    signing      TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX hooks_by_tenant ON hooks (tenant_id);

CREATE TABLE hook_secrets (
    hook_id    INTEGER NOT NULL,
    position   INTEGER NOT NULL,          -- 0 is the current one
    secret     BLOB NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (hook_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE plugin_versions (
    owner      INTEGER NOT NULL,          -- a tenant's id; 0 for a standard plugin
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    digest     BLOB NOT NULL,
    roles      TEXT NOT NULL,             -- JSON: ["mapper", …]
    imports    TEXT NOT NULL,             -- JSON: ["hookwright:plugin/log@1.0.0", …]
    size_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (owner, name, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX plugin_versions_by_digest ON plugin_versions (digest);

-- With a row id of its own: megabytes do not belong into the tree of an index.
CREATE TABLE plugin_blobs (
    digest BLOB NOT NULL UNIQUE,
    wasm   BLOB NOT NULL
) STRICT;

CREATE TABLE events (
    key             INTEGER PRIMARY KEY,
    tenant_id       INTEGER NOT NULL,
    external_id     TEXT,                 -- the sender's id; NULL where the key is the id
    idempotency_key TEXT,
    content         BLOB,                 -- SHA-256, only beside one of the two above
    project         INTEGER,
    event_type      TEXT NOT NULL,
    occurred_at     INTEGER NOT NULL,
    delivery_count  INTEGER NOT NULL,     -- as accepted
    data            TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_external_id ON events (tenant_id, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX events_by_idempotency_key ON events (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- state: 0 pending, 1 delivering, 2 waiting, 3 succeeded, 4 exhausted, 5 dropped, 6 cancelled
-- made_by: 0 event, 1 test, 2 replay
CREATE TABLE deliveries (
    id         INTEGER PRIMARY KEY,
    tenant_id  INTEGER NOT NULL,
    hook_id    INTEGER NOT NULL,
    event_key  INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    made_by    INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    failures   INTEGER NOT NULL,
    due_at     INTEGER                    -- NULL once final; the lease's end while delivering
) STRICT;
-- What is to be done. The state stands in it so that leases can be found without reading a backlog's rows.
CREATE INDEX deliveries_unfinished ON deliveries (hook_id, due_at, id, state) WHERE state < 3;
-- What people ask for. A delivery that succeeds at once is never in it: it costs the hot path nothing.
CREATE INDEX deliveries_by_state ON deliveries (tenant_id, state, id) WHERE state <> 1 AND state <> 3;
-- In these two, the type stands so that a rare type is found without reading the rows of all others.
CREATE INDEX deliveries_by_tenant ON deliveries (tenant_id, id, event_type);
CREATE INDEX deliveries_by_hook ON deliveries (hook_id, id, event_type);
CREATE INDEX deliveries_by_event ON deliveries (event_key);

CREATE TABLE attempts (
    id          INTEGER PRIMARY KEY,
    delivery_id INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL,
    outcome     TEXT NOT NULL,            -- response, timed-out, unreachable, faulted, dropped
    status      INTEGER,
    detail      TEXT NOT NULL,            -- JSON, by outcome
    body        BLOB,                     -- the beginning of a response's body
    steps       TEXT,                     -- JSON; NULL where no plugin ran
    request     TEXT                      -- JSON; NULL where nothing was sent
) STRICT;
CREATE INDEX attempts_by_delivery ON attempts (delivery_id);

CREATE TABLE rendered_requests (
    delivery_id INTEGER PRIMARY KEY,
    method      TEXT NOT NULL,
    url         TEXT NOT NULL,
    headers     TEXT NOT NULL,            -- JSON: [["name", "value"], …]
    body_kind   INTEGER NOT NULL,         -- 0 none, 1 text, 2 binary
    body        BLOB
) STRICT;
