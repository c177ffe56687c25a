//! The health of hooks, the pause of the whole engine, and what hooks have not got: what all nodes share.

use async_trait::async_trait;

use super::columns::damaged;
use super::error::StorageError;
use super::records::WantedEvent;
use crate::domain::{
    AuditEntry, DeliveryId, EventKey, HookHealth, HookId, OrderingScope, TenantId, UnixMillis,
};

/// See the module's head.
#[async_trait]
pub trait HookStateStore: Send + Sync {
    /// All hooks that are not well.
    async fn unwell_hooks(&self) -> Result<Vec<HookHealth>, StorageError>;
    /// Stores the health of hooks, and removes that of hooks that are well.
    async fn save_health(&self, unwell: Vec<HookHealth>, well: Vec<HookId>) -> Result<(), StorageError>;
    /// What has changed since the read before, which was made at `since`; all of it without `since`. A database of one
    /// process returns all of it in any case.
    async fn health_since(&self, since: Option<UnixMillis>) -> Result<HealthChanges, StorageError>;
    /// Takes the right to probe hooks whose circuits are open. Returns those for which no other node was first.
    async fn take_probes(&self, claims: &[ProbeClaim]) -> Result<Vec<HookId>, StorageError>;
    /// Since when the whole engine is paused.
    async fn paused_since(&self) -> Result<Option<UnixMillis>, StorageError>;
    /// Pauses the whole engine, or resumes it.
    async fn set_paused(&self, since: Option<UnixMillis>, entry: &AuditEntry) -> Result<(), StorageError>;
    /// How many deliveries of `hook` are not final. Counts to `most`.
    async fn unfinished(&self, hook: HookId, most: u32) -> Result<u32, StorageError>;
    /// Events that a hook has not got. The search is limited; see [`Missed`].
    async fn missed(&self, query: &MissedQuery, wanted: &WantedEvent<'_>) -> Result<Missed, StorageError>;
    /// Makes deliveries of stored events for `hook`, which are due at `now`, for those events that have none for it yet. All
    /// or nothing. Returns the ids among `new` that were made. If the hook keeps an order, they join the ends of their
    /// groups, one after the other.
    async fn replay(
        &self,
        tenant: TenantId,
        (hook, ordering): (HookId, Option<OrderingScope>),
        new: Vec<(EventKey, DeliveryId)>,
        now: UnixMillis,
    ) -> Result<Vec<DeliveryId>, StorageError>;
}

/// What has changed of the health of hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthChanges {
    /// That of hooks that are not well. Some may be known already.
    pub unwell: Vec<HookHealth>,
    /// Hooks that are well again. `None`: all that are not in `unwell`.
    pub well: Option<Vec<HookId>>,
    /// When it was read, by the database's clock.
    pub read_at: UnixMillis,
}

/// The wish to probe a hook.
#[derive(Debug, Clone, Copy)]
pub struct ProbeClaim {
    /// The hook.
    pub hook: HookId,
    /// Until when its circuit is open. Otherwise another node was first.
    pub expected: UnixMillis,
    /// Until when others see it as open from then on.
    pub until: UnixMillis,
}

/// Which missed events to find.
#[derive(Debug, Clone, Copy)]
pub struct MissedQuery {
    /// The tenant of the hook.
    pub tenant: TenantId,
    /// The hook that has not got them.
    pub hook: HookId,
    /// Only events with greater keys.
    pub after: EventKey,
    /// Only events with lesser keys.
    pub before: EventKey,
    /// The most events to return.
    pub limit: u32,
}

/// Events that a hook has not got, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Their keys.
    pub events: Vec<EventKey>,
    /// After which key to search on; `None` if everything was searched.
    pub searched_to: Option<EventKey>,
}

/// Of `engine_state`: since when everything is paused.
pub(super) const PAUSED: &str = "paused_since";

/// The value of [`PAUSED`].
pub(super) fn paused_to_value(since: UnixMillis) -> Vec<u8> {
    since.0.to_string().into_bytes()
}

/// Since when everything is paused, from the value of [`PAUSED`].
pub(super) fn paused_from_value(value: Option<Vec<u8>>) -> Result<Option<UnixMillis>, StorageError> {
    let parse = |value: Vec<u8>| {
        let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
        number.map(UnixMillis).ok_or_else(|| damaged("pause of the engine", "not a number"))
    };
    value.map(parse).transpose()
}

/// How many events one search visits, of all tenants.
pub(super) const MAX_VISITED: u32 = 5_000;

/// What a search visited, from rows of key, tenant, type and project in the order of keys, `most` of them at most: the keys
/// that are wanted, and after which key to search on.
pub(super) fn visited(
    rows: Vec<(i64, i64, String, Option<i64>)>,
    most: u32,
    tenant: TenantId,
    wanted: &WantedEvent<'_>,
) -> (Vec<i64>, Option<EventKey>) {
    let is_full = rows.len() >= most as usize;
    let last = rows.last().filter(|_| is_full).map(|(key, ..)| EventKey(*key));
    let is_wanted = |(_, owner, event_type, project): &(i64, i64, String, Option<i64>)| {
        *owner == tenant.0 && event_type.parse().is_ok_and(|event_type| wanted(&event_type, *project))
    };
    (rows.into_iter().filter(is_wanted).map(|(key, ..)| key).collect(), last)
}

/// Cuts what was found to the limit of the query.
pub(super) fn cut(mut missed: Vec<i64>, searched_to: Option<EventKey>, limit: u32) -> Missed {
    let is_cut = missed.len() > limit as usize;
    missed.truncate(limit as usize);
    let events: Vec<EventKey> = missed.into_iter().map(EventKey).collect();
    let searched_to = if is_cut { events.last().copied() } else { searched_to };
    Missed { events, searched_to }
}
