//! Making a component of a module, and holding it to what the plugin is meant to be.

use anyhow::{Context, Result, bail};
use wit_component::{ComponentEncoder, DecodedWasm};

/// The package of the contract. Nothing else may be imported.
const PACKAGE: &str = "hookwright:plugin/";

/// Wraps a core module that carries its component type.
///
/// # Errors
/// If the module's imports and exports aren't what its type says.
pub fn wrap(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
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
    // `componentize-qjs` leaves behind the function by which it initialised the component. No host calls it.
    exports.retain(|name| name != "init");
    let mut expected: Vec<String> = roles.iter().map(|role| format!("{PACKAGE}{role}@1.0.0")).collect();
    exports.sort();
    expected.sort();
    if exports != expected {
        bail!("it exports {} where it should {}", exports.join(", "), expected.join(", "));
    }
    Ok(())
}
