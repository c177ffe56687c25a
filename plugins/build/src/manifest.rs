//! `plugins/dist/manifest.toml`.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::c_toolchain::RecordedC;
use crate::toolchain::Recorded;

/// Header of the file.
const HEADER: &str =
    "# Written by `cargo run -p hookwright-plugins-build`. plugins/README.md says what it is.\n\n";

/// The components in the repository, with their toolchains and sources.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Toolchain of the components in Rust.
    pub toolchain: Recorded,
    /// Toolchain of the component in C.
    pub c_toolchain: RecordedC,
    /// One entry per standard plugin, by name.
    #[serde(rename = "plugin")]
    pub plugins: Vec<Entry>,
}

/// A component.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The plugin's name.
    pub name: String,
    /// File name in the directory of the manifest.
    pub file: String,
    /// The interfaces that it exports.
    pub roles: Vec<String>,
    /// A one-line description.
    pub description: String,
    /// Size of the file.
    pub bytes: usize,
    /// SHA-256 of the file, in hexadecimal.
    pub component_sha256: String,
    /// SHA-256 of its sources as defined in [`crate::sources`], in hexadecimal.
    pub sources_sha256: String,
}

impl Manifest {
    /// Reads the manifest of a directory.
    ///
    /// # Errors
    /// If it cannot be read or is invalid.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("manifest.toml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Writes the manifest into a directory.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let text = format!("{HEADER}{}", toml::to_string(self)?);
        let path = directory.join("manifest.toml");
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// The entry of a plugin.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.plugins.iter().find(|entry| entry.name == name)
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
