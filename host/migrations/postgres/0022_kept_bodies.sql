-- The beginnings of requests' bodies, only of hooks that have them kept. What has expired is deleted.
CREATE TABLE kept_bodies (
    attempt_id bigint PRIMARY KEY,
    tenant_id  bigint NOT NULL,
    expires_at bigint NOT NULL,
    body       bytea NOT NULL
);
CREATE INDEX kept_bodies_by_expiry ON kept_bodies (expires_at);
