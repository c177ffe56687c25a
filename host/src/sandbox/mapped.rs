//! Maps compiled code from a file, or takes it as it is, and has the system forget its pages: all `unsafe` of the sandbox.

#![expect(unsafe_code, reason = "wasmtime cannot check compiled code; the safety arguments are below")]

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

/// A component whose code is mapped from a file.
pub(super) struct Mapped(Component);

/// A component of code that has just been compiled, where it cannot be kept on disk.
///
/// # Errors
/// Where wasmtime finds that it is not for this engine.
pub(super) fn in_memory(engine: &Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes were written by wasmtime, by an engine that is compatible: the caller is `super::compile`, the only
    // one, and has them from `super::compiler`, that is from this program, and from nowhere else.
    unsafe { Component::deserialize(engine, compiled) }
}

impl Mapped {
    /// # Errors
    /// Where wasmtime finds that the file is not for this engine.
    pub(super) fn open(engine: &Engine, verified: &Path) -> wasmtime::Result<Self> {
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
        unsafe { Component::deserialize_file(engine, verified) }.map(Self)
    }

    pub(super) fn component(&self) -> &Component {
        &self.0
    }

    /// How much of the address space it takes, in bytes: the most that it can hold of memory.
    pub(super) fn bytes(&self) -> usize {
        let image = self.0.image_range();
        image.end.addr() - image.start.addr()
    }

    /// Has the system forget its pages. It may run meanwhile, and at any time after: what is touched is taken
    /// from the system's own cache of the file, sixteen pages at a time.
    pub(super) fn release(&self) {
        #[cfg(target_os = "linux")]
        {
            // SAFETY: the range is one mapping, which lives as long as `self`, and private to this process:
            // what is forgotten and touched again is what the file has. Nothing but that is ever in it, for
            // wasmtime writes nothing into code that it has mapped, and makes it read-only before it hands
            // out the component. The file does not change, as above.
            let released = unsafe {
                let start = self.0.image_range().start.cast_mut().cast();
                rustix::mm::madvise(start, self.bytes(), rustix::mm::Advice::LinuxDontNeed)
            };
            if let Err(error) = released {
                tracing::debug!(%error, "the pages of compiled code stay in memory");
            }
        }
    }
}
