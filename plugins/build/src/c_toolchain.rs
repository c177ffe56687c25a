//! Finds a toolchain for the guest in C: a clang that supports the target, a linker, and clang's runtime library. On
//! Debian these are `clang-19`, `lld-19` and `libclang-rt-19-dev-wasm32`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::toolchain::{output, system_linker};

/// The names to try, in order. Another version gives different bytes with the same behavior.
const CLANGS: &[&str] = &["clang-19", "clang", "clang-20", "clang-18"];

/// The toolchain of the C component in the repository.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedC {
    /// First line of `clang --version`.
    pub clang: String,
    /// Version of the linker.
    pub linker: String,
}

/// A compiler and a linker that can build guests.
#[derive(Debug)]
pub struct CToolchain {
    /// The compiler.
    pub clang: PathBuf,
    /// The linker.
    pub linker: PathBuf,
    /// clang's runtime library for the target.
    pub builtins: PathBuf,
}

impl CToolchain {
    /// Tries `$HOOKWRIGHT_GUEST_CLANG`, then the usual names.
    ///
    /// # Errors
    /// If a part is missing. The message says what to install.
    #[expect(
        clippy::disallowed_methods,
        reason = "a separate tool, whose compilers are set in the environment"
    )]
    pub fn find() -> Result<Self> {
        let chosen = std::env::var("HOOKWRIGHT_GUEST_CLANG").ok();
        let clangs = chosen.as_deref().map_or(CLANGS.to_vec(), |chosen| vec![chosen]);
        let found = clangs.into_iter().find_map(|clang| Some((clang.into(), builtins(clang)?)));
        let (clang, builtins) = found.context(
            "found no clang for WebAssembly. On Debian: `apt install clang-19 lld-19 libclang-rt-19-dev-wasm32`. To use \
             another clang, set HOOKWRIGHT_GUEST_CLANG.",
        )?;
        Ok(Self { clang, linker: system_linker()?, builtins })
    }

    /// Returns the record for the manifest.
    ///
    /// # Errors
    /// If the version of a program cannot be determined.
    pub fn record(&self) -> Result<RecordedC> {
        let clang = output(Command::new(&self.clang).arg("--version"))?;
        Ok(RecordedC {
            clang: clang.lines().next().unwrap_or_default().to_owned(),
            linker: output(Command::new(&self.linker).arg("--version"))?,
        })
    }
}

/// Returns the runtime library, if it exists. clang prints its path even if it is not installed.
fn builtins(clang: &str) -> Option<PathBuf> {
    // The library is installed for the WASI target and is the same for the target without a system.
    let arguments = ["--target=wasm32-wasi", "-rtlib=compiler-rt", "-print-libgcc-file-name"];
    let path = PathBuf::from(output(Command::new(clang).args(arguments)).ok()?);
    path.is_file().then_some(path)
}
