//! The fields that tell clients how much of a rate is left (draft-ietf-httpapi-ratelimit-headers).
//!
//! The quota is in events: a request with a batch takes as many as it has lines.

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::ingest::RateStatus;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATUS: HeaderName = HeaderName::from_static("ratelimit");
/// The name of the policy.
const NAME: &str = "events";

/// The response, with what is left of the rate of a tenant that has one.
pub(super) fn with_status(mut response: Response, status: Option<RateStatus>) -> Response {
    if let Some(status) = status {
        add(response.headers_mut(), status);
    }
    response
}

/// Adds `RateLimit-Policy` and `RateLimit`.
fn add(headers: &mut HeaderMap, status: RateStatus) {
    let RateStatus { limit, remaining, reset_s } = status;
    for (name, text) in [
        (POLICY, format!("\"{NAME}\";q={limit};w=1")),
        (STATUS, format!("\"{NAME}\";r={remaining};t={reset_s}")),
    ] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}
