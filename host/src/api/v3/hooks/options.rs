//! The members of a hook that stand for its options.

use crate::domain::HookOptions;

/// The options; absent members get their defaults.
pub(super) fn read_options(paused: Option<bool>) -> HookOptions {
    HookOptions { paused: paused.unwrap_or(false), ..HookOptions::default() }
}
