//! What the tests and benchmarks share: the real binary, a receiver, and a client of the API.
//!
//! Nothing here sleeps. A test waits for something to happen: an arrival at the receiver, a state of a
//! delivery, the end of a process; and gives up after [`PATIENCE`].

pub mod client;
pub mod guest;
pub mod receiver;
pub mod server;

use std::time::Duration;

pub use client::{Answer, Client};
pub use receiver::{Arrival, Receiver, Reply};
pub use server::Server;

/// How long a test waits for what should happen, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
