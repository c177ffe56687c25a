//! The WASI state of one call.

use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::filesystem::WasiFilesystemCtx;

use crate::domain::Event;

use super::seeded::SeededRng;

/// Maximum number of handles that a plugin may hold at once.
const MAX_HANDLES: u32 = 1024;

/// WASI state of one call.
pub(in crate::sandbox) struct WasiState {
    pub(super) event: Option<Arc<Event>>,
    pub(super) monotonic_ns: u64,
    pub(super) random: Option<Box<SeededRng>>,
    handles: u32,
    pub(super) files: Option<Box<(WasiFilesystemCtx, ResourceTable)>>,
}

impl WasiState {
    /// Without an event, as at upload, the time is 1970 and the random seed is that of the empty text.
    pub(in crate::sandbox) fn new(event: Option<Arc<Event>>) -> Self {
        Self { event, monotonic_ns: 0, random: None, handles: 0, files: None }
    }

    /// Creates a handle with the representation `rep`. Guests cannot forge representations, so only the number of
    /// handles is tracked.
    pub(super) fn handle<T: 'static>(&mut self, rep: u32) -> wasmtime::Result<Resource<T>> {
        if self.handles >= MAX_HANDLES {
            return Err(wasmtime::format_err!("requested more than {MAX_HANDLES} WASI handles"));
        }
        self.handles += 1;
        Ok(Resource::new_own(rep))
    }

    pub(super) fn drop_handle(&mut self) {
        self.handles = self.handles.saturating_sub(1);
    }
}
