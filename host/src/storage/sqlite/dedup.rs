//! Deduplication of events, by the sender's id and by idempotency key.
//!
//! It decides for all calls of a transaction before anything is written, so that a conflict needs no rollback. Events with
//! neither an id nor a key are always new.

use std::collections::HashMap;

use sqlx::sqlite::SqliteConnection;

use super::rows::damaged;
use crate::domain::{EventId, EventKey, TenantId};
use crate::storage::{Acceptance, Accepted, ConflictOn, StorageError};

/// An event that is stored, or is about to be.
#[derive(Debug, Clone)]
struct Known {
    key: EventKey,
    external_id: Option<String>,
    content: [u8; 32],
    deliveries: u32,
}

impl Known {
    fn is_same(&self, acceptance: &Acceptance) -> bool {
        // The content does not include the id, and a repeated request repeats the id, too.
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

/// The known events with the ids and keys of a transaction's events.
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

/// Whether the event may be a repetition: it has a sender's id, or its request an idempotency key.
pub fn may_repeat(acceptance: &Acceptance) -> bool {
    acceptance.idempotency_key.is_some() || external_id(acceptance).is_some()
}

type Row = (i64, Option<String>, Option<String>, Option<Vec<u8>>, i64, i64);

impl Seen {
    /// Reads the stored events that have the ids and keys in `calls`.
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

    /// One answer for each event of a call. Its new events are known from then on, unless one of the answers is a conflict.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Event, UnixMillis};
    use Accepted::Stored;

    /// An event: its sender's id, idempotency key, and content. The tenant is 1, and the key counts up.
    type Row = (Option<&'static str>, Option<&'static str>, u8);

    fn acceptance(key: i64, tenant: i64, (id, idempotency_key, content): Row) -> Acceptance {
        let key = EventKey(key);
        let id = id.map_or_else(|| EventId::of_key(key), EventId::from_path);
        let event = Event {
            key,
            id,
            tenant: TenantId(tenant),
            project: None,
            event_type: "a".parse().unwrap(),
            occurred_at: UnixMillis(0),
            data: "1".into(),
        };
        Acceptance {
            event: Arc::new(event),
            content: [content; 32],
            idempotency_key: idempotency_key.map(str::to_owned),
            deliveries: Vec::new(),
        }
    }

    fn duplicate(key: i64, id: Option<&str>) -> Accepted {
        let key = EventKey(key);
        let id = id.map_or_else(|| EventId::of_key(key), EventId::from_path);
        Accepted::Duplicate { key, id, deliveries: 0 }
    }

    const ID: Accepted = Accepted::Conflict(ConflictOn::Id);
    const KEY: Accepted = Accepted::Conflict(ConflictOn::IdempotencyKey);

    /// Each row is a second event after a first one with the id `a`, the idempotency key `k` and the content 1.
    #[test]
    fn a_second_event_is_new_the_same_or_a_conflict() {
        for (what, second, expected) in [
            ("neither id nor key", (None, None, 1), Stored),
            ("the same", (Some("a"), Some("k"), 1), duplicate(1, Some("a"))),
            ("the same without the key", (Some("a"), None, 1), duplicate(1, Some("a"))),
            ("the same with another key", (Some("a"), Some("l"), 1), duplicate(1, Some("a"))),
            ("the id with other content", (Some("a"), Some("k"), 2), ID),
            ("the key with other content", (None, Some("k"), 2), KEY),
            ("the key with another id", (Some("b"), Some("k"), 1), KEY),
            ("the key without the id", (None, Some("k"), 1), KEY),
            ("another id and key", (Some("b"), Some("l"), 1), Stored),
        ] {
            let (first, second) = (acceptance(1, 1, (Some("a"), Some("k"), 1)), acceptance(2, 1, second));
            let mut seen = Seen::default();
            assert_eq!(seen.decide(std::slice::from_ref(&first)), [Stored]);
            let decided = seen.decide(std::slice::from_ref(&second));
            assert_eq!(decided.as_slice(), std::slice::from_ref(&expected), "{what}, in another call");
            let both = [first, second.clone()];
            assert_eq!(Seen::default().decide(&both), [Stored, expected], "{what}, in one call");
            let mut other = acceptance(3, 2, (Some("a"), Some("k"), 9));
            other.deliveries.clear();
            assert_eq!(seen.decide(&[other]), [Stored], "{what}: another tenant");
        }
    }

    #[test]
    fn events_of_a_call_with_a_conflict_are_not_known_afterwards() {
        let mut seen = Seen::default();
        seen.decide(&[acceptance(1, 1, (Some("a"), None, 1))]);
        let call = [acceptance(2, 1, (Some("b"), None, 1)), acceptance(3, 1, (Some("a"), None, 2))];
        assert_eq!(seen.decide(&call), [Stored, ID]);
        assert_eq!(seen.decide(&[acceptance(4, 1, (Some("b"), None, 5))]), [Stored]);
        assert_eq!(seen.decide(&[acceptance(5, 1, (Some("b"), None, 5))]), [duplicate(4, Some("b"))]);
    }
}
