//! A call of a plugin: a fresh store and instance, metered from its first instruction to its last.

use std::sync::Arc;

use wasmtime::component::Instance;
use wasmtime::{Engine, Store};

use crate::domain::{Fault, FaultKind, Request, StepOutput};

use super::SandboxError;
use super::deadline::{self, Ticker};
use super::fault::{self, Allowance};
use super::interrupted::Interrupted;
use super::limits::Limits;
use super::logs::LogSink;
use super::plugin::Plugin;
use super::state::State;
use super::v1::bindings::exports::hookwright::plugin::{filter, mapper, transformer};
use super::v1::bindings::hookwright::plugin::types as wit;
use super::v1::convert;

/// What calls need from the engine.
pub(super) struct Invoker {
    pub(super) engine: Engine,
    pub(super) limits: Limits,
    pub(super) ticker: Ticker,
}

/// Result and cost of a call.
pub(super) struct CallReport<T> {
    pub(super) result: Result<T, Fault>,
    pub(super) fuel: u64,
    pub(super) fuel_granted: u64,
    pub(super) memory_bytes: u64,
    pub(super) output: StepOutput,
    /// The log that was passed in, with the lines of this call.
    pub(super) logs: LogSink,
}

/// Result of a guest function; the outer error is a trap or an error of the host.
type GuestResult<T> = wasmtime::Result<Result<T, wit::Failure>>;

impl Invoker {
    pub(super) fn filter(
        &self,
        plugin: &Plugin,
        guest: &filter::GuestIndices,
        state: State,
        event: wit::Event<'_>,
    ) -> Result<CallReport<bool>, Interrupted> {
        self.call(plugin, state, event_bytes(&event), |store, instance| {
            guest.load(&mut *store, instance)?.call_accept(store, event)
        })
    }

    pub(super) fn map(
        &self,
        plugin: &Plugin,
        guest: &mapper::GuestIndices,
        state: State,
        event: wit::Event<'_>,
    ) -> Result<CallReport<Arc<str>>, Interrupted> {
        let called = self.call(plugin, state, event_bytes(&event), |store, instance| {
            guest.load(&mut *store, instance)?.call_map_fields(store, event)
        })?;
        Ok(called.measured(|data| data.len()).and_then(|data| match hookwright_json_tree::checked(&data) {
            Ok(_) => Ok(Arc::from(data)),
            Err(error) => Err(Fault::new(
                FaultKind::InvalidOutput,
                format!("it returned data that is not JSON: {error}"),
            )),
        }))
    }

    pub(super) fn transform(
        &self,
        plugin: &Plugin,
        guest: &transformer::GuestIndices,
        state: State,
        event: wit::Event<'_>,
        draft: &Request,
    ) -> Result<CallReport<Option<Request>>, Interrupted> {
        let headers = convert::pairs(&draft.headers);
        let draft = convert::draft(draft, &headers);
        let body = match draft.body {
            wit::BodyParam::None => 0,
            wit::BodyParam::Text(text) => text.len(),
            wit::BodyParam::Binary(bytes) => bytes.len(),
        };
        let called = self.call(plugin, state, event_bytes(&event) + body, |store, instance| {
            guest.load(&mut *store, instance)?.call_transform(store, event, draft)
        })?;
        let called = called.and_then(|request| Ok(request.map(convert::request)));
        Ok(called.measured(|request| request.as_ref().map_or(0, request_bytes)))
    }

    /// Creates an instance without calling a function, and checks the types of its exports.
    pub(super) fn instantiate_once(
        &self,
        plugin: &Plugin,
        state: State,
    ) -> Result<CallReport<Result<(), String>>, SandboxError> {
        let called = self.metered(state, 0, |store| {
            plugin.instantiate_once(store).map(|types| Ok(types.map_err(|error| format!("{error:#}"))))
        });
        Ok(called?)
    }

    fn call<T>(
        &self,
        plugin: &Plugin,
        state: State,
        event_bytes: usize,
        call: impl FnOnce(&mut Store<State>, &Instance) -> GuestResult<T>,
    ) -> Result<CallReport<T>, Interrupted> {
        let input_bytes = event_bytes + state.settings.len();
        self.metered(state, input_bytes, |store| {
            let instance = plugin.pre.instantiate(&mut *store)?;
            call(store, &instance)
        })
    }

    fn metered<T>(
        &self,
        mut state: State,
        input_bytes: usize,
        work: impl FnOnce(&mut Store<State>) -> GuestResult<T>,
    ) -> Result<CallReport<T>, Interrupted> {
        let allowance = Allowance {
            fuel: self.limits.fuel(input_bytes),
            output_bytes: self.limits.output_bytes(input_bytes),
        };
        let control = state.control.clone();
        state.meter.allow_wasi(allowance.fuel);
        // Set all limits before the first instruction: start functions are guest code too.
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.meter);
        store.set_fuel(allowance.fuel)?;
        store.set_hostcall_fuel(allowance.output_bytes);
        deadline::arm(&mut store, &self.limits, &control);
        let result = {
            let _running = self.ticker.run();
            work(&mut store)
        };
        let fuel = allowance.fuel - store.get_fuel()?.min(allowance.fuel);
        let mut state = store.into_data();
        let fuel = fuel.saturating_add(state.meter.wasi_fuel());
        state.logs.end_call();
        let result = match result {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(failure)) => Err(convert::failure(&failure)),
            Err(error) => match fault::interruption(&error) {
                Some(interrupted) => return Err(interrupted),
                None => Err(fault::of(&error, &state.meter, &allowance)),
            },
        };
        let (fuel_granted, memory_bytes) = (allowance.fuel, state.meter.peak_bytes());
        let output = StepOutput {
            bytes: 0,
            granted: allowance.output_bytes as u64,
            memory_granted: self.limits.memory_bytes as u64,
        };
        Ok(CallReport { result, fuel, fuel_granted, memory_bytes, output, logs: state.logs })
    }
}

impl<T> CallReport<T> {
    fn and_then<U>(self, check: impl FnOnce(T) -> Result<U, Fault>) -> CallReport<U> {
        let Self { result, fuel, fuel_granted, memory_bytes, output, logs } = self;
        CallReport { result: result.and_then(check), fuel, fuel_granted, memory_bytes, output, logs }
    }

    /// Notes the size of the result.
    fn measured(mut self, size: impl FnOnce(&T) -> usize) -> Self {
        self.output.bytes = self.result.as_ref().map_or(0, size) as u64;
        self
    }
}

fn request_bytes(request: &Request) -> usize {
    let headers: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    request.method.len() + request.url.len() + headers + request.body.as_bytes().len()
}

fn event_bytes(event: &wit::Event<'_>) -> usize {
    let attributes: usize = event.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    event.data.len() + event.id.len() + event.type_.len() + attributes
}
