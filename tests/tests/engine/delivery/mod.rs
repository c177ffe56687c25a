//! The way of an event, from its acceptance to its arrival.

mod connections;
mod crash;
mod egress;
mod lifecycle;
mod log;
mod retries;
mod shutdown;
