//! Changes tenants, and deletes them.
//!
//! A deletion is a job of the engine itself. It begins with one transaction, after which the tenant has no name, no keys and
//! no jobs, nothing is accepted for it, and its deliveries are held. [`TenantDeleter`] then waits until no node has a
//! delivery of it in memory or in progress, and removes everything in small steps. A process that dies in between leaves
//! the rest to the next one, or to another node.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::delivery::Dispatcher;
use crate::directory::{Directory, DirectoryError};
use crate::domain::{
    Actor, DeliveryId, Limit, Owned, Rate, Retention, Tenant, TenantDeletion, TenantId, TenantLimits,
    UnixMillis,
};
use crate::log_limiter::LogLimiter;
use crate::sources::Sources;
use crate::storage::{DeletionStep, Storage, StorageError};

/// How often it is looked for tenants to delete.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Requests of the tenant that were in progress on other nodes when its deletion began have ended after this: a node that
/// does not know of the deletion by then refuses requests.
const REQUESTS_END_WITHIN: Duration = Duration::from_secs(10);
/// The same if there are no other nodes.
const OWN_REQUESTS_END_WITHIN: Duration = Duration::from_millis(500);
/// For how long one tenant's rows are removed before it is another one's turn.
const STEPS_TIMEOUT: Duration = Duration::from_secs(2);
/// The least time between two steps. Half of the time is for others.
const BETWEEN_STEPS: Duration = Duration::from_millis(2);

/// Changes tenants. Clones share one service.
#[derive(Clone)]
pub struct TenantService {
    sources: Sources,
    directory: Arc<Directory>,
    storage: Storage,
    dispatcher: Arc<Dispatcher>,
    /// A deletion has begun.
    begun: Arc<Notify>,
}

/// What to change of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TenantChange {
    /// Its name.
    pub name: Option<String>,
    /// Whether deliveries of all its hooks are held.
    pub paused: Option<bool>,
    /// Whether its keys are refused, nothing is accepted for it, and its deliveries are held.
    pub suspended: Option<bool>,
    /// The most requests in a second for all its hooks together, or that there is no limit.
    pub max_per_second: Option<Option<Rate>>,
    /// Limits, and the values that they get. Without one, a limit is as the settings say.
    pub limits: Vec<(Limit, Option<u64>)>,
    /// How long events are kept.
    pub retain_events: Option<Option<Duration>>,
    /// How long attempts are kept.
    pub retain_attempts: Option<Option<Duration>>,
    /// How long bodies are kept.
    pub retain_bodies: Option<Option<Duration>>,
}

impl TenantChange {
    fn apply(self, mut tenant: Tenant, now: UnixMillis) -> Tenant {
        let options = &mut tenant.options;
        if let Some(paused) = self.paused {
            options.paused_since = paused.then(|| options.paused_since.unwrap_or(now));
        }
        if let Some(suspended) = self.suspended {
            options.suspended_since = suspended.then(|| options.suspended_since.unwrap_or(now));
        }
        if let Some(rate) = self.max_per_second {
            options.max_per_second = rate;
        }
        let mut limits = options.limits.as_deref().cloned().unwrap_or_default();
        self.limits.into_iter().for_each(|(limit, value)| limits.set(limit, value));
        options.limits = TenantLimits::into_option(limits);
        let Retention { events, attempts, bodies } = options.retention;
        options.retention = Retention {
            events: self.retain_events.unwrap_or(events),
            attempts: self.retain_attempts.unwrap_or(attempts),
            bodies: self.retain_bodies.unwrap_or(bodies),
        };
        tenant.name = self.name.unwrap_or(tenant.name);
        tenant
    }
}

impl TenantService {
    /// Creates the service from the parts of the engine that it uses.
    #[must_use]
    pub fn new(
        sources: Sources,
        directory: Arc<Directory>,
        storage: Storage,
        dispatcher: Arc<Dispatcher>,
    ) -> Self {
        Self { sources, directory, storage, dispatcher, begun: Arc::default() }
    }

    /// Changes a tenant; `None` if there is no such tenant.
    ///
    /// # Errors
    /// If the name is taken, or storage fails.
    pub async fn change(
        &self,
        actor: &Actor,
        tenant: TenantId,
        change: TenantChange,
    ) -> Result<Option<Arc<Tenant>>, DirectoryError> {
        let editor = self.directory.by(actor);
        let changed = editor.change_tenant(tenant, |current, now| change.apply(current, now)).await?;
        self.changed();
        Ok(changed)
    }

    /// Begins to delete a tenant with everything that belongs to it; `None` if there is no such tenant.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn delete(
        &self,
        actor: &Actor,
        tenant: TenantId,
    ) -> Result<Option<TenantDeletion>, DirectoryError> {
        let deletion = self.directory.by(actor).begin_to_delete_tenant(tenant).await?;
        if let Some(deletion) = &deletion {
            tracing::info!(%tenant, name = deletion.name, "a tenant is being deleted");
        }
        self.changed();
        self.begun.notify_one();
        Ok(deletion)
    }

    /// How far the deletion of a tenant is, or when it ended.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn deletion(&self, tenant: TenantId) -> Result<Option<TenantDeletion>, StorageError> {
        self.directory.tenant_deletion(tenant).await
    }

    /// How much `tenant` uses of a limit, if it is counted. What is counted in a time is that of this node.
    #[must_use]
    pub fn usage(&self, tenant: TenantId, limit: Limit) -> Option<u64> {
        match limit {
            Limit::InFlight => Some(self.dispatcher.in_flight_of(tenant) as u64),
            Limit::FuelPerMinute => {
                self.directory.rarely_limited(tenant, limit)?;
                Some(self.dispatcher.health().fuel().used_by(tenant, self.sources.now()))
            }
            limit => self.directory.configured(tenant, limit),
        }
    }

    /// What was held may be due.
    fn changed(&self) {
        self.dispatcher.health().fuel().release();
        self.dispatcher.take_flows(&self.directory.flows());
        self.dispatcher.wake();
    }
}

/// Removes what belongs to deleted tenants; see the module's head.
pub struct TenantDeleter {
    service: TenantService,
    /// For tenants that have nothing in memory any more: the attempts of all tenants that were not recorded then.
    unrecorded: HashMap<TenantId, Vec<DeliveryId>>,
}

impl TenantDeleter {
    /// Deletes the tenants whose deletion `service` has begun.
    #[must_use]
    pub fn new(service: TenantService) -> Self {
        Self { service, unrecorded: HashMap::new() }
    }

    /// Runs until `stop`. A step that is not committed by then is not made.
    pub async fn run(mut self, stop: CancellationToken) {
        static FAILURES: LogLimiter = LogLimiter::new();
        while !stop.is_cancelled() {
            let mut left = false;
            for tenant in self.service.directory.tenants_being_deleted() {
                match self.work(tenant.id, &stop).await {
                    Ok(more) => left |= more,
                    Err(error) => {
                        if let Some(unlogged) = FAILURES.permit() {
                            let error = &error as &dyn std::error::Error;
                            tracing::warn!(tenant = %tenant.id, unlogged, error, "cannot delete a tenant; it is tried again");
                        }
                    }
                }
            }
            if left {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.service.begun.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Removes rows of a tenant for some time. Returns whether there is more to do at once.
    async fn work(&mut self, tenant: TenantId, stop: &CancellationToken) -> Result<bool, DirectoryError> {
        let TenantService { directory, dispatcher, storage, .. } = self.service.clone();
        let membership = dispatcher.membership();
        if membership.is_fenced() || !membership.owns(Owned::HooksOf(tenant)) {
            return Ok(false);
        }
        let store = &storage.tenant_deletions;
        let Some(mut deletion) = store.deletion(tenant).await? else { return Ok(false) };
        if !self.is_at_rest(&deletion).await? {
            return Ok(false);
        }
        let began = clock::monotonic();
        while !stop.is_cancelled() && clock::elapsed(began) < STEPS_TIMEOUT {
            let step_began = clock::monotonic();
            match store.remove_some(&deletion).await? {
                DeletionStep::Removed(now) => deletion = now,
                DeletionStep::Empty => {
                    directory.by(&Actor::ENGINE).end_tenant_deletion(&deletion).await?;
                    self.unrecorded.remove(&tenant);
                    let name = deletion.name;
                    tracing::info!(%tenant, name, events = deletion.removed.events, "a tenant is deleted");
                    return Ok(false);
                }
            }
            tokio::time::sleep(clock::elapsed(step_began).max(BETWEEN_STEPS)).await;
        }
        Ok(true)
    }

    /// Whether nothing of the tenant will be written any more.
    async fn is_at_rest(&mut self, deletion: &TenantDeletion) -> Result<bool, StorageError> {
        let TenantService { sources, dispatcher, storage, .. } = &self.service;
        let (tenant, now) = (deletion.tenant, sources.now());
        let is_alone = dispatcher.membership().node_count() == 1;
        let requests_end = if is_alone { OWN_REQUESTS_END_WITHIN } else { REQUESTS_END_WITHIN };
        if deletion.requested_at.plus(requests_end) > now || dispatcher.has_in_memory(tenant) {
            return Ok(false);
        }
        let unrecorded = self.unrecorded.entry(tenant).or_insert_with(|| dispatcher.unrecorded());
        dispatcher.retain_unrecorded(unrecorded);
        if !unrecorded.is_empty() {
            return Ok(false);
        }
        storage.tenant_deletions.is_at_rest(tenant, now).await
    }
}
