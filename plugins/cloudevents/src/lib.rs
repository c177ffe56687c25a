//! The standard plugin `cloudevents`: the request as a CloudEvent 1.0.2. Its settings are described in `README.md`.
//!
//! The event's context comes from the event and the settings, its data from the draft's body, so that what
//! earlier steps wrote is what is sent. "CE" below is the CloudEvents specification 1.0.2, "HTTP" its HTTP protocol binding,
//! "JSON" its JSON event format, all of that version.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod binary;
mod context;
mod settings;
mod structured;

use hookwright_plugin::{Event, Failure, JsonText, Request};

pub use settings::{Mode, Settings};

/// The request as a CloudEvent.
///
/// # Errors
/// `bad-data` if the event's data is needed and isn't JSON, `bad-event` if an attribute can't be expressed,
/// `bad-body` if the draft's body is not what its content type says.
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
