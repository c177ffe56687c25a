//! Finds out whether the end-to-end tests on PostgreSQL can run, so that without a server they are listed as ignored.

use std::path::{Path, PathBuf};

/// Where Debian installs servers, each version in a directory of its own.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Names a running server that is used instead of a temporary one.
const SERVER: &str = "HOOKWRIGHT_TEST_POSTGRES";
/// Makes the tests fail rather than be ignored.
const REQUIRED: &str = "HOOKWRIGHT_TEST_REQUIRE_POSTGRES";

#[expect(clippy::disallowed_methods, reason = "settings of the tests are no settings of the engine")]
fn main() {
    println!("cargo::rustc-check-cfg=cfg(postgres_is_missing)");
    println!("cargo::rerun-if-changed=build.rs");
    for name in [SERVER, REQUIRED, "PATH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let mut directories: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    if Path::new(DEBIAN).exists() {
        println!("cargo::rerun-if-changed={DEBIAN}");
        let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
        directories.extend(versions.map(|version| version.path().join("bin")));
    }
    let installed = directories.iter().any(|directory| directory.join("initdb").exists());
    if !installed && [SERVER, REQUIRED].iter().all(|name| std::env::var_os(name).is_none()) {
        println!("cargo::rustc-cfg=postgres_is_missing");
    }
}
