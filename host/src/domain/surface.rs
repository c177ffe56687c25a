//! The interfaces that hooks are made through.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Invalid;
use super::attempt::words;

words! {
    /// An interface that hooks are made through. It alone shows a hook in full, and changes it.
    Surface {
        /// The engine's own.
        V3 = "v3",
        /// The project web hook, API v1.
        ProjectWebHook = "project-web-hook",
        /// Apizee's company web hook.
        Apizee = "apizee",
        /// Webitel's hooks, API v2.
        Webitel = "webitel",
    }
}

/// Where a hook comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The interface it was made through.
    pub surface: Surface,
    /// What that interface keeps of the hook beside what the engine knows: JSON text of its own making.
    pub members: Arc<str>,
}

impl Default for Origin {
    /// The engine's own interface keeps nothing beside.
    fn default() -> Self {
        Self { surface: Surface::V3, members: "{}".into() }
    }
}
