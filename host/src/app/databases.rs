//! Which database an engine uses, and what it follows of other nodes on it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::limits::{keys, quotas};
use crate::config::Config;
use crate::delivery::{Dispatcher, members};
use crate::directory::{Directory, Followed};
use crate::domain::{Actor, SecretText};
use crate::log_limiter::LogLimiter;
use crate::private_file;
use crate::sandbox::Sandbox;
use crate::sources::Sources;
use crate::storage::postgres::{self, NodeName, PostgresOptions};
use crate::storage::sqlite::{self, IfLost};
use crate::storage::{Database, Storage};
use crate::vault::Vault;

/// How often changes of configuration by other nodes are looked for.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// Opens the database with the encryption keys of `config`. SQLite's writer runs on `writer`.
pub(super) async fn open(config: &Config, writer: &Handle) -> Result<(Arc<dyn Database>, Arc<Vault>)> {
    match &config.database {
        Some(url) => open_postgres(config, url).await.context("cannot open the PostgreSQL database"),
        None => open_sqlite(config, writer)
            .await
            .with_context(|| format!("cannot open the data directory {}", config.data_dir.display())),
    }
}

async fn open_sqlite(config: &Config, writer: &Handle) -> Result<(Arc<dyn Database>, Arc<Vault>)> {
    let if_lost = if config.init { IfLost::BeginAnew } else { IfLost::Refuse };
    let mut prepared = sqlite::prepare(&config.data_dir, if_lost).await?;
    prepared.secure_delete = config.secure_delete;
    let vault = Arc::new(Vault::open(&config.data_dir, &keys(config))?);
    let database = prepared.open(Arc::clone(&vault), Some(writer.clone())).await?;
    Ok((Arc::new(database), vault))
}

async fn open_postgres(config: &Config, url: &SecretText) -> Result<(Arc<dyn Database>, Arc<Vault>)> {
    ensure!(
        config.encryption_key.is_some() && config.admin_key.is_some(),
        "with the setting database, encryption_key and admin_key must be set, to the same values on all nodes"
    );
    private_file::create_dir(&config.data_dir)?;
    let name = NodeName::take(&config.data_dir)?;
    let vault = Arc::new(Vault::open(&config.data_dir, &keys(config))?);
    let options = PostgresOptions {
        url: url.reveal().to_owned(),
        connections: config.database_connections,
        node_name: name,
        address: config.listen.to_string(),
    };
    let database = postgres::open(options, Arc::clone(&vault)).await?;
    Ok((Arc::new(database), vault))
}

/// Loads the configuration, and pauses the engine if the operator wants that.
pub(super) async fn load_directory(
    config: &Config,
    stores: &Storage,
    sources: &Sources,
) -> Result<Arc<Directory>> {
    let (ids, clock) = (Arc::clone(&sources.ids), Arc::clone(&sources.clock));
    let directory = Directory::load_within(quotas(config), stores.clone(), ids, clock).await;
    let directory = directory.context("cannot read the database")?;
    if config.paused {
        directory.by(&Actor::ENGINE).pause_engine(true).await.context("cannot pause the engine")?;
    }
    if directory.engine_paused_since().is_some() {
        tracing::warn!(
            "the engine is paused, by an operator or after a restore: it accepts events and sends nothing until \
             `PATCH /api/v3/engine` with {{\"paused\": false}} resumes it"
        );
    }
    Ok(directory)
}

/// Follows what other nodes do, until `stop`.
pub(super) fn follow(
    database: &Arc<dyn Database>,
    directory: &Arc<Directory>,
    (dispatcher, sandbox): (&Arc<Dispatcher>, &Sandbox),
    stop: &CancellationToken,
) {
    if !database.is_shared() {
        return;
    }
    // Also while the node shuts down.
    let (shared, following_members) = (Arc::clone(database), members::follow(Arc::clone(dispatcher)));
    tokio::spawn(async move {
        tokio::select! {
            () = following_members => {}
            () = shared.ended() => {}
        }
    });
    directory.expect_changes_of_others();
    let following = follow_configuration(Arc::clone(directory), Arc::clone(dispatcher), sandbox.clone());
    tokio::spawn(stop.clone().run_until_cancelled_owned(following));
    let (database, dispatcher) = (Arc::clone(database), Arc::clone(dispatcher));
    tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
        loop {
            database.became_due().await;
            dispatcher.wake();
        }
    }));
}

/// Also compiles the plugins that a change made necessary, so that the first delivery here does not wait for the compiler.
async fn follow_configuration(directory: Arc<Directory>, dispatcher: Arc<Dispatcher>, sandbox: Sandbox) {
    let failures = LogLimiter::new();
    let mut ticks = tokio::time::interval(FOLLOW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match directory.follow().await {
            Ok(Followed { any: false, .. }) => {}
            Ok(Followed { needed, .. }) => {
                // A hook may have been enabled, or a tenant resumed.
                dispatcher.wake();
                if !needed.is_empty() {
                    let sandbox = sandbox.clone();
                    tokio::spawn(async move { sandbox.compile_ahead(needed).await });
                }
            }
            Err(error) => {
                if let Some(unlogged) = failures.permit() {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        unlogged,
                        "cannot look for changes of configuration by other nodes"
                    );
                }
            }
        }
    }
}
