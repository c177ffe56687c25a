//! Events.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;

use super::delivery_rows::DeliveryInsert;
use super::rowless::{RowlessChange, RowlessDeliveries, RowlessDelivery};
use super::rows::{self, EventRow, event_columns, event_from_row};
use super::script::{MultiRow, Script};
use super::stores::SqliteStores;
use super::{event_search, known_names, messages::Message, recent};
use crate::domain::{DeliveryId, Event, EventId, EventKey, HookId, OrderingKey, TenantId, UnixMillis};
use crate::storage::dedup::{self, Seen};
use crate::storage::{
    Acceptance, Accepted, DeliveryCounts, EventQuery, EventStore, ListedEvents, NewDelivery, Redelivered,
    StorageError, WantedEvent,
};

#[async_trait]
impl EventStore for SqliteStores {
    async fn accept(&self, batch: Vec<Acceptance>) -> Result<Vec<Accepted>, StorageError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.health.check_space()?;
        self.submit(Message::Accept, batch).await
    }

    async fn event(&self, tenant: TenantId, id: &EventId) -> Result<Option<Event>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        // The key also finds an event that has its sender's id: deliveries hold keys.
        let key = match id.as_key() {
            Some(key) => Some(key),
            None => known_names::find(&self.readers, &self.names, tenant, id).await?,
        };
        if let Some(key) = key {
            let sql = concat!("SELECT ", event_columns!(), " FROM events WHERE key = ? AND tenant_id = ?");
            let query = sqlx::query_as(sql).bind(key.0).bind(tenant.0);
            let row: Option<EventRow> = query.fetch_optional(&self.readers).await?;
            return row.map(event_from_row).transpose();
        }
        // An event of an earlier engine.
        let sql =
            concat!("SELECT ", event_columns!(), " FROM events WHERE external_id = ? AND tenant_id = ?");
        let query = sqlx::query_as(sql).bind(id.as_str()).bind(tenant.0);
        let row: Option<EventRow> = query.fetch_optional(&self.readers).await?;
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
        let wanted = serde_json::to_string(&wanted).map_err(|error| rows::damaged("event id", error))?;
        let found: Vec<(i64, String)> = sqlx::query_as(
            "SELECT e.key, ifnull(e.external_id, e.sender_id) FROM json_each(?) w CROSS JOIN events e \
             WHERE e.key = w.value AND e.tenant_id = ? AND ifnull(e.external_id, e.sender_id) IS NOT NULL",
        )
        .bind(wanted)
        .bind(tenant.0)
        .fetch_all(&self.readers)
        .await?;
        Ok(found.into_iter().map(|(key, id)| (EventKey(key), EventId::from_path(&id))).collect())
    }

    async fn ordering_key(
        &self,
        tenant: TenantId,
        event: EventKey,
    ) -> Result<Option<OrderingKey>, StorageError> {
        let sql = "SELECT ordering_key FROM events WHERE key = ? AND tenant_id = ?";
        let query = sqlx::query_scalar(sql).bind(event.0).bind(tenant.0);
        let key: Option<Option<String>> = query.fetch_optional(&self.readers).await?;
        Ok(key.flatten().as_deref().map(OrderingKey::from_stored))
    }

    async fn search(&self, tenant: TenantId, query: &EventQuery) -> Result<ListedEvents, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        event_search::search(&self.readers, tenant, query).await
    }

    async fn count_deliveries(
        &self,
        tenant: TenantId,
        events: &[EventKey],
    ) -> Result<DeliveryCounts, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        event_search::count_deliveries(&self.readers, tenant, events).await
    }

    async fn redeliver(
        &self,
        tenant: TenantId,
        hook: HookId,
        event: EventKey,
        id: DeliveryId,
        now: UnixMillis,
    ) -> Result<Redelivered, StorageError> {
        self.health.check_space()?;
        let mut writer = self.writer().await;
        let made = event_search::redeliver(writer.begin().await?, (tenant, hook), (event, id), now).await;
        writer.finish(made).await
    }

    async fn recent(
        &self,
        tenant: TenantId,
        wanted: &WantedEvent<'_>,
    ) -> Result<Option<Event>, StorageError> {
        let found = {
            let _permit = self.permit_read(tenant).await?;
            recent::find(&self.readers, tenant, wanted).await?
        };
        match found {
            Some(key) => self.event(tenant, &EventId::of_key(key)).await,
            None => Ok(None),
        }
    }
}

static INSERT_EVENTS: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT OR ROLLBACK INTO events (key, tenant_id, sender_id, sender_key, content, project, \
        event_type, occurred_at, delivery_count, data, deliveries, ordering_key, trace) SELECT * FROM (VALUES";
    MultiRow::new(head, "(?,?,?,?,?,?,?,?,?,?,?,?,?)", ") WHERE column1 IS NOT NULL")
});

/// What one transaction writes for events.
#[derive(Default)]
pub struct EventWrites<'a> {
    /// One list of answers for each call.
    pub answers: Vec<Vec<Accepted>>,
    /// The events that are new.
    pub events: Vec<&'a Acceptance>,
    /// The first rows of deliveries that get one at once.
    pub rows: Vec<DeliveryInsert>,
    /// The deliveries that get no row yet.
    pub change: RowlessChange,
    /// The groups of those that are in order.
    pub groups: BTreeSet<(i64, OrderingKey)>,
}

/// Decides which events of all `calls` to store.
pub fn decide<'a>(
    mut seen: Seen,
    calls: &[&'a [Acceptance]],
    (deleted_hooks, rowless): (&HashSet<HookId>, &RowlessDeliveries),
) -> EventWrites<'a> {
    let mut writes = EventWrites::default();
    for call in calls {
        let answer = seen.decide(call);
        if !dedup::has_conflict(&answer) {
            let new = call.iter().zip(&answer).filter(|(_, answer)| **answer == Accepted::Stored);
            new.for_each(|(acceptance, _)| writes.add(acceptance, (deleted_hooks, rowless)));
        }
        writes.answers.push(answer);
    }
    writes
}

impl<'a> EventWrites<'a> {
    fn add(
        &mut self,
        acceptance: &'a Acceptance,
        (deleted_hooks, rowless): (&HashSet<HookId>, &RowlessDeliveries),
    ) {
        let event = &acceptance.event;
        self.change.last_event = self.change.last_event.max(Some(event.key));
        for new in &acceptance.deliveries {
            match RowlessDelivery::of(new, event).filter(|_| !deleted_hooks.contains(&new.hook)) {
                Some(delivery) => self.change.added.push((new.id, delivery)),
                None => self.add_row(new, event, (deleted_hooks, rowless)),
            }
        }
        self.events.push(acceptance);
    }

    fn add_row(
        &mut self,
        new: &NewDelivery,
        event: &Arc<Event>,
        (deleted_hooks, rowless): (&HashSet<HookId>, &RowlessDeliveries),
    ) {
        let mut row = DeliveryInsert::first(new, event, deleted_hooks);
        if let Some(key) = &new.ordering_key {
            row = row.in_order(key, rowless.next_ordering_seq(new.id));
            self.groups.insert((new.hook.0, key.clone()));
        }
        self.rows.push(row);
    }

    /// Adds the new events to `script`.
    pub fn write(&self, script: &mut Script) -> Result<(), StorageError> {
        Ok(script.push_rows(&INSERT_EVENTS, &self.events, bind_event)?)
    }
}

/// The deliveries of an event as its row names them, for [`super::rowless::recover`].
fn deliveries_json(acceptance: &Acceptance) -> Option<String> {
    let deliveries = &acceptance.deliveries;
    if deliveries.is_empty() {
        return None;
    }
    let mut text = String::with_capacity(deliveries.len() * 32);
    for new in deliveries {
        let before = if text.is_empty() { '[' } else { ',' };
        let _ = write!(text, "{before}[{},{}]", new.id.0 - acceptance.event.key.0, new.hook.0);
    }
    text.push(']');
    Some(text)
}

fn bind_event(acceptance: &&Acceptance, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    let event = &acceptance.event;
    to.add(event.key.0)?;
    to.add(event.tenant.0)?;
    to.add(dedup::external_id(acceptance))?;
    to.add(acceptance.idempotency_key.as_deref())?;
    to.add(dedup::may_repeat(acceptance).then_some(acceptance.content.as_slice()))?;
    to.add(event.project)?;
    to.add(event.event_type.shared())?;
    to.add(event.occurred_at.0)?;
    to.add(i64::try_from(acceptance.deliveries.len())?)?;
    to.add(Arc::clone(&event.data))?;
    to.add(deliveries_json(acceptance))?;
    to.add(event.ordering_key.as_ref().map(|key| key.as_str().to_owned()))?;
    to.add(event.trace.as_ref().map(|trace| trace.to_text()))
}
