//! Limits that resources share.

/// The maximum size of a body without event data or plugin settings, in bytes.
pub(super) const MAX_SMALL_BODY: usize = 64 * 1024;
