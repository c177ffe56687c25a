//! Which database an engine uses, and what it follows of other nodes on it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::limits::keys;
use crate::config::Config;
use crate::delivery::{Dispatcher, members};
use crate::directory::Directory;
use crate::domain::SecretText;
use crate::private_file;
use crate::storage::Database;
use crate::storage::postgres::{self, NodeName, PostgresOptions};
use crate::storage::sqlite;
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
    let prepared = sqlite::prepare(&config.data_dir).await?;
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

/// Follows what other nodes do, until `stop`.
pub(super) fn follow(
    database: &Arc<dyn Database>,
    directory: &Arc<Directory>,
    dispatcher: &Arc<Dispatcher>,
    stop: &CancellationToken,
) {
    if !database.is_shared() {
        return;
    }
    // Also while the node shuts down.
    let (shared, following) = (Arc::clone(database), members::follow(Arc::clone(dispatcher)));
    tokio::spawn(async move {
        tokio::select! {
            () = following => {}
            () = shared.ended() => {}
        }
    });
    tokio::spawn(stop.clone().run_until_cancelled_owned(follow_configuration(Arc::clone(directory))));
    let (database, dispatcher) = (Arc::clone(database), Arc::clone(dispatcher));
    tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
        loop {
            database.became_due().await;
            dispatcher.wake();
        }
    }));
}

async fn follow_configuration(directory: Arc<Directory>) {
    let mut ticks = tokio::time::interval(FOLLOW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = directory.follow().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot look for changes of configuration by other nodes");
        }
    }
}
