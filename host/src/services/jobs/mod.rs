//! Jobs: replays of events, and retries and cancellations in bulk.
//!
//! [`JobService`] is what clients do with jobs. [`JobRunner`] does the work, step by step.

mod pace;
mod runner;
mod service;
mod step;

pub use runner::JobRunner;
pub use service::{CANCELLABLE, JobError, JobService, REPLAYABLE, RETRYABLE, ReplayPreview};
