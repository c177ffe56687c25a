//! Exit codes, and the error for invalid input.

/// The exit code for a failure.
pub(super) const FAILED: u8 = 1;
/// The exit code for an invalid command line or setting, the same as clap's.
pub(super) const USAGE: u8 = 2;

/// Invalid input of the user, such as a missing file or an event that is not JSON.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadInput(pub(super) String);
