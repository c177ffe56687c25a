//! Builds the components of the standard plugins, and checks that the components in the repository are current.
//!
//! The components are stored in `plugins/dist/`, so that building the engine requires no WebAssembly toolchain. The
//! manifest in the same directory has a digest of each component and of its sources, which can be computed on any
//! machine ([`sources`]). `plugins/README.md` describes the use.

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

/// Returns the root of the workspace.
pub fn workspace_root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root.pop();
    root
}
