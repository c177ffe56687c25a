//! Plugins of version 1: `wit/v1`.

pub(super) mod bindings;
pub(super) mod convert;
pub(super) mod host;
