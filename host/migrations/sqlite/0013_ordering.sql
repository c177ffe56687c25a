-- Order: of the deliveries of a hook that have the same ordering key, one is sent after the other.

ALTER TABLE events ADD COLUMN ordering_key TEXT;        -- as its publisher gave it

-- A delivery with a number is in the order of its hook and key, by these numbers. Until it is the first, it waits: `due_at` is
-- then eight days too late, so that a claim does not find it. Without a number it is in no order.
ALTER TABLE deliveries ADD COLUMN ordering_key TEXT;    -- '' if the whole hook is in one order
ALTER TABLE deliveries ADD COLUMN ordering_seq INTEGER;
ALTER TABLE deliveries ADD COLUMN ordering_waits INTEGER;

CREATE INDEX deliveries_in_order ON deliveries (hook_id, ordering_key, ordering_seq)
    WHERE ordering_seq IS NOT NULL AND state < 3;
