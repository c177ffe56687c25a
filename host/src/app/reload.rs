//! Takes over settings while the engine runs: all that can be, or nothing if one of them is wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::certificates::{Certificates, admin_files, api_files};
use super::listeners::Serving;
use super::{egress, hook_states};
use crate::clock::Clock;
use crate::config::{Config, Given};
use crate::delivery::client::Connector;
use crate::delivery::{HookHealthMonitor, MaskedHeaders};
use crate::directory::Directory;
use crate::server::{AccessLog, Certificate, CertificateFiles, LoadedCertificate};
use crate::telemetry;

/// The settings that take effect at once. Those of certificates do, too, on a listener that speaks TLS already.
const RELOADED: [&str; 15] = [
    "access_log",
    "circuit_attempts",
    "circuit_failure_percent",
    "circuit_max_open_ms",
    "circuit_open_ms",
    "disable_after_ms",
    "egress_allow",
    "egress_ca_file",
    "egress_proxy",
    "egress_proxy_bypass",
    "egress_source_address",
    "log",
    "masked_headers",
    "shutdown_delay_ms",
    "shutdown_grace_ms",
];

/// What a shutdown may take beyond its grace: flushing the log, and closing the database if the grace is short.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(2);

/// A setting that has changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub setting: &'static str,
    /// Whether it has taken effect. Otherwise it needs a restart.
    pub is_effective: bool,
}

/// Takes over settings.
pub struct Reloader {
    /// What was given for each setting.
    given: Mutex<Given>,
    listeners: Vec<SocketAddr>,
    directory: Arc<Directory>,
    connector: Arc<Connector>,
    masked_headers: Arc<MaskedHeaders>,
    health: Arc<HookHealthMonitor>,
    certificates: Certificates,
    access_log: AccessLog,
    shutdown: Arc<ShutdownTimes>,
    clock: Arc<dyn Clock>,
}

/// The times of a shutdown, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct ShutdownTimes {
    delay: AtomicU64,
    grace: AtomicU64,
}

impl ShutdownTimes {
    pub(super) fn of(config: &Config) -> Arc<Self> {
        let this = Arc::<Self>::default();
        this.set(config);
        this
    }

    /// How long the engine serves after it was told to stop.
    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay.load(Relaxed))
    }

    /// How long the shutdown after that may take.
    pub(super) fn grace(&self) -> Duration {
        Duration::from_millis(self.grace.load(Relaxed))
    }

    fn set(&self, config: &Config) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.delay.store(millis(config.shutdown_delay), Relaxed);
        self.grace.store(millis(config.shutdown_grace), Relaxed);
    }
}

impl Reloader {
    /// Of an engine that listens on these addresses and was `given` these texts.
    pub(super) fn new(
        (given, listeners, shutdown): (Given, Vec<SocketAddr>, &Arc<ShutdownTimes>),
        serving: &Serving,
        (directory, health): (&Arc<Directory>, &Arc<HookHealthMonitor>),
        (connector, masked_headers): (Arc<Connector>, Arc<MaskedHeaders>),
        clock: &Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Self {
            given: given.into(),
            listeners,
            directory: Arc::clone(directory),
            connector,
            masked_headers,
            health: Arc::clone(health),
            certificates: serving.certificates.clone(),
            access_log: serving.access_log.clone(),
            shutdown: Arc::clone(shutdown),
            clock: Arc::clone(clock),
        })
    }

    /// How long a shutdown takes at most.
    #[must_use]
    pub fn shutdown_limit(&self) -> Duration {
        self.shutdown.delay() + self.shutdown.grace() + SHUTDOWN_MARGIN
    }

    /// Takes over what can be taken over of `new`, and reads the certificates anew. Returns which settings have changed.
    ///
    /// # Errors
    /// If one of its files cannot be used. Then nothing has changed.
    pub fn reload(&self, new: Config) -> Result<Vec<Change>> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        // All that can fail comes first.
        let (api, admin) = (&self.certificates.api, &self.certificates.admin);
        let api = read(api.as_ref(), api_files(&new)).context("cannot use the certificate of `listen`")?;
        let admin = read(admin.as_ref(), admin_files(&new))
            .context("cannot use the certificate of `admin_listen`")?;
        let (policy, tls, route) = egress::parts(&new, &self.listeners, &self.directory)?;
        telemetry::set_filter(&new.log)?;

        let changed = new.given.differences(&given);
        for (certificate, loaded) in [&api, &admin].into_iter().flatten() {
            certificate.replace(loaded.clone());
        }
        self.connector.replace(policy, tls, route);
        self.masked_headers.replace(new.masked_headers.clone());
        self.health.replace_rules(hook_states::rules(&new));
        self.shutdown.set(&new);
        self.access_log.set(new.access_log);
        self.certificates.warn_of_expiry(self.clock.now());
        let (is_api_tls, is_admin_tls) = (api.is_some(), admin.is_some());
        let is_effective = |setting: &str| match setting {
            "tls_cert_file" | "tls_key_file" => is_api_tls,
            "admin_tls_cert_file" | "admin_tls_key_file" => is_admin_tls,
            _ => RELOADED.contains(&setting),
        };
        *given = new.given;
        Ok(changed
            .into_iter()
            .map(|setting| Change { setting, is_effective: is_effective(setting) })
            .collect())
    }
}

/// Reads the files of a listener that speaks TLS.
fn read(
    current: Option<&Arc<Certificate>>,
    files: Option<CertificateFiles>,
) -> Result<Option<(Arc<Certificate>, LoadedCertificate)>> {
    let (Some(current), Some(files)) = (current, files) else { return Ok(None) };
    Ok(Some((Arc::clone(current), LoadedCertificate::read(&files)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;

    #[test]
    fn the_settings_page_says_what_takes_effect_at_once() {
        let page = include_str!("../../docs/settings.md");
        let (_, section) = page.split_once("## Changing settings while the engine runs\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        for name in RELOADED {
            assert!(Setting::named(name).is_some(), "{name} is no setting");
            assert!(section.contains(&format!("`{name}`")), "{name}");
        }
    }
}
