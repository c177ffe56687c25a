//! The standard plugin `webitel-filter`: implements `filter` of a Webitel hook. `README.md` describes its settings.
//!
//! The original system compares with JavaScript's `==` and `<`. In this crate, "ES" is ECMA-262, 15th edition.

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

/// Whether all rules hold.
///
/// # Errors
/// `bad-data` if the event's data is not JSON.
pub fn accept(event: &Event<JsonText>, settings: &Settings) -> Result<bool, Failure> {
    let data = Data::of(event)?;
    Ok(settings.filter.iter().all(|rule| rule.holds(data.member(&rule.key).as_deref())))
}

#[hookwright_plugin::filter]
fn filter(event: Event<JsonText>, settings: Settings) -> Result<bool, Failure> {
    accept(&event, &settings)
}
