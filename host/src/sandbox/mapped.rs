//! Deserializes compiled code, from a file mapping or from memory, and releases its pages. Contains all `unsafe` code
//! of the sandbox.

#![expect(unsafe_code, reason = "wasmtime cannot check compiled code; the safety arguments are below")]

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

/// A component whose code is mapped from a file.
pub(super) struct Mapped(Component);

/// Creates a file that takes no disk space.
///
/// # Errors
/// If the operating system cannot create one.
pub(super) fn memory_file() -> io::Result<File> {
    #[cfg(target_os = "linux")]
    let file = File::from(rustix::fs::memfd_create("compiled", rustix::fs::MemfdFlags::CLOEXEC)?);
    #[cfg(not(target_os = "linux"))]
    let file = tempfile::tempfile()?;
    Ok(file)
}

/// Loads code that has just been compiled and cannot be stored on disk.
///
/// # Errors
/// The outer error if the file cannot be read or has more than `max` bytes; the inner error if wasmtime finds that the
/// code is not for this engine.
pub(super) fn in_memory(
    engine: &Engine,
    compiled: &mut File,
    max: u64,
) -> io::Result<wasmtime::Result<Component>> {
    let mut code = Vec::new();
    compiled.rewind()?;
    compiled.take(max.saturating_add(1)).read_to_end(&mut code)?;
    if code.len() as u64 > max {
        return Err(io::Error::other(format!("compiled code is larger than {max} bytes")));
    }
    // SAFETY: a compatible wasmtime engine wrote the bytes. The only caller is `super::compile`, which created the
    // file. Only the subprocess of `super::compiler` wrote to it, which runs this executable and has ended.
    Ok(unsafe { Component::deserialize(engine, &code) })
}

impl Mapped {
    /// # Errors
    /// If wasmtime finds that the file is not for this engine.
    pub(super) fn open(engine: &Engine, verified: &Path) -> wasmtime::Result<Self> {
        // SAFETY: `deserialize_file` has two requirements.
        //
        // 1. A compatible wasmtime engine wrote the bytes. The only caller is `super::cache`, which has just verified an
        //    HMAC of the plugin's digest, the engine's compatibility hash and every byte of the file. Only this engine's
        //    user can read the key, and it authenticates only code that this engine compiled, never tenants' data.
        // 2. The file does not change while it is mapped. It is in the cache's directory (mode 0700), is written once
        //    under a temporary name, renamed, and never opened for writing again. Removing it does not affect the
        //    mapping. Only a process with this process's rights could replace it between the check and the mapping, and
        //    such a process could change this process directly.
        unsafe { Component::deserialize_file(engine, verified) }.map(Self)
    }

    pub(super) fn component(&self) -> &Component {
        &self.0
    }

    /// Size of the mapping in bytes: an upper bound of its resident memory.
    pub(super) fn bytes(&self) -> usize {
        let image = self.0.image_range();
        image.end.addr() - image.start.addr()
    }

    /// Releases its pages. Code that runs now or later reads them again from the page cache, sixteen at a time.
    pub(super) fn release(&self) {
        #[cfg(target_os = "linux")]
        {
            // SAFETY: the range is one private mapping that lives as long as `self`. A released page is read again from
            // the file, which does not change (see above). No page differs from the file, because wasmtime does not
            // write to mapped code and makes it read-only before it returns the component.
            let released = unsafe {
                let start = self.0.image_range().start.cast_mut().cast();
                rustix::mm::madvise(start, self.bytes(), rustix::mm::Advice::LinuxDontNeed)
            };
            if let Err(error) = released {
                tracing::debug!(%error, "releasing pages of compiled code failed");
            }
        }
    }
}
