-- What a node says of its work, for people to read. It is valid if `activity_epoch` is the node's epoch: nodes of earlier
-- versions do not write it.
ALTER TABLE nodes
    ADD COLUMN activity_epoch       bigint,
    ADD COLUMN deliveries_in_memory bigint,
    ADD COLUMN deliveries_in_flight bigint,
    ADD COLUMN owned_hooks          bigint,
    ADD COLUMN accepted_per_second  double precision;
