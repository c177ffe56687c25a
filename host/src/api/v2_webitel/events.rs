//! `POST /events`: an event as the telephone switch writes it, a flat map.
//!
//! The original system receives these events from the switch; here a connector posts them. Events published
//! through v3 under the full name reach the same hooks.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::access::{CREDENTIALS, Call};
use super::input::Input;
use super::response::{ApiError, Success};
use super::slashes::with_and_without_slash;
use crate::api::json::{self, Members};
use crate::api::problem::{Kind, Problem};
use crate::api::publishing::Publishing;
use crate::api::v3::events::{MAX_DATA_LEN, refused};
use crate::api::{SharedApiState, rate_limit};
use crate::domain::{EventType, Invalid, Scope};
use crate::ingest::{IncomingEvent, Ingest};
use crate::metrics::events::{EventSource, REJECTED, Rejection};
use crate::traces::Traces;

/// The members that contain the event's domain, in order of precedence.
const DOMAINS: [&str; 2] = ["variable_domain_name", "variable_w_domain"];
/// The members that contain the domain after an `@`, if the former are absent.
const PRESENCES: [&str; 2] = ["Channel-Presence-ID", "variable_presence_id"];

/// The paths below the surface's prefixes.
pub(super) const PATH: &str = "/events";

pub(super) fn routes() -> Router<SharedApiState> {
    with_and_without_slash(PATH, post(post_event))
}

/// The result of publishing an event.
#[derive(Debug, Serialize)]
struct Receipt {
    id: String,
}

/// Accepts an event. Responds when it is stored on disk.
async fn post_event(
    State(ingest): State<Arc<Ingest>>,
    State(traces): State<Traces>,
    mut call: Call,
) -> Result<Response, ApiError> {
    call.must_have(Scope::EventsWrite)?;
    let body = call.body().await?;
    let event = SwitchEvent::read(&body);
    let event = event.inspect_err(|_| REJECTED.of(Rejection::Invalid).increment())?;
    let domain = call.domain_or(Scope::EventsWrite, || Some(&event.domain))?;
    if domain.name != event.domain {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "Permission denied! The event belongs to another domain.",
        ));
    }
    let (tenant, publishing) = (domain.id, Publishing::begin(&traces, call.headers(), "POST /api/v2/events"));
    let incoming = IncomingEvent {
        tenant,
        id: None,
        idempotency_key: None,
        event_type: event.name,
        occurred_at: None,
        project: None,
        ordering_key: None,
        trace: publishing.trace(),
        data: event.data.into(),
    };
    let accepted = ingest.accept(vec![incoming], EventSource::Webitel).await;
    let accepted = accepted.map_err(|error| ApiError::from(refused(error, |_| None)));
    publishing.end(tenant, accepted.as_ref().map_or_else(ApiError::status, |_| StatusCode::OK));
    let receipts = accepted?;
    let id = receipts.first().map(|receipt| receipt.id.to_string()).unwrap_or_default();
    let status = ingest.admission().rate_status(domain.id);
    Ok(rate_limit::with_status(Success::with(Receipt { id }).into_response(), status))
}

/// An event of the switch.
#[derive(Debug)]
struct SwitchEvent {
    /// The full name: the event's name, with its subclass if it has one.
    name: EventType,
    domain: String,
    /// The whole map, without credentials.
    data: String,
}

impl SwitchEvent {
    fn read(body: &Bytes) -> Result<Self, ApiError> {
        // Validates the object; the text is kept unchanged.
        let Members(members) = json::parse::<Members<&RawValue>>(body)?;
        let text = json::text_of(body)?.trim();
        let input = Input::read(text)?;
        let required = |name| Ok::<_, ApiError>(input.string(name)?.filter(|text| !text.is_empty()));
        let name = required("Event-Name")?.ok_or_else(|| ApiError::bad("Event-Name is required"))?;
        let name = match required("Event-Subclass")? {
            Some(subclass) => format!("{name}->{subclass}"),
            None => name,
        };
        let bad = |Invalid(rule)| ApiError::bad(format_args!("Event-Name: {rule}"));
        let name: EventType = name.parse().map_err(bad)?;
        name.check_published().map_err(bad)?;
        let domain = domain_of(&input)?.ok_or_else(|| ApiError::bad("domain is required"))?;
        let is_credential = |name: &String| CREDENTIALS.contains(&name.as_str());
        let data = if members.iter().any(|(name, _)| is_credential(name)) {
            let rest = Members(members.into_iter().filter(|(name, _)| !is_credential(name)).collect());
            serde_json::to_string(&rest)
                .map_err(|error| Problem::internal("writing an event as JSON", &error))?
        } else {
            text.to_owned()
        };
        if data.len() > MAX_DATA_LEN {
            let detail = format!("an event has at most {MAX_DATA_LEN} bytes");
            return Err(Problem::new(Kind::TooLarge, detail).into());
        }
        Ok(Self { name, domain, data })
    }
}

fn domain_of(input: &Input<'_>) -> Result<Option<String>, ApiError> {
    for member in DOMAINS {
        if let Some(domain) = input.string(member)?.filter(|domain| !domain.is_empty()) {
            return Ok(Some(domain));
        }
    }
    for member in PRESENCES {
        let presence = input.string(member)?.unwrap_or_default();
        if let Some((_, domain)) = presence.split_once('@').filter(|(_, domain)| !domain.is_empty()) {
            return Ok(Some(domain.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SwitchEvent, ApiError> {
        SwitchEvent::read(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn the_domain_is_the_first_that_an_event_names() {
        for (members, domain) in [
            (r#""variable_w_domain":"b","variable_domain_name":"a","Channel-Presence-ID":"1@c""#, Some("a")),
            (r#""variable_w_domain":"b","Channel-Presence-ID":"1@c""#, Some("b")),
            (r#""variable_domain_name":"","variable_w_domain":null,"Channel-Presence-ID":"1@c""#, Some("c")),
            (r#""variable_presence_id":"1@d","Channel-Presence-ID":"1@c""#, Some("c")),
            (r#""variable_presence_id":"1@d","Channel-Presence-ID":"1@""#, Some("d")),
            (r#""variable_presence_id":"d""#, None),
            (r#""x":1"#, None),
        ] {
            let event = read(&format!(r#"{{"Event-Name":"E",{members}}}"#));
            assert_eq!(event.ok().map(|event| event.domain).as_deref(), domain, "{members}");
        }
    }

    #[test]
    fn the_name_has_the_subclass_and_the_data_no_credentials() {
        let event = read(
            r#" {"Event-Name": "CUSTOM", "Event-Subclass":"a::b", "variable_domain_name":"d", "n": 1.50} "#,
        )
        .unwrap();
        assert_eq!(event.name.as_str(), "CUSTOM->a::b");
        assert_eq!(
            event.data,
            r#"{"Event-Name": "CUSTOM", "Event-Subclass":"a::b", "variable_domain_name":"d", "n": 1.50}"#
        );
        let text = r#"{"access_token":"t","Event-Name":"E","x_key":"k","variable_domain_name":"d","n":1.50}"#;
        let event = read(text).unwrap();
        assert_eq!((event.name.as_str(), event.domain.as_str()), ("E", "d"));
        assert_eq!(event.data, r#"{"Event-Name":"E","variable_domain_name":"d","n":1.50}"#);
    }
}
