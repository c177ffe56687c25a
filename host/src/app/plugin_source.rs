//! Where the sandbox gets plugins from.

use std::sync::Arc;

use async_trait::async_trait;

use crate::directory::Directory;
use crate::domain::Digest;
use crate::sandbox::{Owners, WasmSource};

/// The sandbox gets the bytes of plugins from the directory.
pub(super) struct Plugins(pub(super) Arc<Directory>);

#[async_trait]
impl WasmSource for Plugins {
    async fn wasm(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        self.0.plugin_wasm(digest).await.map_err(|error| error.to_string())
    }

    fn owners(&self, digest: &Digest) -> Owners {
        self.0.plugin_owners(digest)
    }
}
