//! A tenant's newest event of a type, found without an index: an index would cost every accepted event.

use sqlx::sqlite::SqlitePool;

use super::rows::{RecentRow, newest_wanted};
use crate::domain::{EventKey, TenantId};
use crate::storage::{StorageError, WantedEvent};

/// How many of the newest events of all tenants are visited. Their data is not read: it comes after the other columns.
const EVENTS: u32 = 2_000;
/// How many of the tenant's newest deliveries are visited, each with its event.
const DELIVERIES: u32 = 500;

/// Among the newest events of all tenants. The inner statement limits the search, whatever the outer condition finds.
const AMONG_EVENTS: &str = "SELECT key, event_type, project FROM \
    (SELECT key, tenant_id, event_type, project FROM events ORDER BY key DESC LIMIT ?2) WHERE tenant_id = ?1";

/// Among the events of the tenant's newest deliveries: for a tenant that sends little beside others that send a lot.
const AMONG_DELIVERIES: &str = "SELECT key, events.event_type, project FROM \
    (SELECT event_key FROM deliveries WHERE tenant_id = ?1 ORDER BY id DESC LIMIT ?2) \
    CROSS JOIN events ON key = event_key AND events.tenant_id = ?1";

/// The key of the newest wanted event.
pub(super) async fn find(
    readers: &SqlitePool,
    tenant: TenantId,
    wanted: &WantedEvent<'_>,
) -> Result<Option<EventKey>, StorageError> {
    for (statement, bound) in [(AMONG_EVENTS, EVENTS), (AMONG_DELIVERIES, DELIVERIES)] {
        let found: Vec<RecentRow> =
            sqlx::query_as(statement).bind(tenant.0).bind(bound).fetch_all(readers).await?;
        let newest = newest_wanted(found, wanted);
        if newest.is_some() {
            return Ok(newest);
        }
    }
    Ok(None)
}
