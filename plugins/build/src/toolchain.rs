//! Finding what guests in Rust can be built with.
//!
//! Two ways lead there: a Rust with the target's standard library, as rustup installs it, or a Rust with the source of
//! its standard library, as Debian's packages `rustc-web` and `rust-web-src` are, from which Cargo builds it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// The target of guests.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// What the components of Rust in the repository were built with.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// What `rustc --version` says.
    pub rustc: String,
    /// What `cargo --version` says: it decides how crates are told apart, and so the order of the code.
    pub cargo: String,
    /// `prebuilt`, or `from-source`.
    pub standard_library: String,
    /// What the linker says of its version, or `of rustc` for the one that comes with it.
    pub linker: String,
}

/// A Rust that can build guests.
#[derive(Debug)]
pub struct Toolchain {
    /// The compiler.
    pub rustc: PathBuf,
    /// Where its library's source is, if it is to be built.
    pub library_source: Option<PathBuf>,
    /// The linker, where the compiler does not bring one.
    pub linker: Option<PathBuf>,
}

impl Toolchain {
    /// Looks at `$HOOKWRIGHT_GUEST_RUSTC`, then at the `rustc` of the path, then at Debian's.
    ///
    /// # Errors
    /// If none of them can build guests; the message says what to install.
    #[expect(
        clippy::disallowed_methods,
        reason = "a tool of its own, which is told of its compilers by the environment"
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
            "no Rust here can build for {TARGET}. With rustup: `rustup target add {TARGET}`. On Debian: \
             `apt install rustc-web rust-web-src lld-19`. Another compiler can be named in HOOKWRIGHT_GUEST_RUSTC."
        )
    }

    /// What goes into the manifest.
    ///
    /// # Errors
    /// If a program does not tell its version.
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

/// `rust-lld` of any Rust here, or the system's `wasm-ld`, from version 18 on: earlier ones have no `--initial-heap`.
fn find_linker(compilers: &[PathBuf]) -> Result<PathBuf> {
    for rustc in compilers {
        let Ok(directory) = output(Command::new(rustc).args(["--print", "target-libdir"])) else { continue };
        let linker = Path::new(&directory).with_file_name("bin").join("rust-lld");
        if linker.is_file() {
            return Ok(linker);
        }
    }
    system_linker().with_context(|| format!("no linker for {TARGET}: neither a rust-lld nor wasm-ld is here"))
}

/// The system's `wasm-ld`; the first that is there is taken.
///
/// # Errors
/// If there is none; the message says what to install.
pub fn system_linker() -> Result<PathBuf> {
    let names = ["wasm-ld-19", "wasm-ld", "wasm-ld-20", "wasm-ld-18"];
    let found = names.iter().find(|name| output(Command::new(name).arg("--version")).is_ok());
    found.map(PathBuf::from).context("no wasm-ld is here (Debian: `apt install lld-19`)")
}

/// What a program writes, without the line's end.
///
/// # Errors
/// If it can't be run, fails, or writes something that isn't text.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("running {}", program.display()))?;
    if !output.status.success() {
        bail!("{} failed: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
