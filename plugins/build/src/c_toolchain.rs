//! Finding what a guest in C can be built with: a clang that knows the target, a linker, and clang's library of what the
//! target has no instructions for. On Debian these are `clang-19`, `lld-19` and `libclang-rt-19-dev-wasm32`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::toolchain::{output, system_linker};

/// The first that is there is taken. Another version makes other bytes, but no other plugin.
const CLANGS: &[&str] = &["clang-19", "clang", "clang-20", "clang-18"];

/// What the guest in C in the repository was built with.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedC {
    /// The first line of what `clang --version` says.
    pub clang: String,
    /// What the linker says of its version.
    pub linker: String,
}

/// A compiler and a linker that can build guests.
#[derive(Debug)]
pub struct CToolchain {
    /// The compiler.
    pub clang: PathBuf,
    /// The linker.
    pub linker: PathBuf,
    /// clang's library for the target.
    pub builtins: PathBuf,
}

impl CToolchain {
    /// Looks at `$HOOKWRIGHT_GUEST_CLANG`, then at the usual names.
    ///
    /// # Errors
    /// If a part is missing; the message says what to install.
    #[expect(
        clippy::disallowed_methods,
        reason = "a tool of its own, which is told of its compilers by the environment"
    )]
    pub fn find() -> Result<Self> {
        let chosen = std::env::var("HOOKWRIGHT_GUEST_CLANG").ok();
        let clangs = chosen.as_deref().map_or(CLANGS.to_vec(), |chosen| vec![chosen]);
        let found = clangs.into_iter().find_map(|clang| Some((clang.into(), builtins(clang)?)));
        let (clang, builtins) = found.context(
            "no clang here can build for WebAssembly. On Debian: \
             `apt install clang-19 lld-19 libclang-rt-19-dev-wasm32`. Another can be named in HOOKWRIGHT_GUEST_CLANG.",
        )?;
        Ok(Self { clang, linker: system_linker()?, builtins })
    }

    /// What goes into the manifest.
    ///
    /// # Errors
    /// If a program does not tell its version.
    pub fn record(&self) -> Result<RecordedC> {
        let clang = output(Command::new(&self.clang).arg("--version"))?;
        Ok(RecordedC {
            clang: clang.lines().next().unwrap_or_default().to_owned(),
            linker: output(Command::new(&self.linker).arg("--version"))?,
        })
    }
}

/// The library, if it is there: a clang without it has said a name that leads nowhere.
fn builtins(clang: &str) -> Option<PathBuf> {
    // It is kept under the name of a target with a system, and is the same for the one without.
    let arguments = ["--target=wasm32-wasi", "-rtlib=compiler-rt", "-print-libgcc-file-name"];
    let path = PathBuf::from(output(Command::new(clang).args(arguments)).ok()?);
    path.is_file().then_some(path)
}
