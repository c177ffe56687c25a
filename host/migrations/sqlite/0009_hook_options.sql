-- Options that most hooks and tenants leave at their defaults: only members that differ from them.
ALTER TABLE hooks ADD COLUMN options TEXT NOT NULL DEFAULT '{}';           -- JSON object
ALTER TABLE tenants ADD COLUMN options TEXT NOT NULL DEFAULT '{}';         -- JSON object

-- Hooks whose receivers fail. A hook without a row is well.
CREATE TABLE hook_health (
    hook_id    INTEGER PRIMARY KEY,
    tenant_id  INTEGER NOT NULL,
    health     TEXT NOT NULL,              -- JSON object
    open_until INTEGER                     -- until when the circuit is open; a node that probes moves it first
) STRICT;
