//! Deletes what is older than the settings and tenants say, and follows what other nodes erase.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::delivery::Dispatcher;
use crate::directory::Directory;
use crate::domain::NodeNumber;
use crate::services::{ErasureFollower, Retention, RetentionCounters, RetentionDefaults};
use crate::sources::Sources;
use crate::storage::Storage;

/// Deletes in the background until `stop`. Returns how much.
pub(super) fn spawn(
    config: &Config,
    sources: &Sources,
    (directory, dispatcher): (&Arc<Directory>, &Arc<Dispatcher>),
    (stores, node): (&Storage, NodeNumber),
    stop: &CancellationToken,
) -> Arc<RetentionCounters> {
    let defaults = RetentionDefaults {
        events: config.retain_events,
        attempts: config.retain_attempts,
        bodies: config.retain_bodies,
        names: config.retain_ids,
    };
    let (store, usage) = (&stores.retention, &stores.tenant_usage);
    let follower = ErasureFollower::new(sources.clone(), Arc::clone(store), Arc::clone(dispatcher));
    tokio::spawn(stop.clone().run_until_cancelled_owned(follower.run()));
    let stores = (Arc::clone(store), Arc::clone(usage));
    let retention = Retention::new(sources.clone(), Arc::clone(directory), stores, node, defaults);
    let counters = retention.counters();
    tokio::spawn(stop.clone().run_until_cancelled_owned(retention.run()));
    counters
}
