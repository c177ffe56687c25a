//! The composition root: builds the engine from its parts, runs it, and shuts it down in order.

mod activity;
mod databases;
mod expiry;
mod hook_states;
mod limits;
mod past;
mod plugin_source;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admin_key;
use crate::api::downloads::Downloads;
use crate::api::uploads::Uploads;
use crate::api::{self, ApiState};
use crate::clients::{Budget, Clients};
use crate::clock::{self, Clock, SystemClock};
use crate::clock_watch;
use crate::config::Config;
use crate::cores::Cores;
use crate::delivery::client::{Connector, DeliveryClient, Route};
use crate::delivery::egress::EgressPolicy;
use crate::delivery::feeder::Feeder;
use crate::delivery::oauth::Tokens;
use crate::delivery::worker::Worker;
use crate::delivery::{
    Dispatcher, HookHealthMonitor, HookStats, NoticeReceiver, Notices, Pipelines, Recorder, Workers, tls,
};
use crate::directory::Directory;
use crate::domain::ids::IdGenerator;
use crate::ingest::Ingest;
use crate::random::SystemRandom;
use crate::sandbox::Sandbox;
use crate::server::{self, Stop};
use crate::services::{Handshakes, JobRunner, OperationalEvents, Services, TenantDeleter};
use crate::sources::Sources;
use crate::storage::{Database, Storage};
use crate::vault::Vault;

use limits::{client_limits, dispatcher_limits, shares_of_files};
pub use limits::{keys, sandbox_config};
use plugin_source::Plugins;

/// How many bytes of memory the large requests to receivers may take.
const REQUESTS_UNDER_WAY_BYTES: usize = 64 << 20;

/// A running engine. Dropping it without [`Engine::shutdown`] is like a crash: nothing that was accepted
/// is lost.
pub struct Engine {
    local_addr: SocketAddr,
    new_admin_key: Option<String>,
    grace: Duration,
    stop_serving: Stop,
    stop_feeding: CancellationToken,
    serving: JoinHandle<()>,
    feeding: JoinHandle<()>,
    recorder: Recorder,
    stats: Arc<HookStats>,
    // Dropped before the cores.
    attempts: Attempts,
    stop_cores: DropGuard,
    sandbox: Sandbox,
    health: Arc<HookHealthMonitor>,
    clock: Arc<dyn Clock>,
    database: Arc<dyn Database>,
}

/// Builds and starts an engine.
///
/// # Errors
/// If the data directory, the certificates or the address to listen on cannot be used.
pub async fn start(config: Config) -> Result<Engine> {
    let clock = SystemClock::shared();
    let stopping_cores = CancellationToken::new();
    let cores = Arc::new(Cores::start(&stopping_cores).context("cannot start a thread for each core")?);
    let stop_cores = stopping_cores.clone().drop_guard();
    let (database, vault) = databases::open(&config, cores.first()).await?;
    match start_on(config, (Arc::clone(&database), vault), (cores, stopping_cores), clock).await {
        Ok(engine) => {
            stop_cores.disarm();
            Ok(engine)
        }
        Err(error) => {
            // Other nodes must not wait for this one.
            if let Err(error) = database.close().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot close the database");
            }
            Err(error)
        }
    }
}

/// Starts an engine on an open database.
async fn start_on(
    config: Config,
    (database, vault): (Arc<dyn Database>, Arc<Vault>),
    (cores, stopping_cores): (Arc<Cores>, CancellationToken),
    clock: Arc<dyn Clock>,
) -> Result<Engine> {
    let stores = database.stores();
    let node = database.node().await.context("cannot read the database")?;
    let last_id = past::recover(&*database, node, clock.now()).await?;
    let ids = Arc::new(IdGenerator::new(node.0, last_id));
    let sources = Sources { clock: Arc::clone(&clock), ids, random: SystemRandom::shared() };
    let directory = databases::load_directory(&config, &stores, &sources).await?;
    let admin = admin_key::load_or_create(&config).context("cannot load the operator's key")?;

    // Before anything is sent: a second engine, whose port is taken, must not deliver first.
    let listener =
        server::bind(config.listen).with_context(|| format!("cannot listen on {}", config.listen))?;
    let local_addr = listener.local_addr()?;

    let source = Arc::new(Plugins(Arc::clone(&directory)));
    let sandbox = Sandbox::start(sandbox_config(&config)?, source).context("cannot start the sandbox")?;
    let files = shares_of_files(&config, cores.runtimes().len());
    let (notices, noticed) = Notices::channel();
    let health = hook_states::monitor(&config, &database, &notices).await?;
    let limits = dispatcher_limits(&config, files.in_flight);
    let dispatcher = Dispatcher::beside(database.membership(), limits, Arc::clone(&health));
    let connector = connector(&config, local_addr, &directory)?;
    let recorder = Recorder::start(cores.first(), Arc::clone(&stores.deliveries), Arc::clone(&dispatcher));
    let clients = DeliveryClient::siblings(&connector, cores.runtimes().len(), files.idle);
    let (stop_feeding, stats) = activity::count(node, &stores, &clock);
    let (parts, observers) = ((&sandbox, &recorder), (&health, &notices, &stats));
    let workers = workers(&config, clients, &sources, &directory, parts, observers);
    hook_states::follow_flows(&directory, &dispatcher, &stop_feeding);
    dispatcher.start(Arc::new(Workers::new(Arc::clone(&cores), workers.into_iter())), cores.first().clone());
    let feeding = spawn_feeder(&sources, &database, &directory, (&dispatcher, &sandbox), &stop_feeding);
    hook_states::follow(&database, &health, (&directory, &dispatcher), &stop_feeding);

    let ingest = ingest(&sources, &directory, &stores, &dispatcher);
    activity::spawn((&sources, node), &stores, (&ingest, &dispatcher, &directory), local_addr, &stop_feeding);
    let router = router(
        &config,
        &sources,
        &directory,
        (stores, vault),
        (&dispatcher, &connector, ingest),
        (&sandbox, admin.hash),
        (notices, noticed, &stop_feeding),
    );
    let clients = Clients::new(client_limits(&config, files.clients));
    let stop_serving = Stop::default();
    let serving = tokio::spawn(server::serve(listener, router, cores, clients, stop_serving.clone()));
    Ok(Engine {
        local_addr,
        new_admin_key: admin.generated,
        grace: config.shutdown_grace,
        stop_serving,
        stop_feeding,
        serving,
        feeding,
        recorder,
        stats,
        attempts: Attempts(dispatcher),
        stop_cores: stopping_cores.drop_guard(),
        sandbox,
        health,
        clock,
        database,
    })
}

/// Starts what fetches deliveries from disk, and the tasks that follow the clock and other nodes, until `stop`. Compiles the
/// plugins in use.
fn spawn_feeder(
    sources: &Sources,
    database: &Arc<dyn Database>,
    directory: &Arc<Directory>,
    (dispatcher, sandbox): (&Arc<Dispatcher>, &Sandbox),
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let (clock, stores) = (&sources.clock, database.stores());
    let deliveries = stores.deliveries;
    expiry::spawn(stores.kept_bodies, Arc::clone(clock), stop);
    let feeder = Feeder {
        sources: sources.clone(),
        dispatcher: Arc::clone(dispatcher),
        directory: Arc::clone(directory),
        deliveries: Arc::clone(&deliveries),
    };
    tokio::spawn(past::note_clock(Arc::clone(database), Arc::clone(clock), stop.clone()));
    let dependents = clock_watch::Dependents {
        clock: Arc::clone(clock),
        ids: Arc::clone(&sources.ids),
        deliveries,
        dispatcher: Arc::clone(dispatcher),
    };
    tokio::spawn(clock_watch::run(dependents, stop.clone()));
    databases::follow(database, directory, (dispatcher, sandbox), stop);
    let (ahead, in_use) = (sandbox.clone(), directory.plugins_in_use());
    tokio::spawn(async move { ahead.compile_ahead(in_use).await });
    tokio::spawn(feeder.run(stop.clone()))
}

impl Engine {
    /// Where the API listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The operator's key, if it was just generated: it is shown only once.
    #[must_use]
    pub fn new_admin_key(&self) -> Option<&str> {
        self.new_admin_key.as_deref()
    }

    /// Runs until `signal`, then shuts down.
    ///
    /// # Errors
    /// As [`Engine::shutdown`]; and if an essential part of the engine stops. Then it is as after a crash: the next start
    /// continues unfinished work.
    pub async fn run_until(mut self, signal: impl Future<Output = ()>) -> Result<()> {
        let ended = tokio::select! {
            () = signal => return self.shutdown().await,
            () = self.database.ended() => "the database writer",
            () = self.recorder.ended() => "the recorder",
            _ = &mut self.feeding => "the feeder",
            _ = &mut self.serving => "the server",
        };
        bail!("{ended} stopped; the log says why. No accepted event is lost: start the engine again")
    }

    /// Shuts the engine down in order: no new requests, no new attempts. Requests and attempts in flight share one grace
    /// period; the next start continues those that do not finish in it.
    ///
    /// # Errors
    /// If the database cannot be closed properly; nothing is lost even then.
    pub async fn shutdown(self) -> Result<()> {
        let deadline = Instant::from_std(clock::monotonic()) + self.grace;
        // What is not begun goes to the other nodes.
        self.database.membership().drain();
        self.stop_serving.by(deadline);
        self.serving.await.context("the server failed")?;
        self.stop_feeding.cancel();
        self.feeding.await.context("the feeder failed")?;
        let Attempts(dispatcher) = &self.attempts;
        if tokio::time::timeout_at(deadline, dispatcher.drain()).await.is_err() {
            let unfinished = dispatcher.unfinished();
            tracing::warn!(
                unfinished,
                "some attempts did not finish within the shutdown's grace; they are made again"
            );
        }
        self.sandbox.shutdown();
        if let Err(error) = self.health.sync(|_| true).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot store the health of hooks");
        }
        if let Err(error) = self.stats.store().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot store statistics of hooks");
        }
        if let Err(error) = self.database.note_clock(self.clock.now()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot note the time in the database");
        }
        let closed = self.database.close().await.context("cannot close the database");
        // Not before: the database writer runs there.
        drop(self.stop_cores);
        closed
    }
}

/// Stops the start of attempts when dropped: each attempt that ends with the cores would start the next one.
struct Attempts(Arc<Dispatcher>);

impl Drop for Attempts {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn ingest(
    sources: &Sources,
    directory: &Arc<Directory>,
    stores: &Storage,
    dispatcher: &Arc<Dispatcher>,
) -> Arc<Ingest> {
    Arc::new(Ingest::new(sources.clone(), Arc::clone(directory), stores, Arc::clone(dispatcher), None))
}

fn router(
    config: &Config,
    sources: &Sources,
    directory: &Arc<Directory>,
    (storage, vault): (Storage, Arc<Vault>),
    (dispatcher, connector, ingest): (&Arc<Dispatcher>, &Arc<Connector>, Arc<Ingest>),
    (sandbox, admin_key_hash): (&Sandbox, [u8; 32]),
    (notices, noticed, stop): (Notices, NoticeReceiver, &CancellationToken),
) -> Router {
    let sources = sources.clone();
    let uploads = Uploads::new(config.data_dir.clone(), Arc::clone(&storage.deliveries));
    let pipelines = Arc::new(Pipelines::new(Arc::clone(directory), sandbox.clone()));
    let client = DeliveryClient::siblings(connector, 1, 0).remove(0);
    let origin = config.handshake_origin.clone();
    let handshakes = Handshakes::new(&sources, directory, dispatcher, client, origin);
    tokio::spawn(handshakes.clone().run());
    let told = (handshakes, notices);
    let services = Services::new(&sources, directory, &storage, dispatcher, &pipelines, told);
    tokio::spawn(JobRunner::new(services.jobs.clone()).run(stop.clone()));
    tokio::spawn(TenantDeleter::new(services.tenants.clone()).run(stop.clone()));
    let interval = config.operational_event_interval;
    tokio::spawn(OperationalEvents::new(sources.clone(), Arc::clone(&ingest), interval).run(noticed));
    api::router(ApiState {
        sources,
        directory: Arc::clone(directory),
        storage,
        ingest,
        pipelines,
        services,
        connector: Arc::clone(connector),
        sandbox: sandbox.clone(),
        vault,
        used_passwords: Arc::default(),
        downloads: Arc::new(Downloads::new(config.data_dir.clone())),
        uploads: Arc::new(uploads),
        admin_key_hash,
    })
}

/// A worker for each client. They share one budget.
fn workers(
    config: &Config,
    clients: Vec<DeliveryClient>,
    sources: &Sources,
    directory: &Arc<Directory>,
    (sandbox, recorder): (&Sandbox, &Recorder),
    (health, notices, stats): (&Arc<HookHealthMonitor>, &Notices, &Arc<HookStats>),
) -> Vec<Worker> {
    let memory = Budget::new(REQUESTS_UNDER_WAY_BYTES);
    let tokens = Arc::<Tokens>::default();
    let masked_headers = Arc::<[_]>::from(config.masked_headers.as_slice());
    let worker = |client| Worker {
        sources: sources.clone(),
        directory: Arc::clone(directory),
        pipelines: Pipelines::new(Arc::clone(directory), sandbox.clone()).metered(health, sources),
        client,
        tokens: Arc::clone(&tokens),
        recorder: recorder.clone(),
        health: Arc::clone(health),
        notices: notices.clone(),
        stats: Arc::clone(stats),
        memory: Arc::clone(&memory),
        masked_headers: Arc::clone(&masked_headers),
    };
    clients.into_iter().map(worker).collect()
}

fn connector(config: &Config, listener: SocketAddr, directory: &Arc<Directory>) -> Result<Arc<Connector>> {
    let tls = tls::client_config(config.egress_ca_file.as_deref()).context("cannot set up TLS")?;
    let policy = egress_policy(config, listener, directory);
    Ok(Arc::new(Connector::new(policy, tls).by(egress_route(config)?)))
}

/// The egress policy: no request may lead back to this engine.
fn egress_policy(config: &Config, listener: SocketAddr, directory: &Arc<Directory>) -> EgressPolicy {
    let directory = Arc::clone(directory);
    let names = move |tenant| directory.tenant(tenant).map(|tenant| tenant.name.clone());
    EgressPolicy::new(config.egress_allow.clone(), vec![listener], Arc::new(names))
}

/// How requests leave this machine.
fn egress_route(config: &Config) -> Result<Route> {
    let route = Route {
        proxy: config.egress_proxy.clone(),
        bypass: config.egress_proxy_bypass.clone(),
        source: config.egress_source_address,
    };
    route.check().context("cannot use the setting `egress_source_address`")?;
    Ok(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_engine_ends_if_its_database_writer_stops() {
        let dir = tempfile::tempdir().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = Config { data_dir: dir.path().join("data"), listen, ..Config::default() };
        let engine = start(config).await.unwrap();
        engine.database.close().await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), engine.run_until(std::future::pending()));
        let error = ended.await.unwrap().unwrap_err();
        assert!(error.to_string().starts_with("the database writer stopped"), "{error}");
    }
}
