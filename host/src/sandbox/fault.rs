//! What wasmtime's errors say about a plugin.
//!
//! The only place that knows how wasmtime words things. A guest whose allocator gets no memory
//! usually aborts, and an abort is an `unreachable`: so a trap after a growth that was refused is
//! out of memory, whatever its own name.

use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::domain::{Fault, FaultKind};

use super::SandboxError;
use super::deadline::Stopped;
use super::invoke::Interrupted;
use super::limits::{Count, Meter, Size, shortened};
use super::v1::host::OutOfFuelAt;
use super::wasi::Exited;

/// The longest message that is kept, in bytes.
const MAX_MESSAGE: usize = 1 << 10;
/// The deepest backtrace that is kept.
const MAX_FRAMES: usize = 32;
/// The longest line of a backtrace, in bytes.
const MAX_FRAME: usize = 200;

/// What one call was given.
pub(super) struct Allowance {
    pub(super) fuel: u64,
    pub(super) output_bytes: usize,
}

/// Why a call came to nothing, if that was not the plugin's doing.
pub(super) fn interruption(error: &Error) -> Option<Interrupted> {
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return Some(Interrupted::Failed(SandboxError::Engine(format!("{error:#}"))));
    }
    match error.downcast_ref::<Stopped>()? {
        Stopped::Overdue { .. } => None,
        Stopped::Slice => Some(Interrupted::Slice),
        Stopped::Abandoned => Some(Interrupted::Abandoned),
        Stopped::Starved => Some(Interrupted::Failed(SandboxError::Overloaded)),
    }
}

/// How the plugin failed.
pub(super) fn of(error: &Error, meter: &Meter, allowance: &Allowance) -> Fault {
    // Where an interpreter says the script's line, its own frames say nothing more.
    let says_place = error.downcast_ref::<OutOfFuelAt>().is_some();
    let backtrace = if says_place { Vec::new() } else { backtrace(error) };
    let (kind, message) = classify(error, meter, allowance, !backtrace.is_empty());
    Fault { backtrace, ..Fault::new(kind, shortened(&message, MAX_MESSAGE)) }
}

fn classify(error: &Error, meter: &Meter, allowance: &Allowance, in_guest: bool) -> (FaultKind, String) {
    if let Some(stopped) = error.downcast_ref::<Stopped>() {
        return (FaultKind::Deadline, stopped.to_string());
    }
    if let Some(exited) = error.downcast_ref::<Exited>() {
        return (FaultKind::Trap, exited.to_string());
    }
    if let Some(OutOfFuelAt(place)) = error.downcast_ref::<OutOfFuelAt>() {
        let message = format!("used up its {} units of fuel at {place}", Count(allowance.fuel));
        return (FaultKind::OutOfFuel, message);
    }
    let trap = error.downcast_ref::<Trap>();
    match trap {
        Some(Trap::OutOfFuel) => {
            let message = format!("used up its {} units of fuel", Count(allowance.fuel));
            return (FaultKind::OutOfFuel, message);
        }
        Some(Trap::Interrupt) => return (FaultKind::Deadline, "ran past its deadline".to_owned()),
        Some(Trap::StackOverflow) => {
            return (FaultKind::Trap, "stack overflow: its calls are nested too deeply".to_owned());
        }
        _ => {}
    }
    if let Some(denied) = meter.denied() {
        return (FaultKind::OutOfMemory, denied.to_string());
    }
    let words = error.root_cause().to_string();
    if words.contains("fuel allocated for hostcalls") {
        let message = format!("handed over more than the {} it may at once", Size(allowance.output_bytes));
        return (FaultKind::OutputTooLarge, message);
    }
    // What is wrong with an answer is found when the guest has returned, so without its frames.
    match trap {
        None if !in_guest => (FaultKind::InvalidOutput, format!("its answer cannot be read: {words}")),
        _ => (FaultKind::Trap, words.trim_start_matches("wasm trap: ").to_owned()),
    }
}

/// The guest's frames, innermost first.
fn backtrace(error: &Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    // The text and not the frames, for it has the names demangled.
    let text = backtrace.to_string();
    let frames = text.lines().filter_map(|line| {
        let (place, function) = line.split_once(" - ")?;
        let place = place.rsplit(' ').next().unwrap_or_default();
        Some(shortened(&format!("{function} ({place})"), MAX_FRAME))
    });
    frames.take(MAX_FRAMES).collect()
}
