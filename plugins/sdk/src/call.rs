//! Functions that the generated exports call. They convert between the contract's types and the author's types.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bindings::base::hookwright::plugin::types::Event as WireEvent;
use crate::failure::BAD_SETTINGS;
use crate::logging::log_panics;
use crate::{Data, Event, Failure, Output, Request, parse_settings};

/// Settings of a function without settings. They are ignored.
#[derive(Deserialize)]
pub struct NoSettings {}

/// Converts the error of an author's check to a failure that tells the engine that the settings are invalid.
///
/// # Errors
/// The error of the check, with the code `bad-settings`.
pub fn checked<E: Into<Failure>>(check: Result<(), E>) -> Result<(), Failure> {
    check.map_err(|error| Failure { code: BAD_SETTINGS.into(), ..error.into() })
}

/// Runs a filter. `check` runs before the event's data is parsed.
pub fn call_filter<D, S, E>(
    event: WireEvent,
    check: impl FnOnce(&S) -> Result<(), Failure>,
    function: impl FnOnce(Event<D>, S) -> Result<bool, E>,
) -> Result<bool, Failure>
where
    D: Data,
    S: DeserializeOwned,
    E: Into<Failure>,
{
    log_panics();
    let settings = settings(check)?;
    function(Event::from_wire(event)?, settings).map_err(Into::into)
}

/// Runs a mapper. `check` runs before the event's data is parsed.
pub fn call_mapper<D, S, T, E>(
    event: WireEvent,
    check: impl FnOnce(&S) -> Result<(), Failure>,
    function: impl FnOnce(Event<D>, S) -> Result<T, E>,
) -> Result<String, Failure>
where
    D: Data,
    S: DeserializeOwned,
    T: Output,
    E: Into<Failure>,
{
    log_panics();
    let settings = settings(check)?;
    function(Event::from_wire(event)?, settings).map_err(Into::into)?.into_text()
}

/// Runs a transformer. `check` runs before the event's data is parsed.
pub fn call_transformer<D, S, E>(
    event: WireEvent,
    draft: Request,
    check: impl FnOnce(&S) -> Result<(), Failure>,
    function: impl FnOnce(Event<D>, Request, S) -> Result<Option<Request>, E>,
) -> Result<Option<Request>, Failure>
where
    D: Data,
    S: DeserializeOwned,
    E: Into<Failure>,
{
    log_panics();
    let settings = settings(check)?;
    function(Event::from_wire(event)?, draft, settings).map_err(Into::into)
}

fn settings<S: DeserializeOwned>(check: impl FnOnce(&S) -> Result<(), Failure>) -> Result<S, Failure> {
    let settings = parse_settings(&settings_text())?;
    check(&settings)?;
    Ok(settings)
}

#[cfg(target_arch = "wasm32")]
fn settings_text() -> String {
    crate::bindings::base::hookwright::plugin::config::get()
}

/// There is no host. Native code calls the author's function directly.
#[cfg(not(target_arch = "wasm32"))]
fn settings_text() -> String {
    "{}".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_parsed_and_checked_before_the_data() {
        let event = || WireEvent {
            id: "evt_1".into(),
            type_: "t".into(),
            occurred_at: 0,
            attributes: Vec::new(),
            data: "no JSON".into(),
        };
        let never = |_: Event<u32>, _: NoSettings| -> Result<bool, Failure> { unreachable!() };
        let refused = call_filter(event(), |_| checked(Err("`channel` is empty")), never);
        assert_eq!(refused, Err(Failure::new("bad-settings", "`channel` is empty")));
        let failure = call_filter(event(), |_| Ok(()), never).expect_err("data that is not a number");
        assert_eq!(failure.code, "bad-data");
    }
}
