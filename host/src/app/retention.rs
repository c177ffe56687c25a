//! Deletes what is older than the settings and tenants say.

use std::sync::Arc;

use crate::config::Config;
use crate::directory::Directory;
use crate::domain::NodeNumber;
use crate::services::{Retention, RetentionDefaults};
use crate::sources::Sources;
use crate::storage::RetentionStore;

pub(super) fn of(
    config: &Config,
    sources: &Sources,
    directory: &Arc<Directory>,
    (store, node): (Arc<dyn RetentionStore>, NodeNumber),
) -> Retention {
    let defaults = RetentionDefaults {
        events: config.retain_events,
        attempts: config.retain_attempts,
        bodies: config.retain_bodies,
        names: config.retain_ids,
    };
    Retention::new(sources.clone(), Arc::clone(directory), store, node, defaults)
}
