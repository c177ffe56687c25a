//! Which events are new: by the sender's id, and by idempotency key.
//!
//! Decided before anything is written, for all calls of a transaction, so that a conflict
//! needs no rollback. Events with neither an id nor a key are not looked at.

use std::collections::HashMap;

use sqlx::sqlite::SqliteConnection;

use super::rows::damaged;
use crate::domain::{EventId, EventKey, TenantId};
use crate::storage::{Acceptance, Accepted, ConflictOn, StorageError};

/// An event that is stored, or about to be.
#[derive(Debug, Clone)]
struct Known {
    key: EventKey,
    external_id: Option<String>,
    content: [u8; 32],
    deliveries: u32,
}

impl Known {
    fn is_same(&self, acceptance: &Acceptance) -> bool {
        // The content leaves out the id, and a repeated request repeats the id, too.
        self.content == acceptance.content && self.external_id.as_deref() == external_id(acceptance)
    }

    fn duplicate(&self) -> Accepted {
        let id = match &self.external_id {
            Some(text) => EventId::from_path(text),
            None => EventId::of_key(self.key),
        };
        Accepted::Duplicate { key: self.key, id, deliveries: self.deliveries }
    }
}

/// What is known of the ids and keys of a transaction's events.
#[derive(Debug, Default)]
pub struct Seen {
    by_id: HashMap<(TenantId, String), Known>,
    by_key: HashMap<(TenantId, String), Known>,
}

/// The sender's own id, if the event has one.
pub fn external_id(acceptance: &Acceptance) -> Option<&str> {
    let id = &acceptance.event.id;
    id.as_key().is_none().then(|| id.as_str())
}

/// Whether it must be looked up whether the event is new: its sender named it, or the request.
pub fn may_repeat(acceptance: &Acceptance) -> bool {
    acceptance.idempotency_key.is_some() || external_id(acceptance).is_some()
}

type Row = (i64, Option<String>, Option<String>, Option<Vec<u8>>, i64, i64);

impl Seen {
    /// Reads what is stored of the ids and keys in `calls`.
    pub async fn load(
        connection: &mut SqliteConnection,
        calls: &[&[Acceptance]],
    ) -> Result<Self, StorageError> {
        let all = || calls.iter().copied().flatten();
        let tenant = |one: &Acceptance| one.event.tenant.0;
        let ids: Vec<_> = all().filter_map(|one| Some((tenant(one), external_id(one)?))).collect();
        let keys: Vec<_> =
            all().filter_map(|one| Some((tenant(one), one.idempotency_key.as_deref()?))).collect();
        let mut seen = Self::default();
        if !ids.is_empty() {
            let sql = "SELECT e.tenant_id, e.external_id, e.idempotency_key, e.content, e.key, e.delivery_count \
                FROM json_each(?) w CROSS JOIN events e INDEXED BY events_by_external_id \
                WHERE e.tenant_id = w.value ->> 0 AND e.external_id = w.value ->> 1 AND e.external_id IS NOT NULL";
            seen.read(connection, sql, &ids).await?;
        }
        if !keys.is_empty() {
            let sql = "SELECT e.tenant_id, e.external_id, e.idempotency_key, e.content, e.key, e.delivery_count \
                FROM json_each(?) w CROSS JOIN events e INDEXED BY events_by_idempotency_key \
                WHERE e.tenant_id = w.value ->> 0 AND e.idempotency_key = w.value ->> 1 AND e.idempotency_key IS NOT NULL";
            seen.read(connection, sql, &keys).await?;
        }
        Ok(seen)
    }

    async fn read(
        &mut self,
        connection: &mut SqliteConnection,
        sql: &'static str,
        wanted: &[(i64, &str)],
    ) -> Result<(), StorageError> {
        let wanted = serde_json::to_string(wanted).map_err(|error| damaged("event id", error))?;
        let rows: Vec<Row> = sqlx::query_as(sql).bind(wanted).fetch_all(connection).await?;
        for (tenant, external_id, idempotency_key, content, key, deliveries) in rows {
            let content = content.and_then(|bytes| bytes.try_into().ok());
            let known = Known {
                key: EventKey(key),
                external_id,
                content: content.ok_or_else(|| damaged("event", "its content has no digest"))?,
                deliveries: u32::try_from(deliveries).map_err(|error| damaged("event", error))?,
            };
            self.add(TenantId(tenant), idempotency_key, known);
        }
        Ok(())
    }

    fn add(&mut self, tenant: TenantId, idempotency_key: Option<String>, known: Known) {
        if let Some(key) = idempotency_key {
            self.by_key.insert((tenant, key), known.clone());
        }
        if let Some(id) = known.external_id.clone() {
            self.by_id.insert((tenant, id), known);
        }
    }

    /// One answer for each event of a call. What it would store is known from then on, unless
    /// there is a conflict among the answers.
    pub fn decide(&mut self, call: &[Acceptance]) -> Vec<Accepted> {
        let mut staged = Self::default();
        let answers: Vec<_> = call.iter().map(|one| self.decide_one(&mut staged, one)).collect();
        if !has_conflict(&answers) {
            self.by_id.extend(staged.by_id);
            self.by_key.extend(staged.by_key);
        }
        answers
    }

    fn decide_one(&self, staged: &mut Self, acceptance: &Acceptance) -> Accepted {
        let tenant = acceptance.event.tenant;
        let external_id = external_id(acceptance).map(str::to_owned);
        let idempotency_key = acceptance.idempotency_key.clone();
        if !may_repeat(acceptance) {
            return Accepted::Stored;
        }
        let by_id = external_id.clone().and_then(|id| {
            let id = (tenant, id);
            self.by_id.get(&id).or_else(|| staged.by_id.get(&id))
        });
        // An id without a key of its own does not answer for the key, and the other way round.
        if by_id.is_some_and(|known| known.content != acceptance.content) {
            return Accepted::Conflict(ConflictOn::Id);
        }
        let by_key = idempotency_key.clone().and_then(|key| {
            let key = (tenant, key);
            self.by_key.get(&key).or_else(|| staged.by_key.get(&key))
        });
        if by_key.is_some_and(|known| !known.is_same(acceptance)) {
            return Accepted::Conflict(ConflictOn::IdempotencyKey);
        }
        if let Some(known) = by_id.or(by_key) {
            return known.duplicate();
        }
        let known = Known {
            key: acceptance.event.key,
            external_id,
            content: acceptance.content,
            deliveries: u32::try_from(acceptance.deliveries.len()).unwrap_or(u32::MAX),
        };
        staged.add(tenant, idempotency_key, known);
        Accepted::Stored
    }
}

/// Whether a call is refused as a whole.
pub fn has_conflict(answers: &[Accepted]) -> bool {
    answers.iter().any(|answer| matches!(answer, Accepted::Conflict(_)))
}
