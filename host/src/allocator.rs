//! Settings of the memory allocator.

/// Disables transparent huge pages for this process. The allocator requests them; with a hundred plugins they
/// increased memory by half, without a measurable gain in speed.
pub(crate) fn use_small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "cannot disable transparent huge pages");
    }
}
