-- Notes on a few deliveries: which replay made them, and how often a lease of them ended without a record, so
-- that they may have been sent and are sent again.
CREATE TABLE delivery_notes (
    delivery_id  INTEGER PRIMARY KEY,
    tenant_id    INTEGER NOT NULL,
    job_id       INTEGER,                 -- the replay that made it
    interrupted  INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX delivery_notes_by_job ON delivery_notes (job_id, delivery_id) WHERE job_id IS NOT NULL;
CREATE INDEX delivery_notes_interrupted ON delivery_notes (tenant_id, delivery_id) WHERE interrupted > 0;
-- The settings of a replay's own pipeline, encrypted: a JSON array of texts, one for each step in `work`.
ALTER TABLE jobs ADD COLUMN sealed BLOB;
