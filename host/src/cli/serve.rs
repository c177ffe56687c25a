//! `hookwright serve`.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::greeting::Greeting;
use super::reload;
use crate::app;
use crate::config::{Config, ConfigError};
use crate::supervisor::{self, Sockets};
use crate::telemetry;

/// Runs the engine until SIGINT or SIGTERM. A second signal exits at once, without losing accepted events. SIGHUP reads the
/// settings anew with `load`.
pub(super) async fn run(
    config: Config,
    sockets: Sockets,
    load: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    out: &mut impl Write,
) -> Result<()> {
    let stop = Stop::listen().context("cannot listen for signals")?;
    // From here on, the signal does not end the process.
    let hangups = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    supervisor::starting();
    let (data_dir, format, has_console) = (config.data_dir.clone(), config.log_format, config.console);
    let engine = app::start(config, sockets).await?;
    let (api, admin, new_key) = (engine.api(), engine.admin(), engine.new_admin_key());
    Greeting { api, admin, data_dir: &data_dir, has_console, new_key }.write(out, format)?;
    let status = format!("serving on {}", engine.api());
    supervisor::ready(&status);
    let (reloader, cores) = (engine.reloader(), engine.cores());
    let reloads = tokio::spawn(reload::on_signals(hangups, Arc::clone(&reloader), Arc::new(load), status));
    tokio::spawn(supervisor::keep_watchdog(cores));
    let signal = async {
        stop.wait().await;
        // The service manager must not read that the engine is ready again.
        reloads.abort();
        supervisor::stopping(reloader.shutdown_limit());
    };
    engine.run_until(signal).await
}

/// The signals that stop the engine.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn wait(mut self) {
        self.next().await;
        tracing::info!("shutting down");
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("second signal: exiting at once");
            telemetry::flush();
            std::process::exit(130);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
