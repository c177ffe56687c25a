//! An inert, deterministic WASI: the imports of common standard libraries, without access to the outside.
//!
//! | Interface | Behavior |
//! |---|---|
//! | `wasi:cli` | no arguments, no environment, empty input; output goes to the plugin's log |
//! | `wasi:clocks` | wall clock: the event's time; monotonic clock: 1 µs later per read, and a sleep returns at once |
//! | `wasi:random` | bytes derived from the event's id, for all interfaces |
//! | `wasi:io` | streams and pollables that are always ready |
//! | `wasi:filesystem` | no preopened directory, so no access to files |
//! | `wasi:sockets` | every operation is denied |
//!
//! The adapter for preview 1, and with it the standard libraries of Rust, C and Python, always imports the file
//! system; Python also imports sockets. A plugin that imports `wasi:http` intends to use it, and is refused at upload.
//!
//! Types and signatures come from `wasmtime-wasi`. Its implementations are not used, except for the file system,
//! because they sleep in real time and start an asynchronous runtime. No call here blocks. State is created on first
//! use, so plugins without WASI do not pay for it.

mod cli;
mod clocks;
mod io;
mod random;
mod seeded;
pub(super) mod sockets;
pub(super) mod state;

use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings;

pub(super) use self::cli::Exited;
use super::fuel::CALL_FUEL;
use super::state::State;

/// Interfaces that a plugin may import, without version.
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

impl State {
    /// Takes the fuel for a call with this many bytes or other units.
    fn charge(&mut self, units: usize, fuel_per_unit: u64) -> wasmtime::Result<()> {
        let units = u64::try_from(units).unwrap_or(u64::MAX);
        self.meter.charge_wasi(units.saturating_mul(fuel_per_unit).saturating_add(CALL_FUEL))
    }
}

struct StateData;

impl HasData for StateData {
    type Data<'a> = &'a mut State;
}

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    macro_rules! offer {
        ($($interface:path),+ $(,)?) => {{
            $({
                use $interface as interface;
                interface::add_to_linker::<State, StateData>(linker, |state| state)?;
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
