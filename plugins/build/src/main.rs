//! `hookwright-plugins-build`: writes `plugins/dist/`, or with `--check` reports what is not current.

#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context, Result, bail};
use hookwright_plugins_build::c_toolchain::{CToolchain, RecordedC};
use hookwright_plugins_build::manifest::{Entry, Manifest, sha256};
use hookwright_plugins_build::standard::{STANDARD, SourceKind, Standard};
use hookwright_plugins_build::toolchain::{Recorded, Toolchain};
use hookwright_plugins_build::{component, guest, quickjs, snapshot, sources, workspace_root};

const USAGE: &str = "usage: hookwright-plugins-build           build all plugins into plugins/dist
       hookwright-plugins-build --check   build all plugins in a temporary directory and compare them with plugins/dist
       hookwright-plugins-build NAME…     build these plugins into plugins/dist and keep the others";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &String| STANDARD.iter().any(|plugin| plugin.name == name);
    match arguments.as_slice() {
        [flag] if flag == "--check" => check(),
        [flag] if flag == "--help" => {
            println!("{USAGE}");
            Ok(())
        }
        names if names.iter().all(known) => build(names),
        _ => bail!("{USAGE}"),
    }
}

/// The toolchains, and their records for the manifest.
struct Toolchains {
    rust: Toolchain,
    c: CToolchain,
    recorded: (Recorded, RecordedC),
}

impl Toolchains {
    fn find() -> Result<Self> {
        let (rust, c) = (Toolchain::find()?, CToolchain::find()?);
        let recorded = (rust.record()?, c.record()?);
        Ok(Self { rust, c, recorded })
    }

    /// Whether the manifest's plugins of this kind were built with these toolchains, so that a new build must be
    /// identical.
    fn built(&self, kept: &Manifest, source_kind: SourceKind) -> bool {
        match source_kind {
            SourceKind::Rust => kept.toolchain == self.recorded.0,
            SourceKind::QuickJs => kept.c_toolchain == self.recorded.1,
        }
    }
}

/// Builds the named plugins, or all, into `plugins/dist`.
fn build(names: &[String]) -> Result<()> {
    let root = workspace_root();
    let dist = root.join("plugins/dist");
    std::fs::create_dir_all(&dist)?;
    let toolchains = Toolchains::find()?;
    let kept = Manifest::read(&dist).ok();
    let mut plugins = Vec::new();
    for plugin in STANDARD {
        let old = kept.as_ref().and_then(|kept| Some((kept, kept.entry(plugin.name)?)));
        let entry = match old {
            Some((kept, old)) if !names.is_empty() && !names.iter().any(|name| name == plugin.name) => {
                if !toolchains.built(kept, plugin.source_kind) {
                    bail!(
                        "{} was built with another toolchain; build all plugins, so that the manifest is valid for each",
                        plugin.name
                    );
                }
                old.clone()
            }
            _ => build_one(&root, &toolchains, plugin, &dist)?,
        };
        plugins.push(entry);
    }
    let (toolchain, c_toolchain) = toolchains.recorded;
    Manifest { toolchain, c_toolchain, plugins }.write(&dist)
}

/// Builds one plugin into a directory.
fn build_one(root: &Path, toolchains: &Toolchains, plugin: &Standard, into: &Path) -> Result<Entry> {
    eprintln!("building {}", plugin.name);
    let bytes = match plugin.source_kind {
        SourceKind::Rust => component::wrap(&guest::compile_rust(root, &toolchains.rust, plugin)?)?,
        SourceKind::QuickJs => {
            let module = quickjs::compile(root, &toolchains.c, &root.join("plugins").join(plugin.name))?;
            component::wrap_for_world(root, snapshot::initialised(&module)?, "transformer-plugin")?
        }
    };
    component::check(&bytes, plugin.roles)
        .with_context(|| format!("the component of {} is not as expected", plugin.name))?;
    std::fs::write(into.join(plugin.file()), &bytes)?;
    Ok(Entry {
        name: plugin.name.into(),
        file: plugin.file(),
        roles: plugin.roles.iter().map(|role| (*role).to_owned()).collect(),
        description: plugin.description.into(),
        bytes: bytes.len(),
        component_sha256: sha256(&bytes),
        sources_sha256: sources::digest(root, plugin)?,
    })
}

/// Builds all plugins in a temporary directory and compares. Compares the bytes only if the toolchain is the same.
fn check() -> Result<()> {
    let root = workspace_root();
    let kept = Manifest::read(&root.join("plugins/dist"))?;
    let toolchains = Toolchains::find()?;
    let elsewhere = tempfile::tempdir()?;
    let mut wrong = Vec::new();
    for plugin in STANDARD {
        let built = build_one(&root, &toolchains, plugin, elsewhere.path())?;
        let comparable = toolchains.built(&kept, plugin.source_kind);
        match kept.entry(plugin.name) {
            None => wrong.push(format!("{}: missing in the manifest", plugin.name)),
            Some(old) => wrong.extend(differences(old, &built, comparable)),
        }
    }
    if !wrong.is_empty() {
        bail!(
            "plugins/dist is not current; run `cargo run -p hookwright-plugins-build`:\n{}",
            wrong.join("\n")
        );
    }
    if STANDARD.iter().all(|plugin| toolchains.built(&kept, plugin.source_kind)) {
        eprintln!("plugins/dist is current and identical");
    } else {
        eprintln!(
            "the sources of plugins/dist are current and can be built; components of another toolchain were not compared.\n\
             recorded: {:?}\nhere:     {:?}",
            (&kept.toolchain, &kept.c_toolchain),
            toolchains.recorded
        );
    }
    Ok(())
}

fn differences(old: &Entry, built: &Entry, compare_bytes: bool) -> Vec<String> {
    let same = [
        ("sources", old.sources_sha256 == built.sources_sha256),
        ("roles", old.roles == built.roles),
        ("description", old.description == built.description),
        ("component", !compare_bytes || old.component_sha256 == built.component_sha256),
    ];
    let differing = same.into_iter().filter(|(_, same)| !same);
    differing.map(|(what, _)| format!("{}: the {what} differ from plugins/dist", old.name)).collect()
}
