//! Finds a toolchain for guests in Rust.
//!
//! Two kinds are supported: a Rust with the target's standard library, as installed by rustup, and a Rust with the
//! source of its standard library, as in Debian's packages `rustc-web` and `rust-web-src`, from which Cargo builds
//! it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// The target of guests.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// The toolchain of the Rust components in the repository.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Output of `rustc --version`.
    pub rustc: String,
    /// Output of `cargo --version`. Cargo determines the hashes of crates, and thus the order of the code.
    pub cargo: String,
    /// `prebuilt`, or `from-source`.
    pub standard_library: String,
    /// Version of the linker, or `of rustc` for the linker that comes with rustc.
    pub linker: String,
}

/// A Rust that can build guests.
#[derive(Debug)]
pub struct Toolchain {
    /// The compiler.
    pub rustc: PathBuf,
    /// Source of the standard library, if it must be built.
    pub library_source: Option<PathBuf>,
    /// The linker, if the compiler has none.
    pub linker: Option<PathBuf>,
}

impl Toolchain {
    /// Tries `$HOOKWRIGHT_GUEST_RUSTC`, then `rustc` in the path, then Debian's.
    ///
    /// # Errors
    /// If none of them can build guests. The message says what to install.
    #[expect(
        clippy::disallowed_methods,
        reason = "a separate tool, whose compilers are set in the environment"
    )]
    pub fn find() -> Result<Self> {
        let chosen = std::env::var_os("HOOKWRIGHT_GUEST_RUSTC").map(PathBuf::from);
        let usual = [PathBuf::from("rustc"), PathBuf::from("/usr/bin/rustc")];
        let candidates = chosen.clone().map_or(usual.to_vec(), |chosen| vec![chosen]);
        let prebuilt = candidates.iter().find(|rustc| has_target(rustc));
        if let Some(rustc) = prebuilt {
            return Ok(Toolchain { rustc: rustc.clone(), library_source: None, linker: None });
        }
        for rustc in &candidates {
            if let Some(source) = library_source(rustc) {
                let linker = find_linker(&candidates)?;
                return Ok(Toolchain {
                    rustc: rustc.clone(),
                    library_source: Some(source),
                    linker: Some(linker),
                });
            }
        }
        bail!(
            "found no Rust compiler for {TARGET}. With rustup: `rustup target add {TARGET}`. On Debian: \
             `apt install rustc-web rust-web-src lld-19`. To use another compiler, set HOOKWRIGHT_GUEST_RUSTC."
        )
    }

    /// Returns the record for the manifest.
    ///
    /// # Errors
    /// If the version of a program cannot be determined.
    pub fn record(&self) -> Result<Recorded> {
        let linker = match &self.linker {
            Some(linker) => output(Command::new(linker).args(["-flavor", "wasm", "--version"]))
                .or_else(|_error| output(Command::new(linker).arg("--version")))?,
            None => "of rustc".into(),
        };
        Ok(Recorded {
            rustc: output(Command::new(&self.rustc).arg("--version"))?,
            cargo: output(Command::new("cargo").arg("--version"))?,
            standard_library: if self.library_source.is_some() { "from-source" } else { "prebuilt" }.into(),
            linker,
        })
    }
}

fn has_target(rustc: &Path) -> bool {
    let directory = output(Command::new(rustc).args(["--target", TARGET, "--print", "target-libdir"]));
    directory.is_ok_and(|directory| Path::new(&directory).is_dir())
}

fn library_source(rustc: &Path) -> Option<PathBuf> {
    let source = PathBuf::from(output(Command::new(rustc).args(["--print", "sysroot"])).ok()?)
        .join("lib/rustlib/src/rust");
    source.join("library/std/Cargo.toml").is_file().then_some(source)
}

/// Finds `rust-lld` of a Rust installation, or the system's `wasm-ld`. Versions before 18 have no `--initial-heap`.
fn find_linker(compilers: &[PathBuf]) -> Result<PathBuf> {
    for rustc in compilers {
        let Ok(directory) = output(Command::new(rustc).args(["--print", "target-libdir"])) else { continue };
        let linker = Path::new(&directory).with_file_name("bin").join("rust-lld");
        if linker.is_file() {
            return Ok(linker);
        }
    }
    system_linker()
        .with_context(|| format!("found no linker for {TARGET}: neither rust-lld nor wasm-ld is installed"))
}

/// Finds the system's `wasm-ld`.
///
/// # Errors
/// If there is none. The message says what to install.
pub fn system_linker() -> Result<PathBuf> {
    let names = ["wasm-ld-19", "wasm-ld", "wasm-ld-20", "wasm-ld-18"];
    let found = names.iter().find(|name| output(Command::new(name).arg("--version")).is_ok());
    found.map(PathBuf::from).context("found no wasm-ld (on Debian: `apt install lld-19`)")
}

/// Runs a program and returns its output without the trailing line end.
///
/// # Errors
/// If the program cannot be run, fails, or its output is not UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("running {}", program.display()))?;
    if !output.status.success() {
        bail!("{} failed: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
