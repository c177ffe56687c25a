//! The standard plugin `webitel-filter`: the member `filter` of a Webitel hook. Its settings are described in `README.md`.
//!
//! The original compares as JavaScript does with `==` and `<`. "ES" below is ECMA-262, 15th edition.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod compare;
mod number;
mod pattern;
mod settings;
mod value;

use hookwright_plugin::{Event, Failure, JsonText};
use hookwright_webitel_common::Data;

pub use settings::Settings;

/// Whether every rule holds.
///
/// # Errors
/// `bad-data` if the event's data isn't JSON.
pub fn accept(event: &Event<JsonText>, settings: &Settings) -> Result<bool, Failure> {
    let data = Data::of(event)?;
    Ok(settings.filter.iter().all(|rule| rule.holds(data.member(&rule.key).as_deref())))
}

#[hookwright_plugin::filter]
fn filter(event: Event<JsonText>, settings: Settings) -> Result<bool, Failure> {
    accept(&event, &settings)
}
