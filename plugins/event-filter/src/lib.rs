//! The standard plugin `event-filter`: conditions on an event. `README.md` describes its settings.
//!
//! [`Settings`] are parsed and checked as a whole, so that errors are reported for every event. [`accept`] then parses
//! only the parts of the data that the conditions refer to.

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
/// `bad-data` if the event's data is not JSON.
pub fn accept(event: &Event<JsonText>, settings: &Settings) -> Result<bool, Failure> {
    evaluate::Evaluation::new(event).meets(settings)
}

#[hookwright_plugin::filter]
fn filter(event: Event<JsonText>, settings: Settings) -> Result<bool, Failure> {
    accept(&event, &settings)
}
