//! What the listeners serve: makes the services that handlers call, and the routers.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::exporter::{Exporter, Monitored, Parts};
use crate::api::auth::AdminKeyHash;
use crate::api::downloads::Downloads;
use crate::api::sessions::{ConsoleUrl, Sessions};
use crate::api::uploads::Uploads;
use crate::api::{self, AdminRoutes, ApiState, Console, Routers};
use crate::config::{Config, OperatorApi};
use crate::delivery::client::{Connector, DeliveryClient};
use crate::delivery::{Dispatcher, NoticeReceiver, Notices, Pipelines};
use crate::directory::Directory;
use crate::ingest::Ingest;
use crate::sandbox::Sandbox;
use crate::services::{
    EngineFigures, ExpiringKeys, Handshakes, JobRunner, OperationalEvents, OtherNodes, Readiness, Services,
    TenantDeleter,
};
use crate::sources::Sources;
use crate::storage::Storage;
use crate::traces::Traces;
use crate::vault::Vault;

/// What accepts events.
pub(super) fn ingest(
    (sources, retention): (&Sources, Option<Duration>),
    directory: &Arc<Directory>,
    stores: &Storage,
    (dispatcher, notices): (&Arc<Dispatcher>, &Notices),
) -> Arc<Ingest> {
    let (directory, telling) = (Arc::clone(directory), (Arc::clone(dispatcher), notices.clone()));
    Arc::new(Ingest::new(sources.clone(), directory, stores, telling, retention))
}

/// The routers of all listeners, and the services behind them.
pub(super) fn routers(
    (config, traces): (&Config, &Traces),
    sources: &Sources,
    directory: &Arc<Directory>,
    (storage, vault, readiness): (Storage, Arc<Vault>, &Arc<Readiness>),
    (dispatcher, connector, ingest): (&Arc<Dispatcher>, &Arc<Connector>, Arc<Ingest>),
    (sandbox, admin_key): (&Sandbox, AdminKeyHash),
    (notices, noticed, monitored, stop): (Notices, NoticeReceiver, Monitored, &CancellationToken),
) -> Routers {
    let sources = sources.clone();
    let uploads = Uploads::new(config.data_dir.clone(), Arc::clone(&storage.deliveries));
    let pipelines = Arc::new(Pipelines::new(Arc::clone(directory), sandbox.clone()));
    let client = DeliveryClient::siblings(connector, 1, 0).remove(0);
    let origin = config.handshake_origin.clone();
    let handshakes = Handshakes::new(&sources, directory, dispatcher, client, origin);
    tokio::spawn(handshakes.clone().run());
    let told = (handshakes, notices);
    let services = Services::new(&sources, directory, &storage, dispatcher, &pipelines, told);
    let (of_node, states) = ((&sources.clock, config.data_dir.clone()), &services.hook_states);
    let figures = EngineFigures::start(of_node, (&storage, directory), (dispatcher, states), stop);
    let exporter = exporter(config, (&sources, &figures), (directory, dispatcher, sandbox), monitored);
    tokio::spawn(JobRunner::new(services.jobs.clone()).run(stop.clone()));
    tokio::spawn(TenantDeleter::new(services.tenants.clone()).run(stop.clone()));
    operational_events(config, &sources, (directory, dispatcher), &ingest, (noticed, stop));
    let admin_routes = match config.operator_api {
        OperatorApi::WithTenants => AdminRoutes::Monitoring,
        OperatorApi::Admin => AdminRoutes::MonitoringAndV3,
    };
    let live = Arc::clone(dispatcher.live());
    let is_shared = dispatcher.membership().is_shared();
    let console_url =
        ConsoleUrl::new(config.console_url.as_deref(), config.operator_api == OperatorApi::WithTenants);
    let console = config.console.then(|| Console::new(&config.console_frame_ancestors));
    let state = ApiState {
        sources: sources.clone(),
        directory: Arc::clone(directory),
        ingest,
        pipelines,
        services,
        connector: Arc::clone(connector),
        sandbox: sandbox.clone(),
        other_nodes: OtherNodes::new(&sources, &storage, &live, is_shared),
        storage,
        live,
        console_url,
        sessions: Arc::new(Sessions::new(Arc::clone(&vault), Arc::clone(&sources.clock), config.console)),
        vault,
        used_passwords: Arc::default(),
        downloads: Arc::new(Downloads::new(config.data_dir.clone())),
        uploads: Arc::new(uploads),
        readiness: Arc::clone(readiness),
        figures,
        traces: traces.clone(),
        admin_key,
    };
    let routers = api::routers(state, admin_routes, console);
    Routers { admin: routers.admin.merge(exporter.routes()), ..routers }
}

fn exporter(
    config: &Config,
    (sources, figures): (&Sources, &Arc<EngineFigures>),
    (directory, dispatcher, sandbox): (&Arc<Directory>, &Arc<Dispatcher>, &Sandbox),
    monitored: Monitored,
) -> Exporter {
    Exporter::new(Parts {
        clock: Arc::clone(&sources.clock),
        figures: Arc::clone(figures),
        directory: Arc::clone(directory),
        dispatcher: Arc::clone(dispatcher),
        sandbox: sandbox.clone(),
        monitored,
        by_tenant: config.metrics_per_tenant,
    })
}

/// Tells tenants what they subscribe to of the engine's own types.
fn operational_events(
    config: &Config,
    sources: &Sources,
    (directory, dispatcher): (&Arc<Directory>, &Arc<Dispatcher>),
    ingest: &Arc<Ingest>,
    (noticed, stop): (NoticeReceiver, &CancellationToken),
) {
    let (about, to) = (Arc::clone(directory), Arc::clone(ingest));
    let expiring = ExpiringKeys::new(sources.clone(), about, to, Arc::clone(dispatcher));
    tokio::spawn(stop.clone().run_until_cancelled_owned(expiring.run()));
    let interval = config.operational_event_interval;
    tokio::spawn(OperationalEvents::new(sources.clone(), Arc::clone(ingest), interval).run(noticed));
}
