//! The parts of the engine that make attempts.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;

use super::limits::{dispatcher_limits, sandbox_config, shares_of_files};
use super::plugin_source::Plugins;
use super::{activity, egress, hook_states, workers};
use crate::config::Config;
use crate::cores::Cores;
use crate::delivery::client::{Connector, DeliveryClient};
use crate::delivery::{
    self, Dispatcher, HookHealthMonitor, HookStats, MaskedHeaders, NoticeReceiver, Notices, Recorder, Workers,
};
use crate::directory::Directory;
use crate::domain::NodeNumber;
use crate::open_files::Shares;
use crate::sandbox::Sandbox;
use crate::sources::Sources;
use crate::storage::Database;
use crate::traces::Traces;

/// What makes attempts.
pub(super) struct Delivering {
    pub(super) sandbox: Sandbox,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) connector: Arc<Connector>,
    pub(super) recorder: Recorder,
    pub(super) health: Arc<HookHealthMonitor>,
    pub(super) stats: Arc<HookStats>,
    pub(super) masked_headers: Arc<MaskedHeaders>,
    pub(super) notices: Notices,
    pub(super) noticed: NoticeReceiver,
    pub(super) stop_feeding: CancellationToken,
    pub(super) files: Shares,
}

/// A database, and the number that this process has on it.
type Node<'a> = (&'a Arc<dyn Database>, NodeNumber);

/// Starts what makes attempts. No request leads back to `listeners`.
pub(super) async fn start(
    config: &Config,
    ((database, node), (sources, directory)): (Node<'_>, (&Sources, &Arc<Directory>)),
    cores: &Arc<Cores>,
    (listeners, traces): (&[SocketAddr], &Traces),
) -> Result<Delivering> {
    let stores = database.stores();
    let source = Arc::new(Plugins(Arc::clone(directory)));
    let sandbox = Sandbox::start(sandbox_config(config)?, source).context("cannot start the sandbox")?;
    let files = shares_of_files(config, cores.runtimes().len());
    let (notices, noticed) = Notices::channel();
    let health = hook_states::monitor(config, database, &notices).await?;
    let limits = dispatcher_limits(config, files.in_flight);
    let dispatcher = Dispatcher::beside(database.membership(), limits, Arc::clone(&health));
    let connector = egress::connector(config, listeners, directory)?;
    let recorder = Recorder::start(cores.first(), Arc::clone(&stores.deliveries), Arc::clone(&dispatcher));
    let clients = DeliveryClient::siblings(&connector, cores.runtimes().len(), files.idle);
    let (stop_feeding, stats) = activity::count(node, &stores, sources);
    let (parts, observers) = ((&sandbox, &recorder), (&health, &notices, &stats, traces));
    let masked_headers = Arc::new(MaskedHeaders::new(config.masked_headers.clone()));
    let workers = workers::make(&masked_headers, clients, sources, directory, parts, observers);
    hook_states::follow_flows(directory, &dispatcher, &stop_feeding);
    tokio::spawn(delivery::report_left_out(stop_feeding.clone()));
    dispatcher.start(Arc::new(Workers::new(Arc::clone(cores), workers.into_iter())), cores.first().clone());
    Ok(Delivering {
        sandbox,
        dispatcher,
        connector,
        recorder,
        health,
        stats,
        masked_headers,
        notices,
        noticed,
        stop_feeding,
        files,
    })
}
