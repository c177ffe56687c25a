//! From the contract's types to the author's and back: what an attribute's export calls.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bindings::base::hookwright::plugin::types::Event as WireEvent;
use crate::logging::log_panics;
use crate::{Data, Event, Failure, Output, Request, parse_settings};

/// The settings of a function that takes none: whatever there are, they are not looked at.
#[derive(Deserialize)]
pub struct NoSettings {}

/// Runs a filter.
pub fn call_filter<D, S, E>(
    event: WireEvent,
    function: impl FnOnce(Event<D>, S) -> Result<bool, E>,
) -> Result<bool, Failure>
where
    D: Data,
    S: DeserializeOwned,
    E: Into<Failure>,
{
    log_panics();
    let settings = settings()?;
    function(Event::from_wire(event)?, settings).map_err(Into::into)
}

/// Runs a mapper.
pub fn call_mapper<D, S, T, E>(
    event: WireEvent,
    function: impl FnOnce(Event<D>, S) -> Result<T, E>,
) -> Result<String, Failure>
where
    D: Data,
    S: DeserializeOwned,
    T: Output,
    E: Into<Failure>,
{
    log_panics();
    let settings = settings()?;
    function(Event::from_wire(event)?, settings).map_err(Into::into)?.into_text()
}

/// Runs a transformer.
pub fn call_transformer<D, S, E>(
    event: WireEvent,
    draft: Request,
    function: impl FnOnce(Event<D>, Request, S) -> Result<Option<Request>, E>,
) -> Result<Option<Request>, Failure>
where
    D: Data,
    S: DeserializeOwned,
    E: Into<Failure>,
{
    log_panics();
    let settings = settings()?;
    function(Event::from_wire(event)?, draft, settings).map_err(Into::into)
}

fn settings<S: DeserializeOwned>() -> Result<S, Failure> {
    parse_settings(&settings_text())
}

#[cfg(target_arch = "wasm32")]
fn settings_text() -> String {
    crate::bindings::base::hookwright::plugin::config::get()
}

/// There is no host to ask. Native code calls an author's function directly.
#[cfg(not(target_arch = "wasm32"))]
fn settings_text() -> String {
    "{}".into()
}
