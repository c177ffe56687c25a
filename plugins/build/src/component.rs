//! Making a component of a module, and holding it to what the plugin is meant to be.

use std::path::Path;

use anyhow::{Context, Result, bail};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};
use wit_parser::Resolve;

/// The package of the contract. Nothing else may be imported.
const PACKAGE: &str = "hookwright:plugin/";

/// Wraps a core module that carries its component type.
///
/// # Errors
/// If the module's imports and exports aren't what its type says.
pub fn wrap(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

/// Wraps a core module that exports and imports what a world of `wit/v1` says, but doesn't carry that world's type.
///
/// # Errors
/// If the world isn't there, or the module's imports and exports aren't what it says.
pub fn wrap_for_world(root: &Path, mut module: Vec<u8>, world: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _files) = resolve.push_path(root.join("wit/v1"))?;
    let world = resolve.select_world(&[package], Some(world))?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    wrap(&module)
}

/// Checks that a component exports these roles and no others, and imports only from the contract.
///
/// # Errors
/// If it doesn't; the message names what is too much or too little.
pub fn check(component: &[u8], roles: &[&str]) -> Result<()> {
    let DecodedWasm::Component(resolve, world) =
        wit_component::decode(component).context("not a component")?
    else {
        bail!("not a component, but a package of interfaces");
    };
    let world = &resolve.worlds[world];
    for key in world.imports.keys() {
        let name = resolve.name_world_key(key);
        if !name.starts_with(PACKAGE) {
            bail!("it imports {name}, which is not of the plugin contract");
        }
    }
    let mut exports: Vec<String> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    let mut expected: Vec<String> = roles.iter().map(|role| format!("{PACKAGE}{role}@1.0.0")).collect();
    exports.sort();
    expected.sort();
    if exports != expected {
        bail!("it exports {} where it should {}", exports.join(", "), expected.join(", "));
    }
    Ok(())
}
