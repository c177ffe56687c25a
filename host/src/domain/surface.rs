//! The APIs through which hooks are managed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Invalid;
use super::attempt::named_enum;

named_enum! {
    /// An API through which hooks are managed. Only the API that created a hook shows it in full and changes it.
    Surface {
        /// The engine's own API, v3.
        V3 = "v3",
        /// The project web hook API, v1.
        ProjectWebHook = "project-web-hook",
        /// Apizee's company web hook API.
        Apizee = "apizee",
        /// Webitel's hook API, v2.
        Webitel = "webitel",
    }
}

/// Origin of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The API that created it.
    pub surface: Surface,
    /// Additional members that this API stores with the hook: JSON text.
    pub members: Arc<str>,
}

impl Default for Origin {
    /// The engine's own API stores no additional members.
    fn default() -> Self {
        Self { surface: Surface::V3, members: "{}".into() }
    }
}
