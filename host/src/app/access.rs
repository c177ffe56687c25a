//! Stores when keys were last used, and removes old entries of the audit log.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::directory::Directory;
use crate::domain::UnixMillis;
use crate::sources::Sources;
use crate::storage::{AuditStore, StorageError};

/// How often.
const EVERY: Duration = Duration::from_secs(60);
/// How many entries one transaction removes, so that others do not wait for it.
const ENTRIES_AT_ONCE: u32 = 500;

/// Does so from time to time, until `stop`. Entries older than `retention` are removed, if there is one.
pub(super) fn spawn(
    directory: &Arc<Directory>,
    audit: &Arc<dyn AuditStore>,
    sources: &Sources,
    retention: Option<Duration>,
    stop: &CancellationToken,
) {
    let (directory, audit, sources) = (Arc::clone(directory), Arc::clone(audit), sources.clone());
    tokio::spawn(stop.clone().run_until_cancelled_owned(run(directory, audit, sources, retention)));
}

async fn run(
    directory: Arc<Directory>,
    audit: Arc<dyn AuditStore>,
    sources: Sources,
    retention: Option<Duration>,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = directory.store_key_uses().await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "cannot store when keys were last used");
        }
        let Some(retention) = retention else { continue };
        if let Err(error) = remove_entries(&*audit, sources.trusted_now(), retention).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "cannot remove old entries of the audit log");
        }
    }
}

async fn remove_entries(
    audit: &dyn AuditStore,
    now: UnixMillis,
    retention: Duration,
) -> Result<(), StorageError> {
    let end = now.minus(retention);
    while audit.remove_entries(end, ENTRIES_AT_ONCE).await? == u64::from(ENTRIES_AT_ONCE) {
        // Others write between two steps.
        tokio::task::yield_now().await;
    }
    Ok(())
}
