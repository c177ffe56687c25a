//! `hookwright serve`.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload;
use super::style::{BAD, FAINT, HEAD, PLAIN};
use crate::app::{self, Origin};
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
    let data_dir = config.data_dir.clone();
    let engine = app::start(config, sockets).await?;
    greet(out, (engine.api(), engine.admin()), &data_dir, engine.new_admin_key())?;
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

fn greet(
    out: &mut impl Write,
    (api, admin): (Origin, Option<Origin>),
    data_dir: &Path,
    new_key: Option<&str>,
) -> io::Result<()> {
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    writeln!(out, "{HEAD}Hookwright {}{PLAIN}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  listening on  {api}")?;
    if let Some(admin) = admin {
        writeln!(out, "  admin on      {admin}")?;
    }
    writeln!(out, "  data in       {}", data_dir.display())?;
    writeln!(out, "  API           {api}/api/v3/openapi.json")?;
    if let Some(key) = new_key {
        writeln!(out)?;
        writeln!(out, "  {BAD}The operator's key, shown only once:{PLAIN} {HEAD}{key}{PLAIN}")?;
        writeln!(
            out,
            "  {FAINT}Save it: the engine stores only its hash. HOOKWRIGHT_ADMIN_KEY sets another key.{PLAIN}"
        )?;
    }
    out.flush()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(new_key: Option<&str>) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        let api = Origin { is_tls: false, address: ([127, 0, 0, 1], 8080).into() };
        let admin = Origin { is_tls: true, address: ([127, 0, 0, 1], 8081).into() };
        greet(&mut out, (api, Some(admin)), Path::new("/var/lib/hookwright"), new_key).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn the_greeting_contains_the_addresses_and_the_directory() {
        let greeting = greeting(None);
        assert!(greeting.contains("listening on  http://127.0.0.1:8080\n"), "{greeting}");
        assert!(greeting.contains("admin on      https://127.0.0.1:8081\n"), "{greeting}");
        assert!(greeting.contains("data in       /var/lib/hookwright\n"), "{greeting}");
        assert!(!greeting.contains("key"), "{greeting}");
    }

    #[test]
    fn a_generated_key_is_shown() {
        assert!(greeting(Some("hwk_1")).contains("shown only once: hwk_1\n"));
    }
}
