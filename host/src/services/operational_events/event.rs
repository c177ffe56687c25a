//! An operational event as it is stored.

use serde::Serialize;

use crate::domain::{EventId, HookId, TenantId, UnixMillis};
use crate::ingest::{IncomingEvent, Ingest, IngestError};

/// The data of an event. Absent members do not belong to its type.
#[derive(Debug, Default, Serialize)]
pub(super) struct Data {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hook: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<UnixTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delivery: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plugin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quota: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<UnixTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) suppressed: u64,
}

/// A time in RFC 3339.
#[derive(Debug)]
pub(super) struct UnixTime(pub(super) UnixMillis);

impl Serialize for UnixTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = jiff::Timestamp::from_millisecond(self.0.0).unwrap_or_default();
        serializer.collect_str(&format_args!("{time:.3}"))
    }
}

/// The event of the type `name` with this id; `None` if it cannot be written, which does not happen.
pub(super) fn event(tenant: TenantId, name: &str, id: &str, data: &Data) -> Option<IncomingEvent> {
    Some(IncomingEvent {
        tenant,
        id: Some(EventId::from_path(id)),
        idempotency_key: None,
        event_type: name.parse().ok()?,
        occurred_at: None,
        project: None,
        ordering_key: None,
        trace: None,
        data: serde_json::to_string(data).ok()?.into(),
    })
}

/// Stores an event, which no hook gets that it is about. Returns whether it is stored, now or before.
///
/// # Errors
/// If storage fails, which is logged.
pub(super) async fn store(
    ingest: &Ingest,
    event: IncomingEvent,
    about: Option<HookId>,
) -> Result<bool, IngestError> {
    let (tenant, event_type) = (event.tenant, event.event_type.clone());
    match ingest.accept_operational(event, about).await {
        // Another node has told of it.
        Ok(()) | Err(IngestError::Conflict { .. }) => Ok(true),
        // The tenant gets nothing.
        Err(IngestError::NotAdmitted(_)) => Ok(false),
        Err(error) => {
            let logged = &error as &dyn std::error::Error;
            tracing::error!(%tenant, %event_type, error = logged, "cannot store an operational event");
            Err(error)
        }
    }
}
