//! Delivery of events.

mod batch_pipelines;
mod batches;
mod cancelling;
mod connections;
mod crash;
mod egress;
mod hook_health;
mod jobs;
mod lifecycle;
mod log;
mod log_of_hooks;
mod missed;
mod neighbours;
mod operational_events;
mod ordering;
mod overload;
mod pausing;
mod proxy;
mod rates;
mod records;
mod replays;
mod retries;
mod shutdown;
mod statistics;
mod traces;
