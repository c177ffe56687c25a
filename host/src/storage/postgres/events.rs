//! Events.

use std::collections::HashMap;

use async_trait::async_trait;

use super::event_search;
use super::rows::is_text;
use super::stores::PostgresStores;
use crate::domain::{DeliveryId, Event, EventId, EventKey, HookId, OrderingKey, TenantId, UnixMillis};
use crate::storage::columns::{EventRow, RecentRow, event_from_row, newest_wanted};
use crate::storage::{
    Acceptance, Accepted, DeliveryCounts, EventQuery, EventStore, ListedEvents, Redelivered, StorageError,
    WantedEvent,
};

/// How many of the newest events of all tenants are looked at for an example.
const EVENTS: i64 = 2_000;
/// How many of the tenant's own deliveries are looked at, each with its event.
const DELIVERIES: i64 = 500;

const BY_KEY: &str = "SELECT key, tenant_id, external_id, project, event_type, occurred_at, data, ordering_key, trace \
    FROM events WHERE key = $1 AND tenant_id = $2";

/// Among the newest events of all tenants.
const AMONG_EVENTS: &str = "SELECT key, event_type, project FROM \
    (SELECT key, tenant_id, event_type, project FROM events ORDER BY key DESC LIMIT $2) newest WHERE tenant_id = $1";

/// Among the events of the tenant's newest deliveries: for a tenant that sends seldom, beside others that send a lot.
const AMONG_DELIVERIES: &str = "SELECT e.key, e.event_type, e.project FROM \
    (SELECT event_key FROM deliveries WHERE tenant_id = $1 ORDER BY id DESC LIMIT $2) d \
    JOIN events e ON e.key = d.event_key AND e.tenant_id = $1";

#[async_trait]
impl EventStore for PostgresStores {
    async fn accept(&self, batch: Vec<Acceptance>) -> Result<Vec<Accepted>, StorageError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.session.check_alive()?;
        self.acceptor.accept(batch).await
    }

    async fn event(&self, tenant: TenantId, id: &EventId) -> Result<Option<Event>, StorageError> {
        if !is_text(id.as_str()) {
            return Ok(None);
        }
        let _permit = self.permit_read(tenant).await?;
        let key = match id.as_key() {
            Some(key) => Some(key.0),
            None => {
                let sql = "SELECT event_key FROM event_names WHERE tenant_id = $1 AND kind = 0 AND name = $2";
                let query = sqlx::query_scalar(sql).bind(tenant.0).bind(id.as_str());
                query.fetch_optional(&self.session.pool).await?
            }
        };
        let query = sqlx::query_as(BY_KEY).bind(key).bind(tenant.0);
        let row: Option<EventRow> = query.fetch_optional(&self.session.pool).await?;
        row.map(event_from_row).transpose()
    }

    async fn sender_ids(
        &self,
        tenant: TenantId,
        events: &[EventKey],
    ) -> Result<HashMap<EventKey, EventId>, StorageError> {
        if events.is_empty() {
            return Ok(HashMap::new());
        }
        let wanted: Vec<i64> = events.iter().map(|key| key.0).collect();
        let sql = "SELECT key, external_id FROM events \
            WHERE key = ANY ($1) AND tenant_id = $2 AND external_id IS NOT NULL";
        let query = sqlx::query_as(sql).bind(wanted).bind(tenant.0);
        let found: Vec<(i64, String)> = query.fetch_all(&self.session.pool).await?;
        Ok(found.into_iter().map(|(key, id)| (EventKey(key), EventId::from_path(&id))).collect())
    }

    async fn ordering_key(
        &self,
        tenant: TenantId,
        event: EventKey,
    ) -> Result<Option<OrderingKey>, StorageError> {
        let sql = "SELECT ordering_key FROM events WHERE key = $1 AND tenant_id = $2";
        let query = sqlx::query_scalar(sql).bind(event.0).bind(tenant.0);
        let key: Option<Option<String>> = query.fetch_optional(self.pool()).await?;
        Ok(key.flatten().as_deref().map(OrderingKey::from_stored))
    }

    async fn search(&self, tenant: TenantId, query: &EventQuery) -> Result<ListedEvents, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        event_search::search(self.pool(), tenant, query).await
    }

    async fn count_deliveries(
        &self,
        tenant: TenantId,
        events: &[EventKey],
    ) -> Result<DeliveryCounts, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        event_search::count_deliveries(self.pool(), tenant, events).await
    }

    async fn redeliver(
        &self,
        tenant: TenantId,
        hook: HookId,
        event: EventKey,
        id: DeliveryId,
        now: UnixMillis,
    ) -> Result<Redelivered, StorageError> {
        event_search::redeliver(self.pool(), (tenant, hook), (event, id), now).await
    }

    async fn recent(
        &self,
        tenant: TenantId,
        wanted: &WantedEvent<'_>,
    ) -> Result<Option<Event>, StorageError> {
        let Some(key) = self.recent_key(tenant, wanted).await? else { return Ok(None) };
        self.event(tenant, &EventId::of_key(key)).await
    }
}

impl PostgresStores {
    async fn recent_key(
        &self,
        tenant: TenantId,
        wanted: &WantedEvent<'_>,
    ) -> Result<Option<EventKey>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        for (statement, bound) in [(AMONG_EVENTS, EVENTS), (AMONG_DELIVERIES, DELIVERIES)] {
            let query = sqlx::query_as(statement).bind(tenant.0).bind(bound);
            let found: Vec<RecentRow> = query.fetch_all(&self.session.pool).await?;
            let newest = newest_wanted(found, wanted);
            if newest.is_some() {
                return Ok(newest);
            }
        }
        Ok(None)
    }
}
