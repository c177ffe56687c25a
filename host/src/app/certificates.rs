//! The certificates of the listeners.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::UnixMillis;
use crate::server::{Certificate, CertificateFiles, LoadedCertificate};

/// How often the engine looks whether a certificate expires.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(12 * 3600);
/// So many days before, it says so.
const EXPIRES_SOON_DAYS: i64 = 14;
const DAY_MS: i64 = 86_400_000;

/// The certificates that the listeners show.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    pub(super) api: Option<Arc<Certificate>>,
    pub(super) admin: Option<Arc<Certificate>>,
}

impl Certificates {
    /// Logs from time to time that a certificate expires soon, until `stop`.
    pub(super) fn watch(&self, clock: Arc<dyn Clock>, stop: &CancellationToken) {
        if self.api.is_none() && self.admin.is_none() {
            return;
        }
        let certificates = self.clone();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            let mut ticks = tokio::time::interval(EXPIRY_INTERVAL);
            loop {
                ticks.tick().await;
                certificates.warn_of_expiry(clock.now());
            }
        }));
    }

    /// When the certificate of each listener expires, by the name of its setting.
    pub fn expiries(&self) -> impl Iterator<Item = (&'static str, UnixMillis)> {
        let all = [("listen", self.api.as_ref()), ("admin_listen", self.admin.as_ref())];
        all.into_iter().filter_map(|(name, certificate)| Some((name, certificate?.expires_at()?)))
    }

    pub(super) fn warn_of_expiry(&self, now: UnixMillis) {
        for (listener, expires_at) in self.expiries() {
            if expires_at.0 - now.0 < EXPIRES_SOON_DAYS * DAY_MS {
                let days_left = (expires_at.0 - now.0).div_euclid(DAY_MS);
                tracing::warn!(
                    listener,
                    days_left,
                    "the certificate expires soon or has expired: replace its files and send SIGHUP"
                );
            }
        }
    }
}

/// Reads the files of a certificate, which can be exchanged from then on.
pub(super) fn open(files: &CertificateFiles) -> Result<Arc<Certificate>> {
    let loaded = LoadedCertificate::read(files).context("cannot use the certificate")?;
    Ok(Arc::new(Certificate::new(loaded).context("cannot set up TLS")?))
}

/// The files of the API's certificate.
pub(super) fn api_files(config: &Config) -> Option<CertificateFiles> {
    files(config.tls_cert_file.as_ref(), config.tls_key_file.as_ref())
}

/// The files of the admin listener's certificate.
pub(super) fn admin_files(config: &Config) -> Option<CertificateFiles> {
    files(config.admin_tls_cert_file.as_ref(), config.admin_tls_key_file.as_ref())
}

fn files(chain: Option<&PathBuf>, key: Option<&PathBuf>) -> Option<CertificateFiles> {
    Some(CertificateFiles { chain: chain?.clone(), key: key?.clone() })
}
