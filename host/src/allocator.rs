//! Keeps the process's memory small: gives back what is free, and asks for it in small pages.
//!
//! The binary's allocator keeps what was freed for a while, and in an idle engine for good: it looks for what it
//! could give back only while it is asked for more. Compiling one small plugin leaves it tens of megabytes.

#![expect(unsafe_code, reason = "a function of the allocator's, which the crate `mimalloc` does not show")]

// Links the library that has the function, also where another allocator is the global one: then it finds
// nothing to do.
use mimalloc as _;

// SAFETY: as in `mimalloc.h`: `void mi_collect(bool force)`. It takes nothing that could be wrong, and may be
// called by any thread at any time.
unsafe extern "C" {
    safe fn mi_collect(force: bool);
}

/// Gives back what is free, of the calling thread and of threads that have ended. Takes some milliseconds.
pub(crate) fn release() {
    mi_collect(true);
}

/// Has the operating system back this process with small pages from now on. The allocator asks for huge ones, which made
/// an engine with a hundred plugins half as large again, and none of it measurably faster.
pub(crate) fn use_small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "the process's memory stays in huge pages");
    }
}
