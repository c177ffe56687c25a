//! `wasi:sockets`, and no network: what a plugin asks of it is denied.
//!
//! Some languages' standard libraries import it whether or not it is used, Python's among them, and cannot be built without. So it
//! is there to be linked: a function that can say why it failed says `access-denied`, and any other ends the call.

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type};
use wasmtime::component::{Component, Linker, ResourceType, Val};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};

use crate::sandbox::state::State;

/// What its interfaces' names begin with.
pub(in crate::sandbox) const PACKAGE: &str = "wasi:sockets/";
/// The case of its errors that says it best.
const DENIED: &str = "access-denied";

/// A socket, a network, a list of addresses: nobody ever has one.
struct Never;

/// `linker`, with what `component` imports of sockets; none where that is nothing.
///
/// # Errors
/// Where two imports cannot stand beside each other.
pub(in crate::sandbox) fn denied(
    linker: &Linker<State>,
    component: &Component,
) -> wasmtime::Result<Option<Linker<State>>> {
    let ty = component.component_type();
    let engine = component.engine();
    let mut with_sockets = None;
    for (interface, import) in ty.imports(engine) {
        if let ComponentItem::ComponentInstance(instance) = import.ty
            && interface.starts_with(PACKAGE)
        {
            deny(with_sockets.get_or_insert_with(|| linker.clone()), interface, &instance, component)?;
        }
    }
    Ok(with_sockets)
}

fn deny(
    linker: &mut Linker<State>,
    interface: &str,
    wanted: &ComponentInstance,
    component: &Component,
) -> wasmtime::Result<()> {
    let mut instance = linker.instance(interface)?;
    for (name, export) in wanted.exports(component.engine()) {
        match export.ty {
            ComponentItem::ComponentFunc(_) => {
                let function = format!("{interface}#{name}");
                instance.func_new(name, move |_, ty, _, results| answer(&function, &ty, results))?;
            }
            ComponentItem::Resource(_) => {
                instance.resource(name, resource(name), |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Streams and pollables are those of `wasi:io`, under their own names.
fn resource(name: &str) -> ResourceType {
    match name {
        "pollable" => ResourceType::host::<DynPollable>(),
        "input-stream" => ResourceType::host::<DynInputStream>(),
        "output-stream" => ResourceType::host::<DynOutputStream>(),
        _ => ResourceType::host::<Never>(),
    }
}

fn answer(function: &str, ty: &ComponentFunc, results: &mut [Val]) -> wasmtime::Result<()> {
    if let (Some(Type::Result(wanted)), [result]) = (ty.results().next(), results)
        && let Some(Type::Enum(errors)) = wanted.err()
        && errors.names().any(|name| name == DENIED)
    {
        *result = Val::Result(Err(Some(Box::new(Val::Enum(DENIED.to_owned())))));
        return Ok(());
    }
    Err(wasmtime::format_err!("called `{function}`, but plugins have no network"))
}
