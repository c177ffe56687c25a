//! What the engine writes into headers by itself.

/// The engine's `User-Agent`, unless a hook or a plugin sets its own.
pub(super) const USER_AGENT: &str = concat!("Hookwright/", env!("CARGO_PKG_VERSION"));

/// The header that names the sender to a receiver that has allowed it (CloudEvents, HTTP Web Hooks, section 4.1.2).
pub(super) const REQUEST_ORIGIN: &str = "webhook-request-origin";
