//! The wire format of an event and its validation.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::time::parse_time;
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{EventId, EventType, TenantId};
use crate::ingest::{IncomingEvent, IngestError};
use crate::storage::ConflictOn;

/// The maximum size of an event's data, in bytes of JSON text.
pub(in crate::api) const MAX_DATA_LEN: usize = 1024 * 1024;
/// The maximum size of an event with all its members, in bytes of JSON text.
pub(in crate::api::v3) const MAX_EVENT_LEN: usize = MAX_DATA_LEN + 64 * 1024;

/// A value that serializes as its [`Display`] text.
#[derive(Debug)]
pub(in crate::api::v3) struct AsText<T>(pub(in crate::api::v3) T);

impl<T: Display> Serialize for AsText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An event to publish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v3) struct EventInput<'a> {
    /// The event's type: 1 to 256 bytes without white space, control characters, commas or `*`.
    #[serde(rename = "type", borrow)]
    #[schema(value_type = schemas::EventType)]
    event_type: Cow<'a, str>,
    /// Any JSON value, at most 1 MiB of text. The engine keeps the text unchanged.
    #[serde(borrow)]
    #[schema(value_type = serde_json::Value)]
    data: &'a RawValue,
    /// The sender's id of the event, unique within the tenant: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`,
    /// not beginning with `evt_`. Default: the engine's id.
    #[schema(value_type = Option<schemas::SenderEventId>)]
    id: Option<String>,
    /// When the event occurred (RFC 3339, with an offset). Default: the time of acceptance.
    #[schema(value_type = Option<schemas::TimeInput>)]
    occurred_at: Option<String>,
    /// The number of an existing project of the tenant. Default: no project.
    #[schema(value_type = Option<schemas::ProjectNumber>)]
    project: Option<i64>,
    /// Hooks with the `ordering` `key` send events with the same key one after the other: 1 to 128 bytes without
    /// control characters. Default: no order.
    #[schema(value_type = Option<schemas::OrderingKey>)]
    ordering_key: Option<Cow<'a, str>>,
}

impl EventInput<'_> {
    /// Validates all members.
    ///
    /// # Errors
    /// Fails with the first member that breaks a rule.
    pub(in crate::api::v3) fn check(
        self,
        tenant: TenantId,
        directory: &Directory,
    ) -> Result<IncomingEvent, Problem> {
        let event_type: EventType =
            self.event_type.parse().map_err(|rule| Problem::invalid(Pointer::to("type"), rule))?;
        event_type.check_published().map_err(|rule| Problem::invalid(Pointer::to("type"), rule))?;
        let id = self.id.as_deref().map(EventId::from_sender).transpose();
        let id = id.map_err(|rule| Problem::invalid(Pointer::to("id"), rule))?;
        let occurred_at = self.occurred_at.as_deref().map(parse_time).transpose();
        let occurred_at = occurred_at.map_err(|rule| Problem::invalid(Pointer::to("occurred_at"), rule))?;
        if let Some(number) = self.project.filter(|number| !directory.has_project(tenant, *number)) {
            let detail = format!("the tenant has no project {number}; create it with POST /api/v3/projects");
            return Err(Problem::at(Kind::InvalidValue, Pointer::to("project"), detail));
        }
        let ordering_key = self.ordering_key.as_deref().map(str::parse).transpose();
        let ordering_key =
            ordering_key.map_err(|rule| Problem::invalid(Pointer::to("ordering_key"), rule))?;
        Ok(IncomingEvent {
            tenant,
            ordering_key,
            trace: None,
            id,
            idempotency_key: None,
            event_type,
            occurred_at,
            project: self.project,
            data: check_data(self.data)?,
        })
    }
}

/// Checks the size of an event's data.
///
/// # Errors
/// Fails if the data exceeds [`MAX_DATA_LEN`].
pub(in crate::api::v3) fn check_data(data: &RawValue) -> Result<Arc<str>, Problem> {
    let text = data.get();
    if text.len() > MAX_DATA_LEN {
        let detail = format!("an event's data has at most {MAX_DATA_LEN} bytes; this has {}", text.len());
        return Err(Problem::at(Kind::TooLarge, Pointer::to("data"), detail));
    }
    Ok(text.into())
}

/// The problem for an error of ingest. `line` maps the index of an event to its line in a batch.
pub(in crate::api) fn refused(error: IngestError, line: impl FnOnce(usize) -> Option<usize>) -> Problem {
    match error {
        IngestError::Storage(error) => error.into(),
        IngestError::NotAdmitted(why) => why.into(),
        error @ IngestError::TooMany => Problem::new(Kind::TooLarge, error.to_string()),
        IngestError::Conflict { on: ConflictOn::IdempotencyKey, .. } => {
            let detail = "a different event was sent with this Idempotency-Key; use a new key for each event";
            Problem::new(Kind::Conflict, detail).of_parameter("Idempotency-Key")
        }
        IngestError::Conflict { index, on: ConflictOn::Id } => {
            let detail =
                "another event of the tenant has this id, with a different type, project, time or data";
            let problem = Problem::at(Kind::Conflict, Pointer::to("id"), detail);
            match line(index) {
                Some(number) => problem.in_line(number),
                None => problem,
            }
        }
    }
}
