//! Helpers for tests and benchmarks: the real binary, a receiver, and a client of the API.
//!
//! Tests do not sleep. They wait for an event, such as an arrival at the receiver, a state of a delivery or the end
//! of a process, for at most [`TIMEOUT`].

pub mod client;
pub mod database;
pub mod guest;
pub mod program;
pub mod proxy;
pub mod receiver;
pub mod scratch;
pub mod server;
pub mod soak;

use std::time::Duration;

pub use client::{Client, Response, without_last_use};
pub use program::Program;
pub use receiver::{Arrival, Receiver, Reply};
pub use server::Server;

/// Maximum time to wait for an expected event, even on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// The time after `wait` from now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the engine's clock in tests is that of the system")]
pub fn from_now(wait: std::time::Duration) -> jiff::Timestamp {
    jiff::Timestamp::now() + wait
}
