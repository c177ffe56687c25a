-- Every change of configuration has a revision, by which caches and other nodes follow. Old rows are deleted; the newest stays.
CREATE TABLE directory_changes (
    revision  INTEGER PRIMARY KEY,
    kind      TEXT NOT NULL,               -- tenant, project, key, login, token, hook or plugin
    tenant_id INTEGER NOT NULL,
    name      TEXT NOT NULL                -- the name, number or id of what changed
) STRICT;
