//! Deliveries in memory: one queue for each hook, served fairly.
//!
//! Pure bookkeeping: no clock, no I/O, no locks. Tenants are served round robin, and so are the hooks of a tenant. A tenant
//! with a million deliveries therefore starts as many requests as a tenant with one.
//!
//! Everything is limited, in total, for each tenant and for each hook: deliveries that are queued, in number and in bytes,
//! and requests in flight. How many requests a hook may have in flight follows what its receiver answers ([`health`]). How
//! many are kept free for tenants whose receivers answer is decided in [`shares`].

mod aside;
mod at_rest;
mod backlog;
mod capacity;
mod figures;
mod forgetting;
mod gathering;
mod health;
mod hook_queue;
mod members;
mod next;
mod pacer;
mod pacing;
mod queue;
mod recall;
mod round_robin;
mod shares;
mod urgent;
mod withdrawal;

pub(super) use self::capacity::ClaimCapacity;
pub use self::figures::{QueueFigures, Waiting};
pub use self::health::Observation;
pub(super) use self::next::{AttemptKey, Next, Started};
pub(super) use self::queue::FairQueue;
pub use self::withdrawal::{NotRecalled, RecallEnd};

#[cfg(test)]
mod tests;
