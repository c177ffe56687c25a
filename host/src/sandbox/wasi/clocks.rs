//! `wasi:clocks`: the wall clock is fixed at the event's time, and a sleep returns at once.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};

use super::io::READY;
use crate::sandbox::state::State;

/// Time between two reads of the monotonic clock, in nanoseconds.
const STEP_NS: u64 = 1_000;

impl wall_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        self.charge(0, 0)?;
        let millis = self.wasi.event.as_ref().map_or(0, |event| event.occurred_at.0);
        let millis = u64::try_from(millis).unwrap_or(0);
        let nanoseconds = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
        Ok(wall_clock::Datetime { seconds: millis / 1000, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.charge(0, 0)?;
        self.wasi.monotonic_ns = self.wasi.monotonic_ns.saturating_add(STEP_NS);
        Ok(self.wasi.monotonic_ns)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(STEP_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.wasi.monotonic_ns = self.wasi.monotonic_ns.max(when);
        self.wasi.handle(READY)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.wasi.monotonic_ns = self.wasi.monotonic_ns.saturating_add(duration);
        self.wasi.handle(READY)
    }
}
