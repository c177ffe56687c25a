//! Finds out what other nodes do to the deliveries of tenants that are watched on this one.
//!
//! A node knows at once only what it does itself. While somebody watches a tenant here, the newest deliveries of the tenant are
//! read every two seconds, and what nobody here was told is told. Nodes that nobody watches do nothing for it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::delivery::{ChangeKind, DeliveryChange, LiveChanges, Watch};
use crate::domain::{Delivery, DeliveryId, DeliveryState, TenantId};
use crate::sources::Sources;
use crate::storage::{DeliveryQuery, Storage};

/// How often.
const INTERVAL: Duration = Duration::from_secs(2);
/// How many deliveries are read.
const NEWEST: u32 = 200;

/// See the module's head. Clones follow together.
#[derive(Clone)]
pub struct OtherNodes(Option<Arc<Follower>>);

struct Follower {
    sources: Sources,
    storage: Storage,
    live: Arc<LiveChanges>,
    followed: Mutex<HashSet<TenantId>>,
}

/// What is known of a delivery.
type Known = (DeliveryState, u32);

impl OtherNodes {
    /// Follows nothing yet, and nothing at all if no other node can use the database.
    #[must_use]
    pub fn new(sources: &Sources, storage: &Storage, live: &Arc<LiveChanges>, is_shared: bool) -> Self {
        Self(is_shared.then(|| {
            let (sources, storage, live) = (sources.clone(), storage.clone(), Arc::clone(live));
            Arc::new(Follower { sources, storage, live, followed: Mutex::default() })
        }))
    }

    /// Whether there may be others: `several` or `one`.
    #[must_use]
    pub fn nodes(&self) -> &'static str {
        if self.0.is_some() { "several" } else { "one" }
    }

    /// Follows a tenant for as long as it is watched.
    pub fn follow(&self, tenant: TenantId) {
        let Some(follower) = &self.0 else { return };
        if follower.followed().insert(tenant) {
            tokio::spawn(Arc::clone(follower).run(tenant));
        }
    }
}

impl Follower {
    fn followed(&self) -> std::sync::MutexGuard<'_, HashSet<TenantId>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, tenant: TenantId) {
        let mut told = self.live.follow(tenant);
        let mut known: Option<HashMap<DeliveryId, Known>> = None;
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            {
                let mut followed = self.followed();
                if !self.live.is_watched(tenant) {
                    followed.remove(&tenant);
                    return;
                }
            }
            let query = DeliveryQuery { limit: NEWEST, ..DeliveryQuery::default() };
            match self.storage.deliveries.list(tenant, &query).await {
                Ok(listed) => {
                    let before = known.take().map(|known| with_told(known, &mut told));
                    known = Some(self.compare(listed.deliveries, before));
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(%tenant, error, "cannot read what other nodes do");
                }
            }
        }
    }

    /// Tells what is new, and returns what is known now.
    fn compare(
        &self,
        listed: Vec<Delivery>,
        before: Option<HashMap<DeliveryId, Known>>,
    ) -> HashMap<DeliveryId, Known> {
        let mut now = HashMap::with_capacity(listed.len());
        // Oldest first.
        for delivery in listed.into_iter().rev() {
            let state = (delivery.state, delivery.attempts);
            now.insert(delivery.id, state);
            let kind = match before.as_ref().map(|before| before.get(&delivery.id)) {
                None => continue,
                Some(None) => ChangeKind::Created,
                Some(Some(old)) if is_newer(state, *old) => ChangeKind::Changed,
                Some(Some(_)) => continue,
            };
            let at = self.sources.now();
            self.live.tell(Arc::new(DeliveryChange { kind, at, delivery, event_id: None, attempt: None }));
        }
        now
    }
}

/// Whether something happened: what this node was told of may be newer than what it has read.
fn is_newer((state, attempts): Known, (old_state, old_attempts): Known) -> bool {
    attempts > old_attempts || (attempts == old_attempts && state != old_state)
}

fn with_told(mut known: HashMap<DeliveryId, Known>, told: &mut Watch) -> HashMap<DeliveryId, Known> {
    while let Some(change) = told.try_next() {
        known.insert(change.delivery.id, (change.delivery.state, change.delivery.attempts));
    }
    known
}
