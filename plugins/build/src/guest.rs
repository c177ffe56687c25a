//! Compiling a plugin in Rust to a core module.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::standard::Standard;
use crate::toolchain::{TARGET, Toolchain};

/// The flags for whatever is compiled.
pub const FLAGS: &[&str] = &["-Clink-arg=--no-entry"];

/// The flags with which one plugin is linked besides: its stack, and how much memory a transformer finds free when it starts.
///
/// Memory comes in pages of 64 KiB, and the pool clears all of them after each call, 0.4 µs or more for each. So as few as will do
/// are best, but so many that hardly any call has to grow its memory: that costs two system calls, six microseconds or more in
/// all, one to open the pages and one to close them before the slot is used again. A transformer holds the data three times: the
/// event's, the draft's, and its own; what it finds free is enough for events of 20 KB. Filters and mappers hold it once and
/// twice, and live on the one page that their stack and static data leave half of.
pub fn link_flags(plugin: &Standard) -> Vec<String> {
    let mut flags = vec![format!("-Clink-arg=-zstack-size={}", plugin.stack_kib << 10)];
    if plugin.roles.contains(&"transformer") {
        flags.push("-Clink-arg=--initial-heap=65536".to_owned());
    }
    flags
}

/// Compiles a plugin's crate, and answers with the module.
///
/// # Errors
/// If Cargo fails; it has said why.
pub fn compile_rust(root: &Path, toolchain: &Toolchain, plugin: &Standard) -> Result<Vec<u8>> {
    let package = plugin.package();
    let target_directory = target_directory(root);
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(root)
        .args(["rustc", "--locked", "--profile", "guest", "--lib", "--crate-type", "cdylib"])
        .args(["--target", TARGET, "--package", &package])
        .env("CARGO_TARGET_DIR", &target_directory)
        .env("RUSTC", &toolchain.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(root, toolchain)?)
        // Wrappers and flags of the surroundings would make other bytes.
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTFLAGS");
    if toolchain.library_source.is_some() {
        // Building the standard library is unstable in Cargo; this lets a stable compiler do it.
        cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
    }
    if let Some(linker) = &toolchain.linker {
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    // For the last link alone: what is made before is the same for all plugins.
    cargo.arg("--").args(link_flags(plugin));
    run(&mut cargo)?;
    let file = format!("{}.wasm", package.replace('-', "_"));
    let path = target_directory.join(TARGET).join("guest").join(file);
    std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
}

/// Its own, so that neither the flags nor the toolchain of guests disturb what is built for the host.
fn target_directory(root: &Path) -> PathBuf {
    root.join("target").join("plugins")
}

/// [`FLAGS`], and what keeps this machine's paths out of messages of panics.
#[expect(clippy::disallowed_methods, reason = "a tool of its own, which has to find Cargo's files")]
fn flags(root: &Path, toolchain: &Toolchain) -> Result<OsString> {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home =
        cargo_home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).context("no home directory")?;
    let mut remaps = vec![(root.to_owned(), "hookwright")];
    if let Ok(registries) = std::fs::read_dir(cargo_home.join("registry/src")) {
        remaps.extend(registries.flatten().map(|registry| (registry.path(), "crates")));
    }
    if let Some(source) = &toolchain.library_source {
        remaps.push((source.clone(), "rust"));
    }
    let mut flags = OsString::from(FLAGS.join("\u{1f}"));
    for (from, to) in remaps {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    Ok(flags)
}

/// Runs a program that says itself why it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("running {}", program.display()))?;
    if !status.success() {
        bail!("{} failed ({status})", program.display());
    }
    Ok(())
}
