//! `plugins/dist/manifest.toml`.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::c_toolchain::RecordedC;
use crate::toolchain::Recorded;

/// Who wrote it, for those who open it.
const HEADER: &str =
    "# Written by `cargo run -p hookwright-plugins-build`. plugins/README.md says what it is.\n\n";

/// The components in the repository, and what they were made with and from.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What built those in Rust.
    pub toolchain: Recorded,
    /// What built the one in C.
    pub c_toolchain: RecordedC,
    /// One for each standard plugin, by name.
    #[serde(rename = "plugin")]
    pub plugins: Vec<Entry>,
}

/// A component.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The plugin's name.
    pub name: String,
    /// Its file, beside the manifest.
    pub file: String,
    /// The interfaces that it exports.
    pub roles: Vec<String>,
    /// A line for people choosing a plugin.
    pub description: String,
    /// The file's size in bytes.
    pub bytes: usize,
    /// SHA-256 of the file, in hexadecimal.
    pub component_sha256: String,
    /// SHA-256 of what it was made from, as [`crate::sources`] defines it, in hexadecimal.
    pub sources_sha256: String,
}

impl Manifest {
    /// Reads the manifest of a directory.
    ///
    /// # Errors
    /// If it can't be read, or isn't one.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("manifest.toml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Writes the manifest into a directory.
    ///
    /// # Errors
    /// If it can't be written.
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
