//! The digest of a component's sources.
//!
//! It can be computed without a WebAssembly toolchain: it is the SHA-256 of a list of *parts*. A part has a name and
//! bytes, and is hashed as the name, a zero byte, the length of the bytes in decimal, a zero byte, and the bytes. Parts
//! are sorted by name. Names of files are relative to the workspace root, separated by `/`.
//!
//! For a plugin in Rust, the parts are
//! - `Cargo.toml` and every file under `src/` of its crate and of each crate of this workspace that it
//!   depends on, directly or indirectly, without dependencies of tests;
//! - for each other crate in that closure, `lock:<name> <version>` with its checksum, as in `Cargo.lock`;
//! - for each crate in the closure that has one, `workspace:<name>` with its entry under
//!   `[workspace.dependencies]`, which selects its features; and `profile:guest` and `workspace:package` with those
//!   tables (as TOML with sorted keys);
//! - `flags` with the compiler flags of [`crate::guest::FLAGS`] and [`crate::guest::link_flags`], one per line;
//! - every file under `wit/v1/`.
//!
//! For the plugin in C, the parts are
//! - every file under `src/` of its directory;
//! - `lock:<name> <version>` with the checksum, as in `Cargo.lock`, of the crate with QuickJS in it, and of
//!   [`wasmtime_wizer`], which writes the snapshot;
//! - `compiler flags` and `linker flags` with those of [`crate::quickjs`], one per line;
//! - `stack` with the stack size;
//! - `changes` with the changes to QuickJS;
//! - every file under `wit/v1/`.
//!
//! `Cargo.lock` does not record which optional dependencies a plugin uses, so the closure may contain crates that are
//! not in the component. So the digest may change although the component does not, but never the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::guest::{FLAGS, link_flags};
use crate::quickjs::{COMPILER_FLAGS, LINKER_FLAGS, PACKAGE, STACK_BYTES, changes};
use crate::standard::{SourceKind, Standard};

type Parts = BTreeMap<String, Vec<u8>>;

/// Returns the digest of a plugin's sources in hexadecimal.
///
/// # Errors
/// If a file cannot be read, or a crate is missing in `Cargo.lock`.
pub fn digest(root: &Path, plugin: &Standard) -> Result<String> {
    let mut hash = Sha256::new();
    for (name, bytes) in parts(root, plugin)? {
        hash.update(name.as_bytes());
        hash.update(format!("\0{}\0", bytes.len()));
        hash.update(&bytes);
    }
    Ok(hex::encode(hash.finalize()))
}

fn parts(root: &Path, plugin: &Standard) -> Result<Parts> {
    let mut parts = Parts::new();
    add_directory(&mut parts, root, &root.join("wit/v1"))?;
    match plugin.source_kind {
        SourceKind::Rust => {
            add_crates(&mut parts, root, &plugin.package())?;
            let flags = format!("{}\n{}", FLAGS.join("\n"), link_flags(plugin).join("\n"));
            parts.insert("flags".into(), flags.into_bytes());
        }
        SourceKind::QuickJs => add_c(&mut parts, root, &root.join("plugins").join(plugin.name))?,
    }
    Ok(parts)
}

fn add_c(parts: &mut Parts, root: &Path, directory: &Path) -> Result<()> {
    add_directory(parts, root, &directory.join("src"))?;
    let packages = packages(&read_toml(&root.join("Cargo.lock"))?)?;
    for name in [PACKAGE, "wasmtime-wizer"] {
        let package = packages.iter().find(|package| package.name == name);
        let Some(Locked { version, checksum: Some(checksum), .. }) = package else {
            return Err(anyhow!("Cargo.lock has no `{name}` from a registry"));
        };
        parts.insert(format!("lock:{name} {version}"), checksum.clone().into_bytes());
    }
    parts.insert("compiler flags".into(), COMPILER_FLAGS.join("\n").into_bytes());
    parts.insert("linker flags".into(), LINKER_FLAGS.join("\n").into_bytes());
    let changes: Vec<_> = changes().into_iter().flat_map(|(from, to)| [from, to]).collect();
    parts.insert("changes".into(), changes.join("\n").into_bytes());
    parts.insert("stack".into(), STACK_BYTES.to_string().into_bytes());
    Ok(())
}

fn add_crates(parts: &mut Parts, root: &Path, package: &str) -> Result<()> {
    let workspace = read_toml(&root.join("Cargo.toml"))?;
    let members = members(root, &workspace)?;
    let closure = closure(&read_toml(&root.join("Cargo.lock"))?, &members, package)?;
    let shared = lookup(&workspace, &["workspace", "dependencies"]).and_then(Value::as_table);

    for Locked { name, version, checksum, .. } in &closure {
        match (members.get(name), checksum) {
            (Some(member), _) => {
                add_file(parts, root, &member.directory.join("Cargo.toml"))?;
                add_directory(parts, root, &member.directory.join("src"))?;
            }
            (None, Some(checksum)) => {
                parts.insert(format!("lock:{name} {version}"), checksum.clone().into_bytes());
            }
            (None, None) => return Err(anyhow!("`{name}` is neither in this workspace nor from a registry")),
        }
        if let Some(entry) = shared.and_then(|shared| shared.get(name)) {
            parts.insert(format!("workspace:{name}"), entry.to_string().into_bytes());
        }
    }
    for (name, path) in
        [("profile:guest", ["profile", "guest"]), ("workspace:package", ["workspace", "package"])]
    {
        let table =
            lookup(&workspace, &path).with_context(|| format!("no {} in Cargo.toml", path.join(".")))?;
        parts.insert(name.into(), table.to_string().into_bytes());
    }
    Ok(())
}

/// A crate of this workspace.
struct Member {
    directory: PathBuf,
    /// Its dependencies, without those of tests.
    dependencies: BTreeSet<String>,
}

fn members(root: &Path, workspace: &Table) -> Result<BTreeMap<String, Member>> {
    let paths =
        lookup(workspace, &["workspace", "members"]).and_then(Value::as_array).context("no members")?;
    let mut members = BTreeMap::new();
    for path in paths.iter().filter_map(Value::as_str) {
        let directory = root.join(path);
        let manifest = read_toml(&directory.join("Cargo.toml"))?;
        let name = lookup(&manifest, &["package", "name"]).and_then(Value::as_str).context("no name")?;
        let tables =
            ["dependencies", "build-dependencies"].map(|key| manifest.get(key).and_then(Value::as_table));
        let dependencies = tables.into_iter().flatten().flat_map(Table::keys).cloned().collect();
        members.insert(name.to_owned(), Member { directory, dependencies });
    }
    Ok(members)
}

/// A `[[package]]` of `Cargo.lock`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
    /// `name`, or `name version` if the lock file has several versions.
    dependencies: Vec<String>,
}

fn packages(lock: &Table) -> Result<Vec<Locked>> {
    let text = |table: &Value, key| table.get(key).and_then(Value::as_str).map(str::to_owned);
    let packages = lock.get("package").and_then(Value::as_array).context("Cargo.lock has no packages")?;
    let locked = packages.iter().map(|table| Locked {
        name: text(table, "name").unwrap_or_default(),
        version: text(table, "version").unwrap_or_default(),
        checksum: text(table, "checksum"),
        dependencies: table
            .get("dependencies")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default(),
    });
    Ok(locked.collect())
}

fn closure(lock: &Table, members: &BTreeMap<String, Member>, package: &str) -> Result<BTreeSet<Locked>> {
    let locked = packages(lock)?;
    let mut found = BTreeSet::new();
    let mut wanted = vec![package.to_owned()];
    while let Some(requirement) = wanted.pop() {
        let mut words = requirement.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        let package = locked
            .iter()
            .find(|package| package.name == name && version.is_none_or(|version| package.version == version))
            .with_context(|| format!("Cargo.lock has no `{requirement}`"))?;
        if found.insert(package.clone()) {
            let member = members.get(name);
            let needed = |requirement: &&String| {
                let name = requirement.split(' ').next().unwrap_or_default();
                member.is_none_or(|member| member.dependencies.contains(name))
            };
            wanted.extend(package.dependencies.iter().filter(needed).cloned());
        }
    }
    Ok(found)
}

fn lookup<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}

fn read_toml(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("reading {}", path.display()))
}

fn add_directory(parts: &mut Parts, root: &Path, directory: &Path) -> Result<()> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            add_directory(parts, root, &path)?;
        } else {
            add_file(parts, root, &path)?;
        }
    }
    Ok(())
}

fn add_file(parts: &mut Parts, root: &Path, path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let names: Vec<_> = path.strip_prefix(root)?.iter().map(|name| name.to_string_lossy()).collect();
    parts.insert(names.join("/"), bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standard::STANDARD;
    use crate::workspace_root;

    fn names(name: &str) -> Vec<String> {
        let plugin = STANDARD.iter().find(|plugin| plugin.name == name).expect("a standard plugin");
        parts(&workspace_root(), plugin).expect("parts").into_keys().collect()
    }

    #[test]
    fn the_parts_of_a_rust_plugin_are_its_sources_and_dependencies() {
        let names = names("event-filter");
        for part in [
            "flags",
            "plugins/event-filter/src/lib.rs",
            "plugins/json-tree/src/node.rs",
            "plugins/sdk/src/lib.rs",
            "plugins/sdk/Cargo.toml",
            "profile:guest",
            "wit/v1/plugin.wit",
            "workspace:regex-lite",
        ] {
            assert!(names.iter().any(|name| name == part), "{part} is missing");
        }
        assert!(names.iter().any(|name| name.starts_with("lock:serde_json ")));
        assert!(!names.iter().any(|name| name.contains("golden") || name.contains("wasmtime")), "{names:?}");
    }

    #[test]
    fn shared_code_is_a_part_of_each_plugin_that_uses_it() {
        for name in ["webitel-auth", "webitel-body", "webitel-filter", "webitel-headers", "webitel-map"] {
            let names = names(name);
            assert!(names.iter().any(|name| name == "plugins/webitel-common/src/js.rs"), "{name}: {names:?}");
        }
        assert!(names("webitel-filter").iter().any(|name| name.starts_with("lock:regress ")));
    }

    #[test]
    fn the_parts_of_the_javascript_plugin_are_its_sources_and_its_toolchain() {
        let names = names("javascript");
        for part in
            ["changes", "compiler flags", "plugins/javascript/src/plugin.c", "stack", "wit/v1/plugin.wit"]
        {
            assert!(names.iter().any(|name| name == part), "{part} is missing: {names:?}");
        }
        for package in ["lock:rquickjs-sys ", "lock:wasmtime-wizer "] {
            assert!(names.iter().any(|name| name.starts_with(package)), "{package} is missing: {names:?}");
        }
    }
}
