//! What fetches deliveries from disk, and what follows the clock and other nodes.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{databases, expiry, past};
use crate::clock_watch;
use crate::delivery::Dispatcher;
use crate::delivery::feeder::Feeder;
use crate::directory::Directory;
use crate::sandbox::Sandbox;
use crate::sources::Sources;
use crate::storage::Database;

/// Starts what fetches deliveries from disk, and the tasks that follow the clock and other nodes, until `stop`. Compiles the
/// plugins in use.
pub(super) fn spawn(
    sources: &Sources,
    database: &Arc<dyn Database>,
    directory: &Arc<Directory>,
    (dispatcher, sandbox): (&Arc<Dispatcher>, &Sandbox),
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let (clock, stores) = (&sources.clock, database.stores());
    let deliveries = stores.deliveries;
    expiry::spawn(stores.kept_bodies, sources.clone(), stop);
    let feeder = Feeder {
        sources: sources.clone(),
        dispatcher: Arc::clone(dispatcher),
        directory: Arc::clone(directory),
        deliveries: Arc::clone(&deliveries),
    };
    tokio::spawn(past::keep_noting_clock(Arc::clone(database), sources.clone(), stop.clone()));
    let dependents = clock_watch::Dependents {
        clock: Arc::clone(clock),
        ids: Arc::clone(&sources.ids),
        trusted: Arc::clone(&sources.trusted),
        deliveries,
        dispatcher: Arc::clone(dispatcher),
    };
    tokio::spawn(clock_watch::run(dependents, stop.clone()));
    databases::follow(database, directory, (dispatcher, sandbox), stop);
    let (ahead, in_use) = (sandbox.clone(), directory.plugins_in_use());
    tokio::spawn(async move { ahead.compile_ahead(in_use).await });
    tokio::spawn(feeder.run(stop.clone()))
}
