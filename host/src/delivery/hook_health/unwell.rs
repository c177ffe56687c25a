//! Which hooks are not well, for monitoring.

use std::collections::HashMap;

use super::HookHealthMonitor;
use crate::domain::HookId;

impl HookHealthMonitor {
    /// The hooks that fail, and whether their circuits are open.
    pub fn unwell_hooks(&self) -> HashMap<HookId, bool> {
        self.records().unwell().collect()
    }
}
