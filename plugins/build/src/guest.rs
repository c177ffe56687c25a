//! Compiles a plugin in Rust to a core module.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::standard::Standard;
use crate::toolchain::{TARGET, Toolchain};

/// Flags for all crates.
pub const FLAGS: &[&str] = &["-Clink-arg=--no-entry"];

/// Linker flags of one plugin: its stack size, and the free memory of a transformer at the start.
///
/// Memory comes in pages of 64 KiB, and the pool clears all pages after each call, which takes at least 0.4 µs per
/// page. So the number of pages should be small, but most calls should not have to grow the memory: that takes two
/// system calls, at least six microseconds. A transformer holds the data three times: the event's, the draft's and
/// its own. Its free memory is enough for events of 20 KB. Filters and mappers hold the data once and twice, and fit
/// into the page that they share with their stack and static data.
pub fn link_flags(plugin: &Standard) -> Vec<String> {
    let mut flags = vec![format!("-Clink-arg=-zstack-size={}", plugin.stack_kib << 10)];
    if plugin.roles.contains(&"transformer") {
        flags.push("-Clink-arg=--initial-heap=65536".to_owned());
    }
    flags
}

/// Compiles a plugin's crate and returns the module.
///
/// # Errors
/// If Cargo fails, which prints its own errors.
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
        // Wrappers and flags from the environment would change the output.
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTFLAGS");
    if toolchain.library_source.is_some() {
        // Building the standard library is an unstable feature of Cargo. This enables it for a stable compiler.
        cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
    }
    if let Some(linker) = &toolchain.linker {
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    // Only for the final crate, so that dependencies are shared between plugins.
    cargo.arg("--").args(link_flags(plugin));
    run(&mut cargo)?;
    let file = format!("{}.wasm", package.replace('-', "_"));
    let path = target_directory.join(TARGET).join("guest").join(file);
    std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
}

/// A separate directory, so that builds of guests and of the host do not invalidate each other.
fn target_directory(root: &Path) -> PathBuf {
    root.join("target").join("plugins")
}

/// [`FLAGS`], and flags that remove local paths from panic messages.
#[expect(clippy::disallowed_methods, reason = "a separate tool, which has to find Cargo's files")]
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

/// Runs a program that prints its own errors.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("running {}", program.display()))?;
    if !status.success() {
        bail!("{} failed ({status})", program.display());
    }
    Ok(())
}
