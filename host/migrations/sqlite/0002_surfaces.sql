-- Hooks of older systems' interfaces, and what their clients show who they are with.

ALTER TABLE hooks ADD COLUMN surface TEXT NOT NULL DEFAULT 'v3';
ALTER TABLE hooks ADD COLUMN surface_members TEXT NOT NULL DEFAULT '{}';   -- JSON, of the surface's own making
ALTER TABLE hooks ADD COLUMN project INTEGER;
ALTER TABLE hooks ADD COLUMN preflight TEXT NOT NULL DEFAULT '[]';         -- JSON, as pipeline
ALTER TABLE hooks ADD COLUMN authorization BLOB;                           -- encrypted
ALTER TABLE hooks ADD COLUMN authorization_enabled INTEGER NOT NULL DEFAULT 0;

CREATE TABLE logins (
    tenant_id  INTEGER NOT NULL,
    name       TEXT NOT NULL,
    secret     BLOB NOT NULL,             -- encrypted
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE domain_tokens (
    id         TEXT PRIMARY KEY NOT NULL, -- a UUID
    tenant_id  INTEGER NOT NULL,
    role       TEXT NOT NULL,
    enabled    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- When the hook that rendered it was last changed: a request is sent again only for the hook as it then was.
ALTER TABLE rendered_requests ADD COLUMN hook_updated_at INTEGER NOT NULL DEFAULT -1;
