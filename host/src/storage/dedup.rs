//! Deduplication of events, by the sender's id and by idempotency key.
//!
//! It decides for all calls of a transaction before anything is written, so that a conflict needs no rollback. Events with
//! neither an id nor a key are always new.

use std::collections::HashMap;

use crate::domain::{EventId, EventKey, TenantId};
use crate::storage::{Acceptance, Accepted, ConflictOn};

/// An event that is stored, or is about to be.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its key.
    pub key: EventKey,
    /// The sender's id, if it has one.
    pub external_id: Option<String>,
    /// SHA-256 of its content.
    pub content: [u8; 32],
    /// How many deliveries it made.
    pub deliveries: u32,
}

/// What kind of name an event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// The sender's id.
    Id,
    /// The request's `Idempotency-Key`.
    IdempotencyKey,
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

/// The names by which the event is known.
pub fn names(acceptance: &Acceptance) -> impl Iterator<Item = (TenantId, NameKind, &str)> {
    let id = external_id(acceptance).map(|id| (NameKind::Id, id));
    let key = acceptance.idempotency_key.as_deref().map(|key| (NameKind::IdempotencyKey, key));
    id.into_iter().chain(key).map(|(kind, name)| (acceptance.event.tenant, kind, name))
}

/// Whether the event may be a repetition: it has a sender's id, or its request an idempotency key.
pub fn may_repeat(acceptance: &Acceptance) -> bool {
    acceptance.idempotency_key.is_some() || external_id(acceptance).is_some()
}

impl Seen {
    /// Adds an event that has this name.
    pub fn add(&mut self, tenant: TenantId, kind: NameKind, name: String, known: Known) {
        let names = match kind {
            NameKind::Id => &mut self.by_id,
            NameKind::IdempotencyKey => &mut self.by_key,
        };
        names.insert((tenant, name), known);
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
        for (tenant, kind, name) in names(acceptance) {
            staged.add(tenant, kind, name.to_owned(), known.clone());
        }
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
            ordering_key: None,
            trace: None,
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
