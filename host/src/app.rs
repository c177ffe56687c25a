//! The composition root: builds the engine from its parts, runs it, and shuts it down in order.

mod access;
mod activity;
mod certificates;
mod databases;
mod delivering;
mod egress;
mod expiry;
mod exporter;
mod feeding;
mod hook_states;
mod limits;
mod listeners;
mod past;
mod plugin_source;
mod reload;
mod retention;
mod routers;
mod traces;
mod workers;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admin_key;
use crate::api::auth::AdminKeyHash;
use crate::clock::{self, Clock, SystemClock};
use crate::config::Config;
use crate::cores::Cores;
use crate::delivery::{self, Dispatcher, HookHealthMonitor, HookStats, Recorder};
use crate::directory::Directory;
use crate::domain::NodeNumber;
use crate::sandbox::Sandbox;
use crate::services::Readiness;
use crate::sources::Sources;
use crate::storage::Database;
use crate::supervisor::Sockets;
use crate::vault::Vault;

use delivering::Delivering;
pub use limits::{keys, sandbox_config};
pub use listeners::Origin;
use listeners::{Listeners, Serving};
use reload::ShutdownTimes;
pub use reload::{Change, Reloader};
use traces::Exporting;

/// The part of a shutdown's grace that is left for closing the database, at most a fifth.
const CLOSING: Duration = Duration::from_secs(2);
/// How long closing the database may take at least.
const MIN_CLOSING: Duration = Duration::from_secs(1);

/// A running engine. Dropping it without [`Engine::shutdown`] is like a crash: nothing that was accepted
/// is lost.
pub struct Engine {
    new_admin_key: Option<String>,
    readiness: Arc<Readiness>,
    shutdown: Arc<ShutdownTimes>,
    reloader: Arc<Reloader>,
    cores: Arc<Cores>,
    serving: Serving,
    stop_feeding: CancellationToken,
    feeding: JoinHandle<()>,
    recorder: Recorder,
    stats: Arc<HookStats>,
    directory: Arc<Directory>,
    // Dropped before the cores.
    attempts: Attempts,
    stop_cores: DropGuard,
    sandbox: Sandbox,
    exporting: Exporting,
    health: Arc<HookHealthMonitor>,
    sources: Sources,
    database: Arc<dyn Database>,
    node: NodeNumber,
}

/// Builds and starts an engine.
///
/// # Errors
/// If the data directory, the certificates or the addresses to listen on cannot be used.
pub async fn start(config: Config, sockets: Sockets) -> Result<Engine> {
    let clock = SystemClock::shared();
    let stopping_cores = CancellationToken::new();
    let cores = Arc::new(Cores::start(&stopping_cores).context("cannot start a thread for each core")?);
    let stop_cores = stopping_cores.clone().drop_guard();
    let (database, vault) = databases::open(&config, cores.first()).await?;
    let parts = (Arc::clone(&database), vault);
    match start_on(config, sockets, parts, (cores, stopping_cores), clock).await {
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
    sockets: Sockets,
    (database, vault): (Arc<dyn Database>, Arc<Vault>),
    (cores, stopping_cores): (Arc<Cores>, CancellationToken),
    clock: Arc<dyn Clock>,
) -> Result<Engine> {
    let stores = database.stores();
    let node = database.node().await.context("cannot read the database")?;
    let sources = past::sources(&*database, node, &clock).await?;
    let directory = databases::load_directory(&config, &stores, &sources).await?;
    let admin = admin_key::load_or_create(&config).context("cannot load the operator's key")?;
    // Before anything is sent: a second engine, whose port is taken, must not deliver first.
    let listeners = Listeners::bind(&config, sockets)?;
    let addresses = listeners.addresses();
    let parts = ((&database, node), (&sources, &directory));
    let exporting = Exporting::start(&config, &sources, node)?;
    let delivering = delivering::start(&config, parts, &cores, (&addresses, &exporting.traces)).await?;
    let Delivering { sandbox, dispatcher, connector, recorder, health, stats, masked_headers, .. } =
        delivering;
    let (notices, noticed, stop_feeding) = (delivering.notices, delivering.noticed, delivering.stop_feeding);
    let parts = (&directory, &dispatcher);
    let retention = retention::spawn(&config, &sources, parts, (&stores, node), &stop_feeding);
    let feeding = feeding::spawn(&sources, &database, &directory, (&dispatcher, &sandbox), &stop_feeding);
    hook_states::follow(&database, &health, (&directory, &dispatcher), &stop_feeding);
    let ingest =
        routers::ingest((&sources, config.retain_events), &directory, &stores, (&dispatcher, &notices));
    access::spawn(&directory, &stores.audit, &sources, config.retain_audit_log, &stop_feeding);
    let reported = (&ingest, &dispatcher, &directory);
    activity::spawn((&sources, node), &stores, reported, listeners.api_address(), &stop_feeding);
    let readiness = Arc::new(Readiness::new(Arc::clone(&stores.deliveries), database.membership()));
    let routers = routers::routers(
        (&config, &exporting.traces),
        &sources,
        &directory,
        (stores, vault, &readiness),
        (&dispatcher, &connector, ingest),
        (&sandbox, AdminKeyHash { hash: admin.hash, is_set: admin.is_set }),
        (notices, noticed, (retention, listeners.certificates()), &stop_feeding),
    );
    let serving = listeners.serve(&config, routers, &cores, delivering.files.clients);
    serving.certificates.watch(Arc::clone(&clock), &stop_feeding);
    let shutdown = ShutdownTimes::of(&config);
    let given = (config.given, addresses, &shutdown);
    let reloader = Reloader::new(given, &serving, (&directory, &health), (connector, masked_headers), &clock);
    Ok(Engine {
        reloader,
        new_admin_key: admin.generated,
        readiness,
        shutdown,
        cores,
        serving,
        stop_feeding,
        feeding,
        recorder,
        stats,
        directory,
        attempts: Attempts(dispatcher),
        stop_cores: stopping_cores.drop_guard(),
        sandbox,
        exporting,
        health,
        sources,
        database,
        node,
    })
}

impl Engine {
    /// Where the API listens.
    #[must_use]
    pub fn api(&self) -> Origin {
        self.serving.api
    }

    /// Where probes and metrics are, if they are anywhere.
    #[must_use]
    pub fn admin(&self) -> Option<Origin> {
        self.serving.admin
    }

    /// The operator's key, if it was just generated: it is shown only once.
    #[must_use]
    pub fn new_admin_key(&self) -> Option<&str> {
        self.new_admin_key.as_deref()
    }

    /// What takes over settings while the engine runs.
    #[must_use]
    pub fn reloader(&self) -> Arc<Reloader> {
        Arc::clone(&self.reloader)
    }

    /// The threads that must respond for the engine to be well.
    #[must_use]
    pub fn cores(&self) -> Arc<Cores> {
        Arc::clone(&self.cores)
    }

    /// Runs until `signal`, goes on for the delay in the settings, then shuts down.
    ///
    /// # Errors
    /// As [`Engine::shutdown`]; and if an essential part of the engine stops. Then it is as after a crash: the next start
    /// continues unfinished work.
    pub async fn run_until(mut self, signal: impl Future<Output = ()>) -> Result<()> {
        let ended = tokio::select! {
            () = stop_wanted(signal, &self.readiness, &self.shutdown) => return self.shutdown().await,
            () = self.database.ended() => "the database writer",
            () = self.recorder.ended() => "the recorder",
            _ = &mut self.feeding => "the feeder",
            _ = &mut self.serving.task => "the server",
        };
        bail!("{ended} stopped; the log says why. No accepted event is lost: start the engine again")
    }

    /// Shuts the engine down in order: no new requests, no new attempts. All of it together takes no longer than the grace
    /// period, or [`MIN_CLOSING`] where that is longer than the period's part for closing the database. The next start continues
    /// what does not finish.
    ///
    /// # Errors
    /// If the database cannot be closed properly; nothing is lost even then.
    pub async fn shutdown(self) -> Result<()> {
        let (began, grace) = (Instant::from_std(clock::monotonic()), self.shutdown.grace());
        self.readiness.drain();
        let deadline = began + grace.saturating_sub(CLOSING.min(grace / 5));
        self.attempts.0.live().close();
        // What is not begun goes to the other nodes.
        self.database.membership().drain();
        self.serving.stop.by(deadline);
        self.serving.task.await.context("the server failed")?;
        self.stop_feeding.cancel();
        // A database that does not answer may hold it up.
        if let Ok(ended) = tokio::time::timeout_at(deadline, self.feeding).await {
            ended.context("the feeder failed")?;
        }
        let Attempts(dispatcher) = &self.attempts;
        if tokio::time::timeout_at(deadline, dispatcher.drain()).await.is_err() {
            let unfinished = dispatcher.unfinished();
            tracing::warn!(
                unfinished,
                "some attempts did not finish within the shutdown's grace; they are made again"
            );
        } else {
            past::end_unused_leases(&*self.database, self.node, self.sources.now()).await;
        }
        self.sandbox.shutdown();
        self.serving.stop_admin.by(Instant::from_std(clock::monotonic()));
        if let Some(task) = self.serving.admin_task {
            task.await.context("the admin listener failed")?;
        }
        let end = (began + grace).max(Instant::from_std(clock::monotonic()) + MIN_CLOSING);
        let parts = (&*self.health, &*self.stats, &*self.directory);
        let closing = close(&*self.database, parts, &self.sources);
        // Together: attempts that used up their part of the grace have spans, too.
        let (closed, ()) = tokio::join!(tokio::time::timeout_at(end, closing), self.exporting.finish(end));
        // Not before: the database writer runs there.
        drop(self.stop_cores);
        closed.context("the database did not close within the shutdown's grace; nothing is lost")?
    }
}

/// Waits for `signal`, and from then on, not ready, until load balancers have noticed.
async fn stop_wanted(signal: impl Future<Output = ()>, readiness: &Readiness, times: &ShutdownTimes) {
    signal.await;
    readiness.drain();
    tokio::time::sleep(times.delay()).await;
}

/// Stores what is known of hooks, and closes the database.
async fn close(
    database: &dyn Database,
    (health, stats, directory): (&HookHealthMonitor, &HookStats, &Directory),
    sources: &Sources,
) -> Result<()> {
    if let Err(error) = health.sync(|_| true).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot store the health of hooks");
    }
    if let Err(error) = stats.store().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot store statistics of hooks");
    }
    if let Err(error) = directory.store_key_uses().await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "cannot store when keys were last used");
    }
    past::note_clock(database, sources.now(), &sources.trusted).await;
    delivery::log_left_out();
    database.close().await.context("cannot close the database")
}

/// Stops the start of attempts when dropped: each attempt that ends with the cores would start the next one.
struct Attempts(Arc<Dispatcher>);

impl Drop for Attempts {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_engine_ends_if_its_database_writer_stops() {
        let dir = tempfile::tempdir().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let data_dir = dir.path().join("data");
        let config = Config { data_dir, listen, admin_listen: None, ..Config::default() };
        let engine = start(config, Sockets::default()).await.unwrap();
        engine.database.close().await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), engine.run_until(std::future::pending()));
        let error = ended.await.unwrap().unwrap_err();
        assert!(error.to_string().starts_with("the database writer stopped"), "{error}");
    }
}
