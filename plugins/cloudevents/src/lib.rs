//! The standard plugin `cloudevents`: sends the event as a CloudEvent 1.0.2. `README.md` describes its settings.
//!
//! The context comes from the event and the settings, the data from the draft's body, which earlier steps may have
//! written. In this crate, "CE" is the CloudEvents specification 1.0.2, "HTTP" its HTTP protocol binding and "JSON" its
//! JSON event format, of the same version.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod binary;
mod context;
mod settings;
mod structured;

use hookwright_plugin::{Event, Failure, JsonText, Request};

pub use settings::{Mode, Settings};

/// Writes the request as a CloudEvent.
///
/// # Errors
/// `bad-data` if a pointer is used and the event's data is not JSON; `bad-event` if an attribute is invalid; `bad-body`
/// if the draft's content type is JSON and its body is not.
pub fn transform(
    event: &Event<JsonText>,
    draft: Request,
    settings: &Settings,
) -> Result<Option<Request>, Failure> {
    let context = context::Context::of(event, settings)?;
    match settings.mode {
        Mode::Structured => structured::write(&context, draft),
        Mode::Binary => Ok(binary::write(&context, draft)),
    }
    .map(Some)
}

#[hookwright_plugin::transformer]
fn transformer(
    event: Event<JsonText>,
    draft: Request,
    settings: Settings,
) -> Result<Option<Request>, Failure> {
    transform(&event, draft, &settings)
}
