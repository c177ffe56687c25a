//! What keeps the states of hooks: health on disk, the pause that all nodes follow, flow control, and operational events.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::delivery::{Dispatcher, HealthRules, HealthStorage, HookHealthMonitor, Notices};
use crate::directory::Directory;
use crate::log_limiter::LogLimiter;
use crate::storage::Database;

/// How often health is stored, and that of other nodes taken over. A change of a state is stored earlier.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Between two changes that are stored.
const AFTER_CHANGE: Duration = Duration::from_millis(100);

/// The monitor, with the health that an earlier process stored.
pub(super) async fn monitor(
    config: &Config,
    database: &Arc<dyn Database>,
    notices: &Notices,
) -> Result<Arc<HookHealthMonitor>> {
    let (store, is_shared) = (database.stores().hook_states, database.is_shared());
    let storage = HealthStorage { store, is_shared };
    let monitor = HookHealthMonitor::new(rules(config), notices.clone(), Some(storage));
    monitor.load().await.context("cannot read the health of hooks")?;
    Ok(monitor)
}

/// By which attempts are judged.
pub(super) fn rules(config: &Config) -> HealthRules {
    HealthRules {
        circuit_percent: config.circuit_failure_percent,
        circuit_attempts: config.circuit_attempts,
        open: config.circuit_open,
        max_open: config.circuit_max_open.max(config.circuit_open),
        disable_after: config.disable_after,
    }
}

/// Stores health and follows that of other nodes, until `stop`.
pub(super) fn follow(
    database: &Arc<dyn Database>,
    health: &Arc<HookHealthMonitor>,
    (directory, dispatcher): (&Arc<Directory>, &Arc<Dispatcher>),
    stop: &CancellationToken,
) {
    let (directory, dispatcher) = (Arc::clone(directory), Arc::clone(dispatcher));
    tokio::spawn(sync(database.is_shared(), Arc::clone(health), directory, dispatcher, stop.clone()));
}

/// Has the dispatcher keep to the flow control of hooks and tenants, until `stop`.
pub(super) fn follow_flows(directory: &Directory, dispatcher: &Arc<Dispatcher>, stop: &CancellationToken) {
    let flows = directory.flows();
    dispatcher.take_flows(&flows);
    tokio::spawn(stop.clone().run_until_cancelled_owned(Arc::clone(dispatcher).follow_flows(flows)));
}

async fn sync(
    is_shared: bool,
    health: Arc<HookHealthMonitor>,
    directory: Arc<Directory>,
    dispatcher: Arc<Dispatcher>,
    stop: CancellationToken,
) {
    let failures = LogLimiter::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = health.changed() => {}
            () = tokio::time::sleep(SYNC_EVERY) => {}
        }
        // A circuit may have closed.
        if health.take_released() {
            dispatcher.wake();
        }
        let synced = health.sync(|hook| directory.hook(hook).is_some()).await;
        let paused = if is_shared { directory.follow_pause().await } else { Ok(false) };
        health.fuel().set_nodes(dispatcher.membership().node_count());
        let has_fuel = health.fuel().end_holds(directory.now());
        if health.take_released() || has_fuel || matches!(paused, Ok(true)) {
            dispatcher.wake();
        }
        if let Err(error) = synced.and(paused)
            && let Some(unlogged) = failures.permit()
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(unlogged, error, "cannot store or follow the health of hooks");
        }
        tokio::time::sleep(AFTER_CHANGE).await;
    }
}
