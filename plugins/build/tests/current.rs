//! Checks that `plugins/dist` matches the sources, as far as that is possible without building.

use hookwright_plugins_build::manifest::{Manifest, sha256};
use hookwright_plugins_build::standard::STANDARD;
use hookwright_plugins_build::{component, sources, workspace_root};

#[test]
fn the_manifest_has_all_standard_plugins_with_current_sources() {
    let root = workspace_root();
    let manifest = Manifest::read(&root.join("plugins/dist")).expect("the manifest");
    let names: Vec<&str> = manifest.plugins.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, STANDARD.iter().map(|plugin| plugin.name).collect::<Vec<_>>());

    let stale: Vec<&str> = STANDARD
        .iter()
        .filter(|plugin| {
            let entry = manifest.entry(plugin.name).expect("just seen");
            entry.sources_sha256 != sources::digest(&root, plugin).expect("sources")
        })
        .map(|plugin| plugin.name)
        .collect();
    assert!(
        stale.is_empty(),
        "the sources of {} changed since plugins/dist was built: run `cargo run -p hookwright-plugins-build`",
        stale.join(", ")
    );
}

#[test]
fn each_component_matches_the_manifest_and_its_roles() {
    let dist = workspace_root().join("plugins/dist");
    let manifest = Manifest::read(&dist).expect("the manifest");
    for (plugin, entry) in STANDARD.iter().zip(&manifest.plugins) {
        let bytes = std::fs::read(dist.join(&entry.file)).expect(&entry.file);
        assert_eq!(sha256(&bytes), entry.component_sha256, "{}", entry.file);
        assert_eq!(bytes.len(), entry.bytes, "{}", entry.file);
        assert_eq!(entry.roles, plugin.roles, "{}", plugin.name);
        component::check(&bytes, plugin.roles).expect(plugin.name);
    }
}
