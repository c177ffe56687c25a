//! Runs a module's initialization and stores the resulting memory in the module.

use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};

use anyhow::{Context, Result, anyhow, bail};
use wasmtime::{Engine, Instance, Linker, Module, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

/// The export that runs. The result does not contain it.
const INITIALISE: &str = "initialise";

/// Returns the module with the state after its export `initialise` has run.
///
/// # Errors
/// If the export is missing, traps, or calls an import, because there is no host during the build.
pub fn initialised(module: &[u8]) -> Result<Vec<u8>> {
    let mut wizer = Wizer::new();
    wizer.init_func(INITIALISE);
    let (context, instrumented) = wizer.instrument(module).map_err(convert_error)?;
    let mut state = State::initialised(&instrumented).context("initialising")?;
    ready(wizer.snapshot(&context, &mut state))?.map_err(convert_error)
}

/// Converts wasmtime's error type.
fn convert_error(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:?}")
}

/// Polls a future that is always ready.
fn ready<T>(future: impl Future<Output = T>) -> Result<T> {
    match pin!(future).poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => bail!("reading the memory of a module is not ready"),
    }
}

struct State {
    store: Store<()>,
    instance: Instance,
}

impl State {
    fn initialised(module: &[u8]) -> Result<Self> {
        let engine = Engine::default();
        let module = Module::new(&engine, module).map_err(convert_error)?;
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&module).map_err(convert_error)?;
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).map_err(convert_error)?;
        let initialise = instance.get_typed_func::<(), ()>(&mut store, INITIALISE).map_err(convert_error)?;
        initialise.call(&mut store, ()).map_err(convert_error)?;
        Ok(Self { store, instance })
    }
}

/// The names are those of the exports that [`Wizer::instrument`] added.
impl InstanceState for State {
    async fn global_get(&mut self, name: &str, _type: ValType) -> SnapshotVal {
        let global = self.instance.get_global(&mut self.store, name).expect("an exported global");
        match global.get(&mut self.store) {
            Val::I32(value) => SnapshotVal::I32(value),
            Val::I64(value) => SnapshotVal::I64(value),
            Val::F32(bits) => SnapshotVal::F32(bits),
            Val::F64(bits) => SnapshotVal::F64(bits),
            Val::V128(value) => SnapshotVal::V128(value.as_u128()),
            _ => unreachable!("`instrument` refuses globals of other types"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let memory = self.instance.get_memory(&mut self.store, name).expect("an exported memory");
        contents(memory.data(&self.store));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with an import, whose initialization writes a number to memory and one to a global.
    const MODULE: &str = r#"(module
        (import "somewhere" "else" (func $else))
        (memory (export "memory") 1)
        (global $kept (mut i32) (i32.const 0))
        (func (export "initialise") (i32.store (i32.const 8) (i32.const 7)) (global.set $kept (i32.const 5)))
        (func (export "calls") (call $else))
        (func (export "kept") (result i32) (i32.add (i32.load (i32.const 8)) (global.get $kept))))"#;

    #[test]
    fn the_memory_after_initialization_is_in_the_module() {
        let module = wat::parse_str(MODULE).expect("a module");
        let snapshot = initialised(&module).expect("a snapshot");
        let engine = Engine::default();
        let module = Module::new(&engine, &snapshot).expect("a module");
        assert!(module.get_export(INITIALISE).is_none());
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&module).expect("imports");
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).expect("an instance");
        let kept = instance.get_typed_func::<(), i32>(&mut store, "kept").expect("the function");
        assert_eq!(kept.call(&mut store, ()).expect("a call"), 12);
    }

    #[test]
    fn initialization_must_not_call_imports() {
        let text = MODULE.replace("(i32.store (i32.const 8) (i32.const 7))", "(call $else)");
        let module = wat::parse_str(text).expect("a module");
        let refused = format!("{:#}", initialised(&module).expect_err("a call"));
        assert!(refused.contains("initialising"), "{refused}");
    }
}
