//! Removes what is kept only for some time: bodies of requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::domain::UnixMillis;
use crate::sources::Sources;
use crate::storage::{KeptBodyStore, StorageError};

/// How often.
const EVERY: Duration = Duration::from_secs(30);
/// How many bodies one transaction removes, so that others do not wait for it.
const BODIES_AT_ONCE: u32 = 100;

/// Removes what has expired from time to time, until `stop`.
pub(super) fn spawn(bodies: Arc<dyn KeptBodyStore>, sources: Sources, stop: &CancellationToken) {
    tokio::spawn(stop.clone().run_until_cancelled_owned(run(bodies, sources)));
}

async fn run(bodies: Arc<dyn KeptBodyStore>, sources: Sources) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = remove_bodies(&*bodies, sources.trusted_now()).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot remove expired bodies");
        }
    }
}

async fn remove_bodies(bodies: &dyn KeptBodyStore, now: UnixMillis) -> Result<(), StorageError> {
    while bodies.remove_expired_bodies(now, BODIES_AT_ONCE).await? == u64::from(BODIES_AT_ONCE) {}
    Ok(())
}
