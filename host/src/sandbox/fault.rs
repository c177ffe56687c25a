//! Converts wasmtime's errors to faults.
//!
//! Only this module depends on the text of wasmtime's errors. A guest whose allocator gets no memory usually aborts by
//! `unreachable`, so any trap after a denied growth is reported as out of memory.

use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::domain::{Fault, FaultKind};

use super::SandboxError;
use super::deadline::Stopped;
use super::interrupted::Interrupted;
use super::limits::{Count, Meter, Size, shortened};
use super::v1::host::OutOfFuelAt;
use super::wasi::Exited;

/// Maximum length of a message, in bytes.
const MAX_MESSAGE: usize = 1 << 10;
/// Maximum number of frames in a backtrace.
const MAX_FRAMES: usize = 32;
/// Maximum length of a frame, in bytes.
const MAX_FRAME: usize = 200;

/// Limits of one call.
pub(super) struct Allowance {
    pub(super) fuel: u64,
    pub(super) output_bytes: usize,
}

/// Returns why a call was interrupted, or `None` if the plugin failed.
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

/// Returns the fault of a plugin.
pub(super) fn of(error: &Error, meter: &Meter, allowance: &Allowance) -> Fault {
    // The location in the script is enough; the frames of the interpreter do not help.
    let has_location = error.downcast_ref::<OutOfFuelAt>().is_some();
    let backtrace = if has_location { Vec::new() } else { backtrace(error) };
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
    if let Some(OutOfFuelAt(location)) = error.downcast_ref::<OutOfFuelAt>() {
        let message = format!("used up its {} units of fuel at {location}", Count(allowance.fuel));
        return (FaultKind::OutOfFuel, message);
    }
    let trap = error.downcast_ref::<Trap>();
    match trap {
        Some(Trap::OutOfFuel) => {
            let message = format!("used up its {} units of fuel", Count(allowance.fuel));
            return (FaultKind::OutOfFuel, message);
        }
        Some(Trap::Interrupt) => return (FaultKind::Deadline, "exceeded its deadline".to_owned()),
        Some(Trap::StackOverflow) => {
            return (FaultKind::Trap, "stack overflow: its calls are nested too deeply".to_owned());
        }
        _ => {}
    }
    if let Some(denied) = meter.denied() {
        return (FaultKind::OutOfMemory, denied.to_string());
    }
    let cause = error.root_cause().to_string();
    if cause.contains("fuel allocated for hostcalls") {
        let message = format!("passed more than {} to the host in one call", Size(allowance.output_bytes));
        return (FaultKind::OutputTooLarge, message);
    }
    // An invalid result is detected after the guest has returned, so there are no frames.
    match trap {
        None if !in_guest => (FaultKind::InvalidOutput, format!("its result cannot be decoded: {cause}")),
        _ => (FaultKind::Trap, cause.trim_start_matches("wasm trap: ").to_owned()),
    }
}

/// Returns the guest's frames, innermost first.
fn backtrace(error: &Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    // Parse the text because it has demangled names.
    let text = backtrace.to_string();
    let frames = text.lines().filter_map(|line| {
        let (place, function) = line.split_once(" - ")?;
        let place = place.rsplit(' ').next().unwrap_or_default();
        Some(shortened(&format!("{function} ({place})"), MAX_FRAME))
    });
    frames.take(MAX_FRAMES).collect()
}
