//! Erases the content of events.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::deliveries::{DeliveryError, DeliveryService};
use crate::delivery::Dispatcher;
use crate::domain::{DeliveryState, EventId, EventKey, TenantId, UnixMillis};
use crate::log_limiter::LogLimiter;
use crate::sources::Sources;
use crate::storage::{RetentionStore, StorageError};

/// How often a node looks for what others have erased.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many events one look finds; the next one begins where it ended.
const MAX_FOUND: u32 = 1_000;
/// The clocks of nodes differ, and an erasure is stored some time after it began.
const OVERLAP: Duration = Duration::from_secs(30);
/// A start looks so far back.
const FIRST_LOOK: Duration = Duration::from_secs(600);

/// An event whose content was erased.
#[derive(Debug)]
pub struct Erased {
    /// When.
    pub at: UnixMillis,
    /// How many of its deliveries are in each state.
    pub states: HashMap<DeliveryState, u32>,
    /// How many of them were attempted.
    pub attempted: u32,
}

impl DeliveryService {
    /// Cancels what is not final of an event, and erases its content. What this process has in memory is not sent once this
    /// returns, except for requests that were being sent. `None`: the tenant has no such event.
    ///
    /// # Errors
    /// Fails if too many cancellations are in progress, or if storage fails. Repeat it then.
    pub async fn erase(&self, tenant: TenantId, event: EventKey) -> Result<Option<Erased>, DeliveryError> {
        let storage = self.storage();
        let mut in_progress = Vec::new();
        for delivery in storage.deliveries.of_event(tenant, event).await? {
            // Others are on disk, where they are cancelled together.
            if delivery.state != DeliveryState::Delivering {
                continue;
            }
            match self.cancel(tenant, delivery.id).await {
                Err(DeliveryError::InProgress) => in_progress.push(delivery.id),
                Ok(_) | Err(DeliveryError::WrongState { .. } | DeliveryError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let erased = storage.retention.erase(tenant, &EventId::of_key(event), self.now()).await?;
        let Some(at) = erased else { return Ok(None) };
        // One that was claimed meanwhile is in memory now.
        self.dispatcher().erased().add([event]);
        let (mut states, mut attempted) = (HashMap::new(), 0);
        for delivery in storage.deliveries.of_event(tenant, event).await? {
            *states.entry(delivery.state).or_default() += 1;
            attempted += u32::from(delivery.attempts > 0 || in_progress.contains(&delivery.id));
        }
        Ok(Some(Erased { at, states, attempted }))
    }
}

/// Takes over what other nodes erase, which is not sent from then on.
pub struct ErasureFollower {
    sources: Sources,
    store: Arc<dyn RetentionStore>,
    dispatcher: Arc<Dispatcher>,
    /// When the newest one that is known was erased.
    last: Option<UnixMillis>,
}

impl ErasureFollower {
    /// Tells `dispatcher` what is erased in `store`.
    #[must_use]
    pub fn new(sources: Sources, store: Arc<dyn RetentionStore>, dispatcher: Arc<Dispatcher>) -> Self {
        Self { sources, store, dispatcher, last: None }
    }

    /// Follows until the future is dropped.
    pub async fn run(mut self) {
        static FAILURES: LogLimiter = LogLimiter::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = self.look().await
                && let Some(unlogged) = FAILURES.permit()
            {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, unlogged, "cannot read which events are erased; trying again");
            }
        }
    }

    async fn look(&mut self) -> Result<(), StorageError> {
        let mut since = self.last.map_or(self.sources.now().minus(FIRST_LOOK), |last| last.minus(OVERLAP));
        loop {
            let found = self.store.erased_since(since, MAX_FOUND).await?;
            self.dispatcher.erased().add(found.iter().map(|(event, _)| *event));
            let Some((_, at)) = found.last().copied() else { return Ok(()) };
            self.last = self.last.max(Some(at));
            // As many at the same moment are not all found: the next look begins after it.
            if found.len() < MAX_FOUND as usize {
                return Ok(());
            }
            since = UnixMillis(at.0.max(since.0 + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::testing;
    use crate::directory::Directory;
    use crate::services::retention::tests::Days;
    use crate::storage::conformance::{LEASE_END, TENANT, World};
    use crate::storage::sqlite::{self, SqliteOptions};

    /// Such as one that the feeder claimed at the same moment.
    #[tokio::test]
    async fn what_is_in_memory_of_an_erased_event_does_not_start() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let world = World::new(storage.stores());
        let sources = testing::sources();
        let (clock, ids) = (Arc::clone(&sources.clock), Arc::clone(&sources.ids));
        let directory = Directory::load(world.storage.clone(), ids, clock).await.unwrap();
        let dispatcher = Dispatcher::new(testing::limits());
        let service = DeliveryService::new(
            sources,
            directory,
            world.storage.clone(),
            Arc::clone(&dispatcher),
            Arc::default(),
        );
        let hook = world.stored_hook().await;
        let works = [world.event_for(hook, None), world.event_for(hook, None)].map(|acceptance| {
            let work = testing::work(TENANT.0, hook.0, acceptance.deliveries[0].id.0);
            (
                acceptance.clone(),
                crate::delivery::Work { event: acceptance.event, lease_until: LEASE_END, ..work },
            )
        });
        for (acceptance, work) in &works {
            world.store(acceptance.clone()).await;
            assert!(dispatcher.may_start(work));
        }
        service.erase(TENANT, works[0].1.event.key).await.unwrap().unwrap();
        assert_eq!(works.map(|(_, work)| dispatcher.may_start(&work)), [false, true]);
    }

    #[tokio::test]
    async fn what_other_nodes_erase_is_followed() {
        let sources = testing::sources();
        let at = |seconds: u32| {
            sources.now().minus(Duration::from_secs(100)).plus(Duration::from_secs(1) * seconds)
        };
        let store = Arc::new(Days::default());
        let dispatcher = Dispatcher::new(testing::limits());
        let mut follower =
            ErasureFollower::new(sources.clone(), Arc::clone(&store) as _, Arc::clone(&dispatcher));
        let starts = |number: i64| dispatcher.may_start(&testing::work(1, 1, number));
        follower.look().await.unwrap();
        let before = sources.now().minus(FIRST_LOOK + Duration::from_secs(1));
        *store.erased.lock().unwrap() = vec![(EventKey(1), before), (EventKey(2), at(40))];
        follower.look().await.unwrap();
        assert_eq!([1, 2, 3].map(starts), [true, false, true]);
        // It is stored late, and there are more than one look finds.
        let more = (10..10 + i64::from(MAX_FOUND) * 2).map(|number| (EventKey(number), at(41)));
        *store.erased.lock().unwrap() =
            std::iter::once((EventKey(3), at(20))).chain(more).chain([(EventKey(4), at(42))]).collect();
        follower.look().await.unwrap();
        assert_eq!([3, 4, 5, 10].map(starts), [false, false, true, false]);
    }
}
