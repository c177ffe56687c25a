//! The standard plugin `event-filter`: conditions over an event. Its settings are described in `README.md`.
//!
//! [`Settings`] are read and checked whole, so that a mistake is told whether or not an event gets that
//! far; [`accept`] then reads no more of the data than the conditions ask for.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod condition;
mod evaluate;
mod test;

use hookwright_plugin::{Event, Failure, JsonText};

pub use condition::Condition as Settings;

/// Whether the event meets the condition.
///
/// # Errors
/// `bad-data` if the event's data isn't JSON.
pub fn accept(event: &Event<JsonText>, settings: &Settings) -> Result<bool, Failure> {
    evaluate::Evaluation::new(event).meets(settings)
}

#[hookwright_plugin::filter]
fn filter(event: Event<JsonText>, settings: Settings) -> Result<bool, Failure> {
    accept(&event, &settings)
}
