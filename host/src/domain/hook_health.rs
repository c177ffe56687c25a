//! What all nodes know of a hook whose receiver fails. A hook without any of it is well.

use super::{HookId, TenantId, UnixMillis};

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookHealth {
    /// The hook.
    pub hook: HookId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Since when the hook is failing.
    pub failing_since: Option<UnixMillis>,
    /// Since when no attempt has succeeded.
    pub all_failed_since: Option<UnixMillis>,
    /// How many of the last attempts failed.
    pub failed: u32,
    /// How many attempts are the last ones.
    pub attempts: u32,
    /// Why the last one failed, in words.
    pub reason: String,
    /// The circuit, if it is open.
    pub circuit: Option<OpenCircuit>,
}

/// A circuit that is open: deliveries are held, except for one that probes the receiver when the time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenCircuit {
    /// Since when it is open.
    pub since: UnixMillis,
    /// When the receiver is probed.
    pub until: UnixMillis,
    /// How many probes have failed.
    pub failed_probes: u32,
}
