//! What each database implements: the stores together, and the traits for events and deliveries.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::audit::AuditStore;
use super::configuration::{AccessStore, HookStore, PluginStore, TenantStore};
use super::delivery_notes::DeliveryNoteStore;
use super::delivery_query::{DeliveryQuery, Listed};
use super::directory::{Changes, Revision};
use super::error::StorageError;
use super::event_search::{DeliveryCounts, EventQuery, ListedEvents, Redelivered};
use super::figures::FigureStore;
use super::hook_states::HookStateStore;
use super::hook_stats::HookStatsStore;
use super::jobs::JobStore;
use super::kept_bodies::KeptBodyStore;
use super::keys::KeyStore;
use super::membership::Membership;
use super::node_status::NodeStore;
use super::records::{
    Acceptance, Accepted, Backlog, Cancelled, Changed, Claims, HookClaim, Record, WantedEvent,
};
use super::retention::RetentionStore;
use super::retry_policy::RetryPolicy;
use super::tenant_deletions::TenantDeletionStore;
use super::tenant_usage::TenantUsageStore;
use crate::domain::{
    Attempt, AttemptId, Delivery, DeliveryId, Event, EventId, EventKey, HookId, LastAttempt, Lease,
    NodeNumber, OrderingKey, TenantId, UnixMillis,
};

/// Nothing is due further ahead than this: the longest wait of a schedule is seven days, and up to a fifth of it may be
/// added.
pub const FURTHEST_AHEAD: Duration = Duration::from_secs(9 * 24 * 3600);

/// A database, as the composition root needs it.
#[async_trait]
pub trait Database: Send + Sync {
    /// The stores that the rest of the engine works with.
    fn stores(&self) -> Storage;
    /// The node that this process is: its ids carry the number, and leases name it.
    async fn node(&self) -> Result<NodeNumber, StorageError>;
    /// The greatest id that was stored when the database was opened, 0 if there was none: new ids must be greater.
    fn greatest_id(&self) -> i64;
    /// The greatest stored id that carries a time before `end`, 0 if there is none.
    async fn greatest_id_before(&self, end: UnixMillis) -> Result<i64, StorageError>;
    /// What was noted of the wall clock.
    async fn noted_clock(&self) -> Result<NotedClock, StorageError>;
    /// Notes what the wall clock shows, so that the next start can tell whether it was set back; how far it is trusted, and for how
    /// long it has been far ahead of that. Call it about every minute.
    async fn note_clock(
        &self,
        now: UnixMillis,
        trusted: UnixMillis,
        ahead_for: Duration,
    ) -> Result<(), StorageError>;
    /// Whether other nodes use the database at the same time, whose changes of configuration must be followed.
    fn is_shared(&self) -> bool;
    /// What this node knows of the others.
    fn membership(&self) -> Arc<Membership>;
    /// Returns when deliveries may have become due that this process does not know of, because another node left them.
    async fn became_due(&self);
    /// Returns when the database writes no more: after [`Self::close`], or if its writer stopped.
    async fn ended(&self);
    /// Commits what is queued and closes. Stores answer [`StorageError::Closed`] from then on.
    async fn close(&self) -> Result<(), StorageError>;
}

/// What earlier runs noted of the wall clock, as far as they did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotedClock {
    /// The greatest time that it showed since it was last set back.
    pub seen: Option<UnixMillis>,
    /// As far as it was trusted.
    pub trusted: Option<UnixMillis>,
    /// For how long it had been far ahead of that; zero if it was not.
    pub ahead_for: Duration,
}

/// All stores of a database.
#[derive(Clone)]
pub struct Storage {
    /// Tenants, projects and keys.
    pub tenants: Arc<dyn TenantStore>,
    /// Logins and tokens of older systems' clients.
    pub access: Arc<dyn AccessStore>,
    /// Hooks.
    pub hooks: Arc<dyn HookStore>,
    /// Plugins and their bytes.
    pub plugins: Arc<dyn PluginStore>,
    /// Events.
    pub events: Arc<dyn EventStore>,
    /// Deliveries and attempts.
    pub deliveries: Arc<dyn DeliveryStore>,
    /// The changes of configuration.
    pub directory: Arc<dyn DirectoryStore>,
    /// The health of hooks, and what is held or missed.
    pub hook_states: Arc<dyn HookStateStore>,
    /// The nodes.
    pub nodes: Arc<dyn NodeStore>,
    /// Statistics of hooks.
    pub hook_stats: Arc<dyn HookStatsStore>,
    /// Jobs.
    pub jobs: Arc<dyn JobStore>,
    /// Bodies of requests.
    pub kept_bodies: Arc<dyn KeptBodyStore>,
    /// The deletion of tenants.
    pub tenant_deletions: Arc<dyn TenantDeletionStore>,
    /// How much tenants have published.
    pub tenant_usage: Arc<dyn TenantUsageStore>,
    /// Notes on deliveries.
    pub delivery_notes: Arc<dyn DeliveryNoteStore>,
    /// Deleting what is old or erased.
    pub retention: Arc<dyn RetentionStore>,
    /// Keys of operators, and uses of keys.
    pub keys: Arc<dyn KeyStore>,
    /// The audit log.
    pub audit: Arc<dyn AuditStore>,
    /// Figures for monitoring.
    pub figures: Arc<dyn FigureStore>,
}

impl Storage {
    /// Stores that one type implements.
    #[must_use]
    pub fn of<T>(stores: &Arc<T>) -> Self
    where
        T: TenantStore
            + AccessStore
            + HookStore
            + PluginStore
            + EventStore
            + DeliveryStore
            + DirectoryStore
            + HookStateStore
            + NodeStore
            + HookStatsStore
            + JobStore
            + KeptBodyStore
            + TenantDeletionStore
            + TenantUsageStore
            + DeliveryNoteStore
            + RetentionStore
            + KeyStore
            + AuditStore
            + FigureStore
            + 'static,
    {
        Self {
            tenants: Arc::clone(stores) as _,
            access: Arc::clone(stores) as _,
            hooks: Arc::clone(stores) as _,
            plugins: Arc::clone(stores) as _,
            events: Arc::clone(stores) as _,
            deliveries: Arc::clone(stores) as _,
            directory: Arc::clone(stores) as _,
            hook_states: Arc::clone(stores) as _,
            nodes: Arc::clone(stores) as _,
            hook_stats: Arc::clone(stores) as _,
            jobs: Arc::clone(stores) as _,
            kept_bodies: Arc::clone(stores) as _,
            tenant_deletions: Arc::clone(stores) as _,
            tenant_usage: Arc::clone(stores) as _,
            delivery_notes: Arc::clone(stores) as _,
            retention: Arc::clone(stores) as _,
            keys: Arc::clone(stores) as _,
            audit: Arc::clone(stores) as _,
            figures: Arc::clone(stores) as _,
        }
    }
}

/// The changes of configuration, which caches follow.
///
/// A change that was checked against a cache names the cache's revision as its basis. In its transaction the database
/// checks that nothing of the tenant's configuration changed since: so rules that span rows hold on several nodes, too, such
/// as quotas, or that a plugin in use is not deleted. [`Revision::ANY`] is for changes without such rules.
#[async_trait]
pub trait DirectoryStore: Send + Sync {
    /// The revision of the last change, 0 if there was none.
    async fn revision(&self) -> Result<Revision, StorageError>;
    /// What changed after `revision`, as it is now.
    async fn changes_since(&self, revision: Revision) -> Result<Changes, StorageError>;
}

/// Events.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Stores events with their deliveries, all or nothing, and returns when they are on disk.
    ///
    /// One result for each acceptance, in order. If one is [`Accepted::Conflict`], nothing of the call is stored.
    /// Concurrent calls are committed together.
    async fn accept(&self, batch: Vec<Acceptance>) -> Result<Vec<Accepted>, StorageError>;
    /// One event.
    async fn event(&self, tenant: TenantId, id: &EventId) -> Result<Option<Event>, StorageError>;
    /// The sender's ids of these events. An event without one is left out.
    async fn sender_ids(
        &self,
        tenant: TenantId,
        events: &[EventKey],
    ) -> Result<HashMap<EventKey, EventId>, StorageError>;
    /// The ordering key of an event, if it has one.
    async fn ordering_key(
        &self,
        tenant: TenantId,
        event: EventKey,
    ) -> Result<Option<OrderingKey>, StorageError>;
    /// A tenant's events, newest first. May end early; see [`ListedEvents`].
    async fn search(&self, tenant: TenantId, query: &EventQuery) -> Result<ListedEvents, StorageError>;
    /// In which states the deliveries of these events are. An event without deliveries is left out.
    async fn count_deliveries(
        &self,
        tenant: TenantId,
        events: &[EventKey],
    ) -> Result<DeliveryCounts, StorageError>;
    /// Makes a further delivery of a stored event, `id`, for `hook`, due at `now`: whether or not it has others.
    async fn redeliver(
        &self,
        tenant: TenantId,
        hook: HookId,
        event: EventKey,
        id: DeliveryId,
        now: UnixMillis,
    ) -> Result<Redelivered, StorageError>;
    /// The tenant's newest event whose type and project are `wanted`: an example of what the tenant sends. The search is
    /// limited to recent events; `None` if there is none among them.
    async fn recent(&self, tenant: TenantId, wanted: &WantedEvent<'_>)
    -> Result<Option<Event>, StorageError>;
}

/// Deliveries and their attempts.
#[async_trait]
pub trait DeliveryStore: Send + Sync {
    /// Ends the leases that an earlier process of `node` left, so that its deliveries are due now. Leases of other nodes
    /// stay. Returns how many there were. Deliveries that are due later than any schedule allows, which a wrong clock
    /// caused, are due now, too.
    ///
    /// What was leased may have been sent: that is [noted](super::delivery_notes).
    async fn recover(&self, node: NodeNumber, now: UnixMillis) -> Result<u64, StorageError>;
    /// Ends the leases of `node`, like [`Self::recover`], once nothing of it is in progress any more: what it still has in
    /// memory was not sent.
    async fn end_unused_leases(&self, node: NodeNumber, now: UnixMillis) -> Result<u64, StorageError>;
    /// After the clock was set back: makes deliveries that wait for a time after `now` due `by` earlier, but not before `now`.
    /// Repeat a failed call with the same arguments: it continues, and moves no delivery twice.
    async fn bring_forward(&self, now: UnixMillis, by: Duration) -> Result<(), StorageError>;
    /// The hooks with deliveries that are not final, each with the time when the first of them is due.
    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError>;
    /// The hooks that have something due after `from` and not after `until`, each with the first time. Leaves out those that
    /// are `known`. `None` if that would not be cheaper than [`Self::backlog`], which finds the same.
    async fn due_between(
        &self,
        from: UnixMillis,
        until: UnixMillis,
        known: &[HookId],
    ) -> Result<Option<Vec<Backlog>>, StorageError>;
    /// Leases deliveries that are due at `now`, oldest due first, under `lease`: of each of `hooks` up to its limit.
    /// One result for each hook, in order; a damaged row of one hook does not affect the others.
    /// A delivery whose lease has ended is due, too: so others continue the work of a crashed process.
    /// All together take at most `max_bytes` with their events' data and rendered bodies, but at least one delivery if any
    /// is due and its limit is not 0. Each tenant is limited in the same way by [`HookClaim::tenant_bytes`].
    async fn claim(
        &self,
        hooks: Vec<HookClaim>,
        now: UnixMillis,
        lease: Lease,
        max_bytes: u64,
    ) -> Vec<Result<Claims, StorageError>>;
    /// Records the results of leased deliveries, and returns when they are on disk. A delivery whose lease has ended, because
    /// it was cancelled or claimed again, stays as it is; its attempt is stored and counted all the same. A delivery that was
    /// cancelled while its attempt succeeded has succeeded.
    /// A call that fails is tried again as `retries` says.
    async fn record(&self, records: Vec<Record>, retries: RetryPolicy) -> Result<(), StorageError>;
    /// How long after the beginning of a call of [`Self::record`] the next one should begin: meanwhile, more records gather.
    fn record_interval(&self) -> Duration {
        Duration::ZERO
    }
    /// One delivery.
    async fn delivery(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<Delivery>, StorageError>;
    /// A tenant's deliveries in the order of the query. May end early; see [`Listed`].
    async fn list(&self, tenant: TenantId, query: &DeliveryQuery) -> Result<Listed, StorageError>;
    /// The deliveries of one event, oldest first.
    async fn of_event(&self, tenant: TenantId, event: EventKey) -> Result<Vec<Delivery>, StorageError>;
    /// A consistent snapshot of one delivery and its latest attempts, newest first: at most `limit`, and only those before
    /// the attempt `before`, if it is given.
    async fn with_attempts(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        before: Option<AttemptId>,
        limit: u32,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, StorageError>;
    /// The last attempts of these deliveries. Left out are deliveries without attempts, those whose attempts were deleted, those
    /// of other tenants, and attempts whose rows are damaged.
    async fn last_attempts(
        &self,
        tenant: TenantId,
        deliveries: &[DeliveryId],
    ) -> Result<HashMap<DeliveryId, LastAttempt>, StorageError>;
    /// Makes a delivery that is not leased due at `now`, at the start of its schedule, without the request that an earlier
    /// attempt rendered. `None`: no such delivery.
    async fn retry(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> Result<Option<Changed>, StorageError>;
    /// Cancels a delivery that is not final. `None`: no such delivery.
    async fn cancel(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<Cancelled>, StorageError>;
    /// Whether the database can be read and written. May try both.
    async fn check(&self) -> Result<(), StorageError>;
    /// The deliveries of `tenant` that have this [short number](DeliveryId::short), whichever node made them. Two nodes may
    /// have made the same number within one millisecond; otherwise there is one at most.
    async fn numbered(&self, tenant: TenantId, number: i64) -> Result<Vec<DeliveryId>, StorageError>;
}
