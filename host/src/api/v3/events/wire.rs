//! An event as it is sent, and how it becomes one that the engine takes in.

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

/// The greatest size of an event's data, in bytes of JSON text.
pub(in crate::api) const MAX_DATA_LEN: usize = 1024 * 1024;
/// The greatest size of an event with its members beside the data.
pub(in crate::api::v3) const MAX_EVENT_LEN: usize = MAX_DATA_LEN + 64 * 1024;

/// A value that answers show as its text.
#[derive(Debug)]
pub(in crate::api::v3) struct AsText<T>(pub(in crate::api::v3) T);

impl<T: Display> Serialize for AsText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An event to take in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v3) struct EventInput<'a> {
    /// 1 to 256 bytes without white space, commas or `*`.
    #[serde(rename = "type", borrow)]
    #[schema(value_type = schemas::EventType)]
    event_type: Cow<'a, str>,
    /// Any JSON value, at most 1 MiB of text. It is kept as it is sent.
    #[serde(borrow)]
    #[schema(value_type = serde_json::Value)]
    data: &'a RawValue,
    /// The sender's own id, unique within the tenant: 1 to 128 letters, digits, `.`, `_`, `:` or `-`.
    #[schema(value_type = Option<schemas::SenderEventId>)]
    id: Option<String>,
    /// When it happened (RFC 3339, with an offset). Absent: when it is accepted.
    #[schema(value_type = Option<schemas::TimeInput>)]
    occurred_at: Option<String>,
    /// A numbered project of the tenant.
    #[schema(value_type = Option<schemas::ProjectNumber>)]
    project: Option<i64>,
}

impl EventInput<'_> {
    /// Checks every member.
    ///
    /// # Errors
    /// Names the first that breaks a rule.
    pub(in crate::api::v3) fn check(
        self,
        tenant: TenantId,
        directory: &Directory,
    ) -> Result<IncomingEvent, Problem> {
        let event_type: EventType =
            self.event_type.parse().map_err(|rule| Problem::invalid(Pointer::to("type"), rule))?;
        let id = self.id.as_deref().map(EventId::from_sender).transpose();
        let id = id.map_err(|rule| Problem::invalid(Pointer::to("id"), rule))?;
        let occurred_at = self.occurred_at.as_deref().map(parse_time).transpose();
        let occurred_at = occurred_at.map_err(|rule| Problem::invalid(Pointer::to("occurred_at"), rule))?;
        if let Some(number) = self.project.filter(|number| !directory.has_project(tenant, *number)) {
            let detail = format!("the tenant has no project {number}; make it by POST /api/v3/projects");
            return Err(Problem::at(Kind::InvalidValue, Pointer::to("project"), detail));
        }
        Ok(IncomingEvent {
            tenant,
            id,
            idempotency_key: None,
            event_type,
            occurred_at,
            project: self.project,
            data: check_data(self.data)?,
        })
    }
}

/// # Errors
/// Where there is more than 1 MiB of it.
pub(in crate::api::v3) fn check_data(data: &RawValue) -> Result<Arc<str>, Problem> {
    let text = data.get();
    if text.len() > MAX_DATA_LEN {
        let detail = format!("an event's data has at most {MAX_DATA_LEN} bytes; this has {}", text.len());
        return Err(Problem::at(Kind::TooLarge, Pointer::to("data"), detail));
    }
    Ok(text.into())
}

/// Why ingest refused the events of one request.
pub(in crate::api) fn refused(error: IngestError, line: impl FnOnce(usize) -> Option<usize>) -> Problem {
    match error {
        IngestError::Storage(error) => error.into(),
        error @ IngestError::TooMany => Problem::new(Kind::TooLarge, error.to_string()),
        IngestError::Conflict { on: ConflictOn::IdempotencyKey, .. } => {
            let detail = "another event was sent with this Idempotency-Key";
            Problem::new(Kind::Conflict, detail).of_parameter("Idempotency-Key")
        }
        IngestError::Conflict { index, on: ConflictOn::Id } => {
            let detail = "another event of the tenant has this id: its type, project, time or data differ";
            let problem = Problem::at(Kind::Conflict, Pointer::to("id"), detail);
            match line(index) {
                Some(number) => problem.in_line(number),
                None => problem,
            }
        }
    }
}
