//! Asks a receiver whether it allows deliveries: the validation request of CloudEvents' HTTP Web Hooks for Event Delivery,
//! section 4.
//!
//! The answer is in the response's headers, whatever its status. The engine offers no callback, so a receiver that would
//! answer later refuses.

use http_body_util::Full;
use hyper::body::Bytes;

use super::client::{DeliveryClient, OwnFailure, Sender};
use super::header_values::{REQUEST_ORIGIN, USER_AGENT};
use crate::domain::receiver_options::Handshake;
use crate::domain::{Hook, Outcome, Response};

const REQUEST_RATE: &str = "webhook-request-rate";
const ALLOWED_ORIGIN: &str = "webhook-allowed-origin";
const ALLOWED_RATE: &str = "webhook-allowed-rate";

/// A receiver's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It allows deliveries, at this rate in requests per minute; `None`: at any rate.
    Allowed(Option<u32>),
    /// It does not, or could not be asked. The reason is for people.
    Refused(String),
}

/// Asks the receiver of `hook` to allow deliveries from `origin`.
///
/// # Errors
/// Fails if the engine itself failed.
pub async fn ask(client: &DeliveryClient, hook: &Hook, origin: &str) -> Result<Answer, OwnFailure> {
    let requested = hook.handshake().and_then(|handshake| handshake.requested_rate);
    let Ok(request) = build(hook, origin, requested) else {
        return Ok(Answer::Refused("the request cannot be sent".to_owned()));
    };
    let again = request.clone();
    let sender = Sender { tls: hook.tls(), ..hook.tenant.into() };
    let outcome = client.send(sender, request, &|| Some(again.clone()), hook.timeout).await?;
    Ok(match outcome {
        Outcome::Response(response) => read(&response, origin, requested),
        Outcome::TimedOut { after } => {
            Answer::Refused(format!("the receiver did not answer within {} ms", after.as_millis()))
        }
        Outcome::Unreachable { message, .. } => Answer::Refused(message),
        Outcome::Faulted { .. } | Outcome::Dropped { .. } => Answer::Refused(String::new()),
    })
}

fn build(hook: &Hook, origin: &str, rate: Option<u32>) -> http::Result<http::Request<Full<Bytes>>> {
    let mut request = http::Request::options(hook.url.as_str())
        .header(http::header::USER_AGENT, USER_AGENT)
        .header(REQUEST_ORIGIN, origin);
    if let Some(rate) = rate {
        request = request.header(REQUEST_RATE, rate);
    }
    request.body(Full::default())
}

fn read(response: &Response, origin: &str, requested: Option<u32>) -> Answer {
    let status = response.status;
    match response.header(ALLOWED_ORIGIN).map(str::trim) {
        None => {
            let what = format!("the receiver answered {status} without `WebHook-Allowed-Origin`");
            return Answer::Refused(what);
        }
        Some(allowed) if allowed == "*" || allowed.eq_ignore_ascii_case(origin) => {}
        Some(_) => return Answer::Refused(format!("the receiver allows another origin than `{origin}`")),
    }
    match response.header(ALLOWED_RATE).map(str::trim) {
        Some("*") => Answer::Allowed(None),
        // It should say so, but allows deliveries (section 4.2.2).
        None => Answer::Allowed(requested),
        Some(text) => match text.parse::<u64>() {
            Ok(rate @ 1..) => {
                let rate = u32::try_from(rate).unwrap_or(Handshake::MAX_RATE).min(Handshake::MAX_RATE);
                Answer::Allowed(Some(rate))
            }
            _ => Answer::Refused(
                "the receiver's `WebHook-Allowed-Rate` is neither `*` nor a number from 1".to_owned(),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_headers_allow_deliveries() {
        let no = None::<&str>;
        for (status, origin, rate, requested, allowed) in [
            (200, Some("shop.example"), Some("*"), None, Some(None)),
            (405, Some("Shop.Example"), Some("120"), None, Some(Some(120))),
            (200, Some("*"), no, Some(60), Some(Some(60))),
            (200, Some(" * "), no, None, Some(None)),
            (200, Some("*"), Some("99999999999"), None, Some(Some(Handshake::MAX_RATE))),
            (200, Some("*"), Some("0"), None, None),
            (200, Some("*"), Some("fast"), None, None),
            (200, Some("other.example"), Some("*"), None, None),
            (200, no, Some("*"), None, None),
        ] {
            let named = |name: &str, value: Option<&str>| value.map(|value| (name.into(), value.into()));
            let headers = named("WebHook-Allowed-Origin", origin);
            let headers = headers.into_iter().chain(named("WebHook-Allowed-Rate", rate)).collect();
            let response =
                Response { status, headers, body: Vec::new(), body_truncated: false, body_failure: None };
            let expected = allowed.map(Answer::Allowed);
            match (read(&response, "shop.example", requested), expected) {
                (Answer::Refused(_), None) => {}
                (answer, expected) => assert_eq!(Some(answer), expected, "{origin:?} {rate:?}"),
            }
        }
    }
}
