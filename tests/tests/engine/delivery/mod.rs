//! Delivery of events.

mod cancelling;
mod connections;
mod crash;
mod egress;
mod lifecycle;
mod log;
mod neighbours;
mod overload;
mod proxy;
mod records;
mod retries;
mod shutdown;
