//! Version 1 of the plugin contract: `wit/v1`.

pub(super) mod bindings;
pub(super) mod convert;
pub(super) mod host;
