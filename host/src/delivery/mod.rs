//! The way out: each delivery is attempted until a receiver takes it or its schedule is over.
//!
//! ```text
//! ingest ──reserve, commit, push──▶ dispatcher ──▶ worker ─┬─▶ pipelines (sandbox)
//!             feeder ──claim from disk──▶ │                ├─▶ request, signing
//!                ▲                        │                ├─▶ client (egress checked on connecting)
//!                └── retries, overflow, ──┘                └─▶ decision ──▶ recorder ──▶ storage.record
//!                    leases that ended
//! ```
//!
//! Who writes what: [`Ingest`](crate::ingest::Ingest) stores events with their deliveries, leased where they have room in
//! memory; the [`feeder`] leases the others when they are due; the [`worker`] alone decides how a lease ends, and the
//! recorder writes the attempt and the next state in one transaction. A lease that ends by itself means that
//! the process died or lost the delivery: it is due again, and that is why delivery is *at least* once.
//!
//! A receiver's failure and a plugin's failure are data: an [`Outcome`](crate::domain::Outcome). What is
//! done about it is decided in one pure function, [`decision::decide`].

pub mod client;
mod crew;
pub mod decision;
mod dispatcher;
pub mod egress;
pub mod feeder;
mod lanes;
mod pipelines;
mod preflight;
mod recorder;
mod request;
mod request_size;
pub mod signing;
pub mod tls;
pub mod worker;

pub use crew::Crew;
pub use dispatcher::{Dispatcher, DispatcherLimits, Recalled};
pub use lanes::{NotRecalled, Work};
pub use pipelines::Pipelines;
pub use recorder::Recorder;
pub use request::{plain_draft, signed_headers};
