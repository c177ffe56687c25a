//! An inert, deterministic WASI: what the standard libraries of usual languages import, and nothing
//! behind it.
//!
//! | Interface | What a plugin finds |
//! |---|---|
//! | `wasi:cli` | no arguments, no environment, empty input; output becomes lines of the plugin's log |
//! | `wasi:clocks` | the wall clock stands at the event's time; the monotonic clock counts up by one microsecond a look, and a sleeper is woken at once, with the clock put forward by as much as it wanted to sleep |
//! | `wasi:random` | bytes that follow from the event's id, "secure" or not |
//! | `wasi:io` | streams that are always ready, pollables that are always ready |
//! | `wasi:filesystem` | no preopened directory, so no way to any file |
//! | `wasi:sockets` | no network: access is denied |
//!
//! The file system is here because the adapter for preview 1, and so the standard library of Rust,
//! C and Python, imports it whether or not it is used, and sockets because Python's always does. A plugin
//! that imports `wasi:http` means to use it, and is refused at upload.
//!
//! Types and signatures come from `wasmtime-wasi`; its implementations don't (but for the file
//! system's), because they sleep in real time and start an asynchronous runtime for it. No call in
//! here can wait. Whoever doesn't import WASI pays for none of it: everything is made at first use.

mod cli;
mod clocks;
mod io;
mod random;
pub(super) mod sockets;

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings;

use crate::domain::Event;

pub(super) use self::cli::Exited;
use self::random::Seeded;
use super::state::State;
use super::v1::host::CALL_FUEL;

/// The interfaces that a plugin may import, without version.
pub(super) const INTERFACES: [&str; 20] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:filesystem/types",
    "wasi:filesystem/preopens",
];

/// Handles that a plugin may hold at once.
const MAX_HANDLES: u32 = 1024;

/// What one call sees of WASI.
pub(super) struct Inert {
    event: Option<Arc<Event>>,
    monotonic_ns: u64,
    random: Option<Box<Seeded>>,
    handles: u32,
    files: Option<Box<(WasiFilesystemCtx, ResourceTable)>>,
}

impl Inert {
    /// Without an event, as at upload, it is 1970 and the seed is that of the empty text.
    pub(super) fn new(event: Option<Arc<Event>>) -> Self {
        Self { event, monotonic_ns: 0, random: None, handles: 0, files: None }
    }

    /// A new handle for what the number `rep` stands for. Guests can't forge these numbers, so
    /// nothing needs to be kept for them but how many there are.
    fn handle<T: 'static>(&mut self, rep: u32) -> wasmtime::Result<Resource<T>> {
        if self.handles >= MAX_HANDLES {
            return Err(wasmtime::format_err!("holds {MAX_HANDLES} WASI handles and asked for more"));
        }
        self.handles += 1;
        Ok(Resource::new_own(rep))
    }

    fn drop_handle(&mut self) {
        self.handles = self.handles.saturating_sub(1);
    }
}

impl State {
    /// Takes the fuel for a call with so many bytes, or other parts, at this price each.
    fn charge(&mut self, parts: usize, each: u64) -> wasmtime::Result<()> {
        let parts = u64::try_from(parts).unwrap_or(u64::MAX);
        self.meter.charge_wasi(parts.saturating_mul(each).saturating_add(CALL_FUEL))
    }
}

struct HasState;

impl HasData for HasState {
    type Data<'a> = &'a mut State;
}

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    macro_rules! offer {
        ($($interface:path),+ $(,)?) => {{
            $({
                use $interface as interface;
                interface::add_to_linker::<State, HasState>(linker, |state| state)?;
            })+
        }};
    }
    offer!(
        bindings::cli::environment,
        bindings::cli::exit,
        bindings::cli::stdin,
        bindings::cli::stdout,
        bindings::cli::stderr,
        bindings::cli::terminal_input,
        bindings::cli::terminal_output,
        bindings::cli::terminal_stdin,
        bindings::cli::terminal_stdout,
        bindings::cli::terminal_stderr,
        bindings::clocks::monotonic_clock,
        bindings::clocks::wall_clock,
        wasmtime_wasi_io::bindings::wasi::io::error,
        bindings::sync::io::poll,
        bindings::sync::io::streams,
        bindings::random::random,
        bindings::random::insecure,
        bindings::random::insecure_seed,
    );
    bindings::filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, files)?;
    bindings::sync::filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, files)?;
    Ok(())
}

fn files(state: &mut State) -> WasiFilesystemCtxView<'_> {
    let (ctx, table) = &mut **state.wasi.files.get_or_insert_with(Box::default);
    WasiFilesystemCtxView { ctx, table }
}
