//! Takes over changed settings at SIGHUP. Whatever happens, the engine goes on.

use std::sync::Arc;

use anyhow::Result;
use tokio::signal::unix::Signal;

use crate::app::{Change, Reloader};
use crate::config::{Config, ConfigError};
use crate::supervisor;

/// Reads the settings with `load` at each signal. `status` is what the service manager shows afterwards.
pub(super) async fn on_signals(
    mut signals: Signal,
    reloader: Arc<Reloader>,
    load: Arc<impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static>,
    status: String,
) {
    while signals.recv().await.is_some() {
        supervisor::reloading();
        let (reloader, load) = (Arc::clone(&reloader), Arc::clone(&load));
        // It reads files.
        let reloaded = tokio::task::spawn_blocking(move || reloader.reload(load()?)).await;
        match reloaded {
            Ok(reloaded) => report(reloaded),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "reading the settings anew panicked"
                );
            }
        }
        supervisor::ready(&status);
    }
}

fn report(reloaded: Result<Vec<Change>>) {
    let changes = match reloaded {
        Ok(changes) => changes,
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "cannot take over the settings; nothing has changed, and the engine goes on with those that it has"
            );
            return;
        }
    };
    for Change { setting, is_effective } in &changes {
        if *is_effective {
            tracing::info!(setting, "the changed setting is in effect");
        } else {
            tracing::warn!(setting, "the changed setting needs a restart");
        }
    }
    tracing::info!(changed = changes.len(), "settings and certificates were read anew");
}
