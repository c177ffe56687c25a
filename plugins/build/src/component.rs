//! Wraps modules in components, and checks the components.

use std::path::Path;

use anyhow::{Context, Result, bail};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};
use wit_parser::Resolve;

/// The package of the contract. Other imports are not allowed.
const PACKAGE: &str = "hookwright:plugin/";

/// Wraps a core module that contains its component type.
///
/// # Errors
/// If the module's imports and exports do not match its type.
pub fn wrap(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

/// Wraps a core module for a world of `wit/v1`, whose type the module does not contain.
///
/// # Errors
/// If the world does not exist, or the module's imports and exports do not match it.
pub fn wrap_for_world(root: &Path, mut module: Vec<u8>, world: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _files) = resolve.push_path(root.join("wit/v1"))?;
    let world = resolve.select_world(&[package], Some(world))?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    wrap(&module)
}

/// Checks that a component exports exactly these roles and imports only from the contract.
///
/// # Errors
/// If it does not. The message has the names.
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
            bail!("it imports {name}, which is not part of the plugin contract");
        }
    }
    let mut exports: Vec<String> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    let mut expected: Vec<String> = roles.iter().map(|role| format!("{PACKAGE}{role}@1.0.0")).collect();
    exports.sort();
    expected.sort();
    if exports != expected {
        bail!("it exports {}; expected {}", exports.join(", "), expected.join(", "));
    }
    Ok(())
}
