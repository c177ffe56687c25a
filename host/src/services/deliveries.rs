//! Retrying and cancelling deliveries.

use std::sync::Arc;

use super::request_limits::{LimitExceeded, RequestLimits};
use crate::delivery::{ChangeKind, DeliveryChange, Dispatcher, NotRecalled};
use crate::directory::Directory;
use crate::domain::{
    Delivery, DeliveryId, DeliveryState, EventKey, HookId, RetrySchedule, TenantId, UnixMillis,
};
use crate::sources::Sources;
use crate::storage::{Cancelled, Changed, MAX_DELIVERIES, Redelivered, Storage, StorageError};

/// The attempts after which a delivery cannot be retried.
const MAX_ATTEMPTS: u32 = RetrySchedule::MAX_ATTEMPTS_FOR_MANUAL_RETRY;

/// Retries and cancels deliveries. Clones share one service.
#[derive(Clone)]
pub struct DeliveryService {
    sources: Sources,
    directory: Arc<Directory>,
    storage: Storage,
    dispatcher: Arc<Dispatcher>,
    limits: Arc<RequestLimits>,
}

/// Why a delivery was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The tenant has no such delivery.
    #[error("there is no delivery `{0}`")]
    NotFound(DeliveryId),
    /// The delivery's hook was deleted.
    #[error("the delivery cannot be retried: its hook `{0}` was deleted")]
    HookDeleted(HookId),
    /// The tenant has no such hook.
    #[error("there is no hook `{0}`")]
    NoHook(HookId),
    /// The tenant has no such event.
    #[error("there is no event `{0}`")]
    NoEvent(EventKey),
    /// The event's content was erased.
    #[error("the content of the event `{0}` was erased: it cannot be sent any more")]
    Erased(EventKey),
    /// The hook is disabled.
    #[error("the hook `{0}` is disabled; enable it, then send the event again")]
    HookDisabled(HookId),
    /// The event has too many deliveries.
    #[error("an event has at most {MAX_DELIVERIES} deliveries; publish the event again")]
    TooManyDeliveries,
    /// The delivery has had too many attempts to be retried.
    #[error(
        "the delivery has been attempted {0} times and can be retried up to {MAX_ATTEMPTS} attempts; publish the event again"
    )]
    TooManyAttempts(u32),
    /// The delivery's state does not allow the change.
    #[error("a delivery in the state `{state}` cannot be {change}")]
    WrongState {
        /// The state.
        state: DeliveryState,
        /// The requested change: `retried` or `cancelled`.
        change: &'static str,
    },
    /// An attempt is in progress.
    #[error(
        "an attempt is in progress and may have reached the receiver; cancel again when the attempt has ended, if it did not succeed"
    )]
    InProgress,
    /// Too many cancellations are not on disk yet.
    #[error("too many cancelled deliveries are still being stored; try again later")]
    TooManyCancelled,
    /// Too many changes of the tenant are in progress.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl DeliveryService {
    /// Creates the service from the parts of the engine that it uses.
    #[must_use]
    pub fn new(
        sources: Sources,
        directory: Arc<Directory>,
        storage: Storage,
        dispatcher: Arc<Dispatcher>,
        limits: Arc<RequestLimits>,
    ) -> Self {
        Self { sources, directory, storage, dispatcher, limits }
    }

    /// Makes a delivery due now and restarts its retry schedule.
    ///
    /// # Errors
    /// Fails if an attempt is in progress, the hook was deleted, or the delivery has had too many attempts.
    pub async fn retry(&self, tenant: TenantId, id: DeliveryId) -> Result<Delivery, DeliveryError> {
        let _permit = self.limits.changes.acquire(tenant).await?;
        let delivery = self.find(tenant, id).await?;
        if self.directory.hook_of(tenant, delivery.hook).is_none() {
            return Err(DeliveryError::HookDeleted(delivery.hook));
        }
        check_attempts(&delivery)?;
        let changed = self.storage.deliveries.retry(tenant, id, self.sources.now()).await?;
        let delivery = done(id, changed, "retried")?;
        // A person expects it to be sent, and may have mended the receiver.
        self.dispatcher.health().hook_changed(delivery.hook, self.sources.now());
        self.dispatcher.wake();
        self.tell(ChangeKind::Retried, &delivery);
        Ok(delivery)
    }

    /// Sends a stored event to `hook` once more, or for the first time, whether or not the hook subscribes to it.
    ///
    /// # Errors
    /// Fails if the hook is disabled, if there is no such event or hook, or if the event has too many deliveries.
    pub async fn redeliver(
        &self,
        tenant: TenantId,
        event: EventKey,
        hook: HookId,
    ) -> Result<Delivery, DeliveryError> {
        let _permit = self.limits.changes.acquire(tenant).await?;
        let Some(known) = self.directory.hook_of(tenant, hook) else {
            return Err(DeliveryError::NoHook(hook));
        };
        if !known.enabled {
            return Err(DeliveryError::HookDisabled(hook));
        }
        let now = self.sources.now();
        let id = DeliveryId::generate(&self.sources.ids, now);
        match self.storage.events.redeliver(tenant, hook, event, id, now).await? {
            Redelivered::Made(delivery) => {
                self.tell(ChangeKind::Created, &delivery);
                self.dispatcher.stored_on_disk(hook, tenant);
                Ok(delivery)
            }
            Redelivered::NoEvent => Err(DeliveryError::NoEvent(event)),
            Redelivered::NoHook => Err(DeliveryError::NoHook(hook)),
            Redelivered::TooMany => Err(DeliveryError::TooManyDeliveries),
            Redelivered::Erased => Err(DeliveryError::Erased(event)),
        }
    }

    /// Cancels a delivery: it is not sent once this returns.
    ///
    /// # Errors
    /// Fails if the delivery is in a final state, or an attempt is in progress, which cannot be recalled.
    pub async fn cancel(&self, tenant: TenantId, id: DeliveryId) -> Result<Delivery, DeliveryError> {
        let permit = self.limits.changes.acquire(tenant).await?;
        let delivery = self.find(tenant, id).await?;
        let recalled = self.dispatcher.recall(&delivery, self.sources.now());
        let recalled = recalled.map_err(|reason| match reason {
            NotRecalled::AttemptInProgress => DeliveryError::InProgress,
            NotRecalled::TooMany => DeliveryError::TooManyCancelled,
        })?;
        let (deliveries, hook) = (Arc::clone(&self.storage.deliveries), delivery.hook);
        // Spawned, so that it completes even if the caller drops the future: a delivery that is cancelled on disk must
        // not return to memory.
        let cancelling = tokio::spawn(async move {
            let _permit = permit;
            let cancelled = deliveries.cancel(tenant, id).await?;
            if let Some(Cancelled::Done { lease, .. }) = cancelled {
                recalled.cancelled(lease);
            }
            Ok::<_, StorageError>(cancelled)
        });
        let cancelled = cancelling.await.map_err(|_| StorageError::Closed)??;
        if self.directory.hook(hook).is_some_and(|hook| hook.ordering().is_some()) {
            // Another one may be the first of its group now.
            self.dispatcher.stored_on_disk(hook, tenant);
        }
        let changed = cancelled.map(|cancelled| match cancelled {
            Cancelled::Done { delivery, .. } => Changed::Done(delivery),
            Cancelled::Refused(state) => Changed::Refused(state),
        });
        let delivery = done(id, changed, "cancelled")?;
        self.tell(ChangeKind::Cancelled, &delivery);
        Ok(delivery)
    }

    /// Tells a change to those who watch the tenant.
    fn tell(&self, kind: ChangeKind, delivery: &Delivery) {
        let live = self.dispatcher.live();
        if live.is_watched(delivery.tenant) {
            let (at, delivery) = (self.sources.now(), delivery.clone());
            live.tell(Arc::new(DeliveryChange { kind, at, delivery, event_id: None, attempt: None }));
        }
    }

    pub(super) fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(super) fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.sources.now()
    }

    async fn find(&self, tenant: TenantId, id: DeliveryId) -> Result<Delivery, DeliveryError> {
        let delivery = self.storage.deliveries.delivery(tenant, id).await?;
        delivery.ok_or(DeliveryError::NotFound(id))
    }
}

fn check_attempts(delivery: &Delivery) -> Result<(), DeliveryError> {
    if delivery.attempts < MAX_ATTEMPTS {
        Ok(())
    } else {
        Err(DeliveryError::TooManyAttempts(delivery.attempts))
    }
}

fn done(id: DeliveryId, changed: Option<Changed>, change: &'static str) -> Result<Delivery, DeliveryError> {
    match changed.ok_or(DeliveryError::NotFound(id))? {
        Changed::Done(delivery) => Ok(delivery),
        Changed::Refused(state) => Err(DeliveryError::WrongState { state, change }),
        Changed::Erased(event) => Err(DeliveryError::Erased(event)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::testing;
    use crate::domain::Trigger;
    use crate::storage::conformance::{OTHER_TENANT, TENANT, World};
    use crate::storage::sqlite::{self, SqliteOptions};

    fn attempted(attempts: u32) -> Delivery {
        Delivery {
            id: DeliveryId(1),
            tenant: TenantId(2),
            hook: HookId(3),
            event: EventKey(4),
            event_type: "a.b".parse().unwrap(),
            trigger: Trigger::Event,
            state: DeliveryState::Exhausted,
            attempts,
            failures: 1,
            due_at: None,
            lease: None,
        }
    }

    #[test]
    fn a_delivery_with_too_many_attempts_cannot_be_retried() {
        assert!(check_attempts(&attempted(199)).is_ok());
        let error = check_attempts(&attempted(200)).unwrap_err();
        assert!(error.to_string().contains("attempted 200 times"), "{error}");
    }

    async fn service(world: &World) -> DeliveryService {
        let sources = testing::sources();
        let (clock, ids) = (Arc::clone(&sources.clock), Arc::clone(&sources.ids));
        let directory = Directory::load(world.storage.clone(), ids, clock).await.unwrap();
        let dispatcher = Dispatcher::new(testing::limits());
        DeliveryService::new(sources, directory, world.storage.clone(), dispatcher, Arc::default())
    }

    #[tokio::test]
    async fn a_delivery_is_changed_only_if_its_state_allows_it() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let world = World::new(storage.stores());
        let hook = world.stored_hook().await;
        let exhausted = world.delivery_in(hook, DeliveryState::Exhausted).await;
        let service = service(&world).await;
        for result in
            [service.retry(OTHER_TENANT, exhausted).await, service.cancel(OTHER_TENANT, exhausted).await]
        {
            assert!(matches!(result, Err(DeliveryError::NotFound(id)) if id == exhausted), "{result:?}");
        }
        let result = service.cancel(TENANT, exhausted).await;
        assert!(
            matches!(result, Err(DeliveryError::WrongState { state: DeliveryState::Exhausted, .. })),
            "{result:?}"
        );
        assert_eq!(service.retry(TENANT, exhausted).await.unwrap().state, DeliveryState::Pending);
        assert_eq!(service.cancel(TENANT, exhausted).await.unwrap().state, DeliveryState::Cancelled);
    }

    #[tokio::test]
    async fn a_delivery_without_its_hook_is_not_retried() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let world = World::new(storage.stores());
        let delivery = world.delivery_in(HookId(77), DeliveryState::Exhausted).await;
        let result = service(&world).await.retry(TENANT, delivery).await;
        assert!(matches!(result, Err(DeliveryError::HookDeleted(HookId(77)))), "{result:?}");
    }
}
