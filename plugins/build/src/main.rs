//! `hookwright-plugins-build`: writes `plugins/dist/`, or with `--check` says what in it isn't current.

#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context, Result, bail};
use hookwright_plugins_build::manifest::{Entry, Manifest, sha256};
use hookwright_plugins_build::standard::{MadeFrom, STANDARD, Standard};
use hookwright_plugins_build::toolchain::Toolchain;
use hookwright_plugins_build::{component, guest, sources, workspace_root};

const USAGE: &str = "usage: hookwright-plugins-build           build all into plugins/dist
       hookwright-plugins-build --check   build all elsewhere and compare with plugins/dist
       hookwright-plugins-build NAME…     build these into plugins/dist, keep the others";

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

/// Builds into `plugins/dist`: the plugins named, or all.
fn build(names: &[String]) -> Result<()> {
    let root = workspace_root();
    let dist = root.join("plugins/dist");
    std::fs::create_dir_all(&dist)?;
    let toolchain = Toolchain::find()?;
    let recorded = toolchain.record(&root)?;
    let kept = Manifest::read(&dist).ok();
    if let Some(kept) = &kept
        && !names.is_empty()
        && kept.toolchain != recorded
    {
        bail!(
            "the others were built with another toolchain; build all, so that the manifest is true of each"
        );
    }
    let mut plugins = Vec::new();
    for plugin in STANDARD {
        let old = kept.as_ref().and_then(|kept| kept.entry(plugin.name));
        let entry = match old {
            Some(old) if !names.is_empty() && !names.iter().any(|name| name == plugin.name) => old.clone(),
            _ => build_one(&root, &toolchain, plugin, &dist)?,
        };
        plugins.push(entry);
    }
    Manifest { toolchain: recorded, plugins }.write(&dist)
}

/// Builds one plugin into a directory.
fn build_one(root: &Path, toolchain: &Toolchain, plugin: &Standard, into: &Path) -> Result<Entry> {
    eprintln!("building {}", plugin.name);
    let bytes = match plugin.made_from {
        MadeFrom::Rust => component::wrap(&guest::compile_rust(root, toolchain, plugin)?)?,
        MadeFrom::JavaScript => {
            guest::componentize_javascript(root, &root.join("plugins").join(plugin.name))?
        }
    };
    component::check(&bytes, plugin.roles)
        .with_context(|| format!("{} is not what it should be", plugin.name))?;
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

/// Builds everything elsewhere and compares. Bytes are compared only of Rust plugins, where the same toolchain made them.
fn check() -> Result<()> {
    let root = workspace_root();
    let kept = Manifest::read(&root.join("plugins/dist"))?;
    let toolchain = Toolchain::find()?;
    let recorded = toolchain.record(&root)?;
    let elsewhere = tempfile::tempdir()?;
    let mut wrong = Vec::new();
    for plugin in STANDARD {
        let built = build_one(&root, &toolchain, plugin, elsewhere.path())?;
        // `componentize-qjs` keeps random numbers in the memory it initialises: no two of its builds are alike.
        let comparable = plugin.made_from == MadeFrom::Rust && kept.toolchain == recorded;
        match kept.entry(plugin.name) {
            None => wrong.push(format!("{}: the manifest does not have it", plugin.name)),
            Some(old) => wrong.extend(differences(old, &built, comparable)),
        }
    }
    if !wrong.is_empty() {
        bail!(
            "plugins/dist is not current; run `cargo run -p hookwright-plugins-build`:\n{}",
            wrong.join("\n")
        );
    }
    if kept.toolchain == recorded {
        eprintln!(
            "plugins/dist is current: the Rust plugins to the byte, the JavaScript one by its sources, since no two builds of it \
             are alike"
        );
    } else {
        eprintln!(
            "the sources of plugins/dist are current and build; the bytes of the Rust plugins were not compared, since the \
             toolchain is another.\nrecorded: {:?}\nhere:     {recorded:?}",
            kept.toolchain
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
    differing.map(|(what, _)| format!("{}: the {what} differ from what plugins/dist has", old.name)).collect()
}
