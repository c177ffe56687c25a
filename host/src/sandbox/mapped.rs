//! Maps compiled code from a file: the one `unsafe` of this crate.

#![expect(unsafe_code, reason = "wasmtime cannot check compiled code; the safety argument is below")]

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

/// # Errors
/// Where wasmtime finds that the file is not for this engine.
pub(super) fn component(engine: &Engine, verified: &Path) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize_file` asks for two things.
    //
    // 1. The bytes were written by wasmtime, by an engine that is compatible. The caller is
    //    `super::cache`, the only one: it has just checked an HMAC over the plugin's digest, the
    //    engine's compatibility hash and every byte of the file, with a key that only this engine's
    //    user can read and that is used for nothing but what this engine compiled itself. What
    //    tenants send never comes here.
    // 2. The file does not change while it is mapped. It lies in the cache's own directory (mode
    //    0700), is written once under another name, is moved to this one, and is never opened for
    //    writing again; removing it leaves the mapping as it is. Between the check and the mapping
    //    only somebody with this process's own rights could exchange it, and whoever has those
    //    doesn't need to.
    unsafe { Component::deserialize_file(engine, verified) }
}
