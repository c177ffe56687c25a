//! Checks the dependencies of the workspace against `deny.toml`. `cargo deny` checks the same and more, but takes
//! minutes to install.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::Violation;
use crate::licences;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Returns crates that are banned, have a licence or a source that is not allowed, or occur in two versions.
pub fn violations() -> Vec<Violation> {
    let rules: toml::Table = std::fs::read_to_string(format!("{ROOT}/deny.toml")).unwrap().parse().unwrap();
    let metadata = metadata(rules["graph"]["targets"][0].as_str().unwrap());
    let packages: Vec<Package> = metadata["packages"].as_array().unwrap().iter().map(Package::new).collect();
    let mut violations = bans(&rules, &packages);
    violations.extend(packages.iter().filter_map(|package| licence(&rules, package)));
    violations.extend(packages.iter().filter_map(|package| source(&rules, package)));
    violations
}

/// Returns the dependencies of the workspace that cargo resolves for a target.
fn metadata(target: &str) -> Value {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", target]);
    let output = command.current_dir(ROOT).output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

struct Package<'a> {
    name: &'a str,
    version: &'a str,
    licence: Option<&'a str>,
    /// Its source; `None` for a crate of this workspace.
    source: Option<&'a str>,
}

impl<'a> Package<'a> {
    fn new(value: &'a Value) -> Self {
        let member = |name: &str| value[name].as_str();
        Self {
            name: member("name").unwrap(),
            version: member("version").unwrap(),
            licence: member("license"),
            source: member("source"),
        }
    }

    fn violation(&self, message: &str) -> Violation {
        let Self { name, version, .. } = self;
        Violation {
            key: format!("{name} {version}"),
            message: format!("Cargo.lock: {name} {version}: {message}"),
        }
    }
}

fn bans(rules: &toml::Table, packages: &[Package]) -> Vec<Violation> {
    let mut versions: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    packages.iter().for_each(|package| versions.entry(package.name).or_default().push(package));
    let mut violations = Vec::new();
    for ban in rules["bans"]["deny"].as_array().unwrap() {
        let (name, reason) = (ban["crate"].as_str().unwrap(), ban.get("reason"));
        let found = versions.get(name).map(Vec::as_slice).unwrap_or_default();
        match reason {
            Some(reason) => violations.extend(found.iter().map(|package| {
                package.violation(&format!("deny.toml bans it: {}", reason.as_str().unwrap()))
            })),
            None if found.len() > 1 => violations.extend(found.iter().map(|package| {
                package.violation("occurs in two versions; update the crate that requires the older one")
            })),
            None => {}
        }
    }
    violations
}

fn licence(rules: &toml::Table, package: &Package) -> Option<Violation> {
    let allowed = rules["licenses"]["allow"].as_array().unwrap();
    let is_allowed = |licence: &str| allowed.iter().any(|allowed| allowed.as_str() == Some(licence));
    match package.licence {
        None => Some(package.violation("has no licence")),
        Some(licence) if licences::is_met(licence, &is_allowed) => None,
        Some(licence) => Some(package.violation(&format!("deny.toml does not allow its licence: {licence}"))),
    }
}

fn source(rules: &toml::Table, package: &Package) -> Option<Violation> {
    let source = package.source?;
    let registries = rules["sources"]["allow-registry"].as_array().unwrap();
    let is_allowed = registries.iter().any(|known| source.strip_prefix("registry+") == known.as_str());
    (!is_allowed).then(|| package.violation(&format!("deny.toml does not allow its source: {source}")))
}
