//! Builds the standard plugins to components, and tells whether the ones in the repository are current.
//!
//! The components are kept in `plugins/dist/`, so that the engine is built without a WebAssembly toolchain. What
//! keeps them honest is the manifest beside them: a digest of each component, and one of all that it was
//! made from, which any machine can compute again ([`sources`]). `plugins/README.md` says how to use this.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod c_toolchain;
pub mod component;
pub mod guest;
pub mod manifest;
pub mod quickjs;
pub mod snapshot;
pub mod sources;
pub mod standard;
pub mod toolchain;

use std::path::PathBuf;

/// The root of the workspace, where this crate was built.
pub fn workspace_root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root.pop();
    root
}
