//! `wasi:sockets` without a network: every operation is denied.
//!
//! The standard libraries of some languages, such as Python, always import it. So it can be linked: a function with an
//! error code returns `access-denied`, and any other function traps.

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type};
use wasmtime::component::{Component, Linker, ResourceType, Val};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};

use crate::sandbox::state::State;

/// Prefix of its interface names.
pub(in crate::sandbox) const PACKAGE: &str = "wasi:sockets/";
/// Error code of denied operations.
const DENIED: &str = "access-denied";

/// A resource that is never created.
struct Never;

/// Returns a copy of `linker` with the socket interfaces that `component` imports, or `None` if it imports none.
///
/// # Errors
/// If an import is defined twice.
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
                instance.func_new(name, move |_, ty, _, results| deny_call(&function, &ty, results))?;
            }
            ComponentItem::Resource(_) => {
                instance.resource(name, resource(name), |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Streams and pollables are the types of `wasi:io`.
fn resource(name: &str) -> ResourceType {
    match name {
        "pollable" => ResourceType::host::<DynPollable>(),
        "input-stream" => ResourceType::host::<DynInputStream>(),
        "output-stream" => ResourceType::host::<DynOutputStream>(),
        _ => ResourceType::host::<Never>(),
    }
}

fn deny_call(function: &str, ty: &ComponentFunc, results: &mut [Val]) -> wasmtime::Result<()> {
    if let (Some(Type::Result(wanted)), [result]) = (ty.results().next(), results)
        && let Some(Type::Enum(errors)) = wanted.err()
        && errors.names().any(|name| name == DENIED)
    {
        *result = Val::Result(Err(Some(Box::new(Val::Enum(DENIED.to_owned())))));
        return Ok(());
    }
    Err(wasmtime::format_err!("called `{function}`, but plugins have no network"))
}
