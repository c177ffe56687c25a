//! Deduplication of events, by the sender's id and by idempotency key.
//!
//! It decides for all calls of a transaction before anything is written, so that a conflict needs no rollback. Events with
//! neither an id nor a key are always new.

use std::collections::HashMap;

use crate::domain::hash::sha256;
use crate::domain::{EventId, EventKey, TenantId};
use crate::storage::{Acceptance, Accepted, ConflictOn};

/// An event that is stored, or is about to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its key.
    pub key: EventKey,
    /// What it is compared by, for the name by which it is known.
    pub mark: Mark,
    /// How many deliveries it made.
    pub deliveries: u32,
}

/// By what two events with the same name are compared: a hash of their contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(pub i64);

impl Mark {
    /// The mark of an event whose content was erased: whatever has its name repeats it.
    pub const ERASED: Self = Self(0);

    /// The mark of an event with this content, for its name of this kind.
    ///
    /// A request that is repeated with its idempotency key repeats the sender's id, too. The content does not include it.
    pub fn of(kind: NameKind, content: &[u8; 32], external_id: Option<&str>) -> Self {
        let hash = match (kind, external_id) {
            (NameKind::Id, _) | (NameKind::IdempotencyKey, None) => *content,
            (NameKind::IdempotencyKey, Some(id)) => sha256(&[content, id.as_bytes()]),
        };
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        // Not that of an erased one.
        Self(i64::from_be_bytes(first) | 1)
    }

    /// The mark of stored content. Erased content is all zeros.
    pub fn of_stored(kind: NameKind, content: &[u8; 32], external_id: Option<&str>) -> Self {
        if *content == [0; 32] { Self::ERASED } else { Self::of(kind, content, external_id) }
    }

    fn of_acceptance(kind: NameKind, acceptance: &Acceptance) -> Self {
        Self::of(kind, &acceptance.content, external_id(acceptance))
    }
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
    /// A new event, as it is known by its name of this kind.
    pub fn of(kind: NameKind, acceptance: &Acceptance) -> Self {
        Self {
            key: acceptance.event.key,
            mark: Mark::of_acceptance(kind, acceptance),
            deliveries: u32::try_from(acceptance.deliveries.len()).unwrap_or(u32::MAX),
        }
    }

    fn is_same(&self, kind: NameKind, acceptance: &Acceptance) -> bool {
        self.mark == Mark::ERASED || self.mark == Mark::of_acceptance(kind, acceptance)
    }

    /// The answer for a repetition, which has the same id.
    fn duplicate(&self, acceptance: &Acceptance) -> Accepted {
        let id = match external_id(acceptance) {
            Some(text) => EventId::from_path(text),
            None => EventId::of_key(self.key),
        };
        Accepted::Duplicate { key: self.key, id, deliveries: self.deliveries }
    }
}

/// The known events with the ids and keys of a transaction's events.
#[derive(Debug, Default)]
pub struct Seen {
    by_id: HashMap<TenantId, HashMap<String, Known>>,
    by_key: HashMap<TenantId, HashMap<String, Known>>,
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
        names.entry(tenant).or_default().insert(name, known);
    }

    /// Adds an event that has this name, unless a newer one has it.
    pub fn add_older(&mut self, tenant: TenantId, kind: NameKind, name: String, known: Known) {
        if self.get(tenant, kind, &name).is_none() {
            self.add(tenant, kind, name, known);
        }
    }

    /// One answer for each event of a call. Its new events are known from then on, unless one of the answers is a conflict.
    pub fn decide(&mut self, call: &[Acceptance]) -> Vec<Accepted> {
        let mut staged = Self::default();
        let answers: Vec<_> = call.iter().map(|one| self.decide_one(&mut staged, one)).collect();
        if !has_conflict(&answers) {
            for (all, new) in [(&mut self.by_id, staged.by_id), (&mut self.by_key, staged.by_key)] {
                for (tenant, names) in new {
                    all.entry(tenant).or_default().extend(names);
                }
            }
        }
        answers
    }

    fn decide_one(&self, staged: &mut Self, acceptance: &Acceptance) -> Accepted {
        let (mut by_id, mut by_key) = (None, None);
        for (tenant, kind, name) in names(acceptance) {
            let known = self.get(tenant, kind, name).or_else(|| staged.get(tenant, kind, name));
            match kind {
                NameKind::Id => by_id = known,
                NameKind::IdempotencyKey => by_key = known,
            }
        }
        if by_id.is_some_and(|known| !known.is_same(NameKind::Id, acceptance)) {
            return Accepted::Conflict(ConflictOn::Id);
        }
        if by_key.is_some_and(|known| !known.is_same(NameKind::IdempotencyKey, acceptance)) {
            return Accepted::Conflict(ConflictOn::IdempotencyKey);
        }
        if let Some(known) = by_id.or(by_key) {
            return known.duplicate(acceptance);
        }
        for (tenant, kind, name) in names(acceptance) {
            staged.add(tenant, kind, name.to_owned(), Known::of(kind, acceptance));
        }
        Accepted::Stored
    }

    fn get(&self, tenant: TenantId, kind: NameKind, name: &str) -> Option<Known> {
        let names = match kind {
            NameKind::Id => &self.by_id,
            NameKind::IdempotencyKey => &self.by_key,
        };
        names.get(&tenant)?.get(name).copied()
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
    fn whatever_has_the_name_of_an_erased_event_repeats_it() {
        let mut seen = Seen::default();
        let known = Known { key: EventKey(1), mark: Mark::ERASED, deliveries: 3 };
        seen.add(TenantId(1), NameKind::Id, "a".to_owned(), known);
        seen.add(TenantId(1), NameKind::IdempotencyKey, "k".to_owned(), known);
        for row in [(Some("a"), None, 1), (None, Some("k"), 2), (Some("a"), Some("k"), 3)] {
            let id = row.0.map_or_else(|| EventId::of_key(EventKey(1)), EventId::from_path);
            let duplicate = Accepted::Duplicate { key: EventKey(1), id, deliveries: 3 };
            assert_eq!(seen.decide(&[acceptance(2, 1, row)]), [duplicate]);
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
