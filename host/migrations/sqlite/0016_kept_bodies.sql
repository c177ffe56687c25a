-- The beginnings of requests' bodies, only of hooks that have them kept. What has expired is deleted.
CREATE TABLE kept_bodies (
    attempt_id INTEGER PRIMARY KEY,
    tenant_id  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    body       BLOB NOT NULL
) STRICT;
CREATE INDEX kept_bodies_by_expiry ON kept_bodies (expires_at);
