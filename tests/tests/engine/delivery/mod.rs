//! The way of an event, from its acceptance to its arrival.

mod cancelling;
mod connections;
mod crash;
mod egress;
mod lifecycle;
mod log;
mod neighbours;
mod records;
mod retries;
mod shutdown;
