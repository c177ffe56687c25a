//! Host functions for plugins of version 1: settings, log, keyed hashing and remaining fuel.
//!
//! They are not generated, so that the length of a message is checked before it is copied, and settings are copied
//! directly from shared text to the guest.

use wasmtime::component::{ComponentType, Lift, Linker, WasmList, WasmStr};
use wasmtime::{StoreContextMut, Trap};

use crate::domain::attempt::LogLevel;
use crate::domain::hash;
use crate::sandbox::fuel::{BYTE_FUEL, CALL_FUEL, HASHED_BYTE_FUEL};
use crate::sandbox::limits::shortened;
use crate::sandbox::state::{Secrets, State};

/// The interfaces that plugins of version 1 may import.
pub(in crate::sandbox) const INTERFACES: [&str; 5] = [
    "hookwright:plugin/types@1.0.0",
    "hookwright:plugin/budget@1.0.0",
    "hookwright:plugin/config@1.0.0",
    "hookwright:plugin/log@1.0.0",
    "hookwright:plugin/secrets@1.0.0",
];

#[expect(dead_code, reason = "constructed only by lifting")]
#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

/// Maximum length of a location, in bytes.
const MAX_LOCATION: usize = 64;

/// A plugin reported that it ran out of fuel, with the location in the script that it interprets.
#[derive(Debug, thiserror::Error)]
#[error("out of fuel at {0}")]
pub(in crate::sandbox) struct OutOfFuelAt(pub(in crate::sandbox) String);

pub(in crate::sandbox) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut budget = linker.instance("hookwright:plugin/budget@1.0.0")?;
    budget.func_wrap("fuel-left", |mut store: StoreContextMut<'_, State>, (): ()| {
        charge(&mut store, 0, BYTE_FUEL)?;
        Ok((store.get_fuel()?,))
    })?;
    budget.func_wrap(
        "out-of-fuel",
        |store: StoreContextMut<'_, State>, (location,): (WasmStr,)| -> wasmtime::Result<()> {
            Err(OutOfFuelAt(shortened(&location.to_str(&store)?, MAX_LOCATION)).into())
        },
    )?;
    let mut config = linker.instance("hookwright:plugin/config@1.0.0")?;
    config.func_wrap("get", |mut store: StoreContextMut<'_, State>, (): ()| {
        let settings = store.data().settings.clone();
        charge(&mut store, settings.len(), BYTE_FUEL)?;
        Ok((settings,))
    })?;
    let mut log = linker.instance("hookwright:plugin/log@1.0.0")?;
    log.func_wrap("write", |store: StoreContextMut<'_, State>, (level, message): (Level, WasmStr)| {
        write_log(store, level, &message)
    })?;
    let mut secrets = linker.instance("hookwright:plugin/secrets@1.0.0")?;
    secrets.func_wrap(
        "hmac-sha256",
        |mut store: StoreContextMut<'_, State>, (name, data): (WasmStr, WasmList<u8>)| {
            charge(&mut store, data.len(), HASHED_BYTE_FUEL)?;
            let checked = name.to_str(&store)?.len();
            charge(&mut store, checked, BYTE_FUEL)?;
            let name = name.to_str(&store)?;
            Ok((hmac_sha256(&store.data().secrets, &name, data.as_le_slice(&store)),))
        },
    )?;
    Ok(())
}

fn write_log(mut store: StoreContextMut<'_, State>, level: Level, message: &WasmStr) -> wasmtime::Result<()> {
    let checked = message.to_str(&store)?.len();
    charge(&mut store, checked, BYTE_FUEL)?;
    let message = {
        let text = message.to_str(&store)?;
        // Keep a little more than the limit, so that the log sees that the message was cut.
        let end = text.floor_char_boundary(store.data().logs.line_bytes() + 4);
        text[..end].to_owned()
    };
    store.data_mut().logs.write(level.into(), &message);
    Ok(())
}

/// Takes the fuel for a call of a host function.
fn charge(store: &mut StoreContextMut<'_, State>, bytes: usize, each: u64) -> wasmtime::Result<()> {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let cost = bytes.saturating_mul(each).saturating_add(CALL_FUEL);
    let left = store.get_fuel()?;
    store.set_fuel(left.saturating_sub(cost))?;
    if left < cost { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
}

fn hmac_sha256(secrets: &Secrets, name: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    let Some((_, key)) = secrets.iter().find(|(known, _)| known == name) else {
        let name = shortened(name, 64);
        let known: Vec<_> = secrets.iter().map(|(name, _)| format!("`{name}`")).collect();
        return Err(match known.as_slice() {
            [] => format!("unknown secret `{name}`: this hook has no secrets"),
            known => format!("unknown secret `{name}`; this hook has {}", known.join(", ")),
        });
    };
    Ok(hash::hmac_sha256(key, &[data]).to_vec())
}
