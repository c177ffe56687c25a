//! Maps compiled code from a file, or takes it as it is, and has the system forget its pages: all `unsafe` of the sandbox.

#![expect(unsafe_code, reason = "wasmtime cannot check compiled code; the safety arguments are below")]

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

/// A component whose code is mapped from a file.
pub(super) struct Mapped(Component);

/// A file that takes no room on disk.
///
/// # Errors
/// Where the system has none.
pub(super) fn memory_file() -> io::Result<File> {
    #[cfg(target_os = "linux")]
    let file = File::from(rustix::fs::memfd_create("compiled", rustix::fs::MemfdFlags::CLOEXEC)?);
    #[cfg(not(target_os = "linux"))]
    let file = tempfile::tempfile()?;
    Ok(file)
}

/// A component of code that has just been compiled, where it cannot be kept on disk.
///
/// # Errors
/// The outer one if the file cannot be read or has more than `max` bytes, the inner one if wasmtime finds that it is not for this
/// engine.
pub(super) fn in_memory(
    engine: &Engine,
    compiled: &mut File,
    max: u64,
) -> io::Result<wasmtime::Result<Component>> {
    let mut code = Vec::new();
    compiled.rewind()?;
    compiled.take(max.saturating_add(1)).read_to_end(&mut code)?;
    if code.len() as u64 > max {
        return Err(io::Error::other("there is more compiled code than there may be"));
    }
    // SAFETY: the bytes were written by wasmtime, by an engine that is compatible: the caller is `super::compile`, the only
    // one, and the file is its own, which only the process of `super::compiler` wrote to, that is this program, and which has
    // ended.
    Ok(unsafe { Component::deserialize(engine, &code) })
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
