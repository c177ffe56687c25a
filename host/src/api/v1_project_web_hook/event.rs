//! `GET /projects/:project_id/web_hook/events/:event_id`: a web hook event. Clients poll it until it has a
//! response.
//!
//! A web hook event is a delivery. Its number is the delivery's id without the node number, so that it is an
//! exact integer in JavaScript.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::envelope::{ApiError, Success};
use super::path::Project;
use super::web_hook::{StoredSettings, client_id, find};
use crate::directory::Directory;
use crate::domain::mask::masked_url;
use crate::domain::{Attempt, Delivery, DeliveryId, Event, EventId, Hook, Outcome, Scope, Tenant};
use crate::storage::Storage;

/// The response code if there was no response; the message then says why.
const NO_RESPONSE: u16 = 0;

/// A web hook event.
#[derive(Debug, Serialize)]
pub(super) struct EventView {
    id: i64,
    client_id: i64,
    project_id: i64,
    session_id: Option<Box<RawValue>>,
    event_type: String,
    /// Unix seconds, with milliseconds.
    event_timestamp: f64,
    response_code: Option<u16>,
    response_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
}

/// The session in an event's data.
#[derive(Deserialize, Default)]
struct Session {
    #[serde(default)]
    session_id: Option<Box<RawValue>>,
}

impl EventView {
    /// The view of an event that was just accepted.
    pub(super) fn pending(tenant: &Tenant, project: i64, delivery: DeliveryId, event: &Event) -> Self {
        let session = serde_json::from_str::<Session>(&event.data).unwrap_or_default();
        Self {
            id: delivery.short(),
            client_id: client_id(tenant),
            project_id: project,
            session_id: session.session_id,
            event_type: event.event_type.to_string(),
            #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
            event_timestamp: event.occurred_at.0 as f64 / 1000.0,
            response_code: None,
            response_message: None,
            endpoint: None,
        }
    }

    /// Adds the result of the last attempt.
    fn with_result(mut self, delivery: &Delivery, last: Option<&Attempt>, hook: Option<&Hook>) -> Self {
        if let Some(attempt) = last {
            let (code, message) = response(&attempt.outcome);
            (self.response_code, self.response_message) = (Some(code), Some(message));
        } else if delivery.state.is_final() {
            (self.response_code, self.response_message) =
                (Some(NO_RESPONSE), Some(delivery.state.to_string()));
        }
        let sent_to = last.and_then(|attempt| attempt.request.as_ref()).map(|request| request.url.as_str());
        // The endpoint as the client wrote it, unless the request went elsewhere.
        let is_of = |hook: &Hook, url: &str| url == hook.url.as_str() || url == masked_url(hook.url.as_str());
        let still = hook.filter(|hook| sent_to.is_none_or(|url| is_of(hook, url)));
        self.endpoint = still.and_then(|hook| StoredSettings::of(hook).ok()?.endpoint);
        if self.endpoint.is_none() {
            self.endpoint = sent_to.map(|url| url.trim_start_matches("https://").to_owned());
        }
        self
    }
}

/// The code and the message of an outcome.
fn response(outcome: &Outcome) -> (u16, String) {
    match outcome {
        Outcome::Response(response) => {
            let reason = StatusCode::from_u16(response.status).ok().and_then(|it| it.canonical_reason());
            // Clients poll until there is a message.
            (response.status, reason.unwrap_or("Unknown").to_owned())
        }
        Outcome::TimedOut { after } => (NO_RESPONSE, format!("no response within {} ms", after.as_millis())),
        Outcome::Unreachable { message, .. } => (NO_RESPONSE, message.clone()),
        Outcome::Faulted { fault, .. } => (NO_RESPONSE, fault.message.clone()),
        Outcome::Dropped { .. } => (NO_RESPONSE, "dropped by the pipeline".to_owned()),
    }
}

pub(super) async fn event(
    State(directory): State<Arc<Directory>>,
    State(storage): State<Storage>,
    project: Project,
) -> Result<Success<EventView>, ApiError> {
    let number = project.event()?;
    let tenant = project.of(Scope::DeliveriesRead)?;
    let no_event =
        || ApiError::not_found(format!("project {} has no web hook event {number}", project.number));
    let hook = find(&directory, tenant.id, project.number);
    // There are several only if different nodes created deliveries in the same millisecond.
    for id in storage.deliveries.numbered(tenant.id, number).await? {
        let found = storage.deliveries.with_attempts(tenant.id, id, None, 1).await?;
        let Some((delivery, attempts)) = found else { continue };
        let event = storage.events.event(tenant.id, &EventId::of_key(delivery.event)).await?;
        let Some(event) = event.filter(|event| event.project == Some(project.number)) else { continue };
        // The project may have hooks of other APIs, whose deliveries are not web hook events. Deliveries of
        // deleted hooks cannot be told apart.
        let own = hook.as_ref().map(|own| own.id);
        if directory.hook(delivery.hook).is_some_and(|hook| own != Some(hook.id)) {
            continue;
        }
        let view = EventView::pending(&tenant, project.number, id, &event);
        return Ok(Success(view.with_result(&delivery, attempts.first(), hook.as_deref())));
    }
    Err(no_event())
}
