//! Fuel for what the host does on behalf of a plugin.

/// Fuel for a call of a host function, without the part for its data.
pub(super) const CALL_FUEL: u64 = 1_000;
/// Fuel per byte that is copied or checked.
pub(super) const BYTE_FUEL: u64 = 1;
/// Fuel per byte that is hashed.
pub(super) const HASHED_BYTE_FUEL: u64 = 8;
