//! Conversions between the domain's types and the types of `wit/v1`.

use std::sync::Arc;

use crate::domain::{Event, Fault, FaultKind, Request, RequestBody, header_list};
use crate::sandbox::limits::shortened;

use super::bindings::hookwright::plugin::types as wit;

/// Maximum length of a failure's message, in bytes.
const MAX_MESSAGE: usize = 4 << 10;
/// Maximum length of a failure's code, in bytes.
const MAX_CODE: usize = 64;

pub(in crate::sandbox) fn event<'a>(
    event: &'a Event,
    attributes: &'a [(&'a str, &'a str)],
    data: &'a str,
) -> wit::Event<'a> {
    wit::Event {
        id: event.id.as_str(),
        type_: event.event_type.as_str(),
        occurred_at: u64::try_from(event.occurred_at.0).unwrap_or(0),
        attributes,
        data,
    }
}

/// Borrows names and values.
pub(in crate::sandbox) fn pairs<T: AsRef<str>>(pairs: &[(T, T)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect()
}

pub(in crate::sandbox) fn draft<'a>(
    request: &'a Request,
    headers: &'a [(&'a str, &'a str)],
) -> wit::RequestParam<'a> {
    wit::RequestParam {
        method: &request.method,
        url: &request.url,
        headers,
        body: match &request.body {
            RequestBody::None => wit::BodyParam::None,
            RequestBody::Text(text) => wit::BodyParam::Text(text),
            RequestBody::Binary(bytes) => wit::BodyParam::Binary(bytes),
        },
    }
}

pub(in crate::sandbox) fn request(request: wit::RequestResult) -> Request {
    Request {
        method: request.method.into(),
        url: request.url,
        headers: header_list(request.headers),
        body: match request.body {
            wit::BodyResult::None => RequestBody::None,
            wit::BodyResult::Text(text) => RequestBody::Text(Arc::from(text)),
            wit::BodyResult::Binary(bytes) => RequestBody::Binary(bytes),
        },
    }
}

pub(in crate::sandbox) fn failure(failure: &wit::Failure) -> Fault {
    Fault {
        code: Some(shortened(&failure.code, MAX_CODE)),
        retryable: failure.retryable,
        ..Fault::new(FaultKind::Failure, shortened(&failure.message, MAX_MESSAGE))
    }
}
