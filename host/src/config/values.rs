//! What the settings come to.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::SETTINGS;
use crate::domain::{EgressRule, ShortText};
use crate::vault::Key;

/// Every setting, read and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the database and the compiled plugins are kept.
    pub data_dir: PathBuf,
    /// Addresses of reverse proxies, each of which speaks for many clients.
    pub trusted_proxies: Vec<IpNet>,
    /// The operator's key, if the operator chose one.
    pub admin_key: Option<AdminKey>,
    /// The key that secrets in the database are encrypted with, if the operator chose one.
    pub encryption_key: Option<Key>,
    /// Encryption keys that were in use before.
    pub encryption_key_previous: Vec<Key>,
    /// What hooks may reach although it is not public.
    pub egress_allow: Vec<EgressRule>,
    /// Certificates in PEM which receivers' certificates may descend from, besides the public ones.
    pub egress_ca_file: Option<PathBuf>,
    /// Headers of requests to receivers whose values records leave out.
    pub masked_headers: Vec<ShortText>,
    /// How many requests may be on their way at once.
    pub max_in_flight: usize,
    /// The same, for one tenant.
    pub max_in_flight_per_tenant: usize,
    /// The same, for one hook.
    pub max_in_flight_per_hook: usize,
    /// How many deliveries wait in memory; the others wait on disk.
    pub queue_limit: usize,
    /// How many bytes of requests' bodies are in memory at once.
    pub request_memory_bytes: usize,
    /// How many hooks one tenant may have.
    pub max_hooks_per_tenant: usize,
    /// How much memory one tenant's hooks may take, with the settings of their plugins.
    pub max_config_bytes_per_tenant: usize,
    /// How many bytes of plugins one tenant may store, all versions counted.
    pub max_plugin_bytes_per_tenant: u64,
    /// How long a shutdown waits for requests that are on their way.
    pub shutdown_grace: Duration,
    /// How many threads run plugins.
    pub plugin_threads: usize,
    /// Fuel for one call of a plugin, before its input is counted.
    pub plugin_fuel: u64,
    /// Processor time for one call of a plugin.
    pub plugin_deadline: Duration,
    /// Linear memory for one call of a plugin.
    pub plugin_memory_bytes: usize,
    /// What is logged, as `tracing-subscriber` reads it.
    pub log: String,
    /// In which form.
    pub log_format: LogFormat,
}

impl Config {
    /// A configuration whose fields hold nothing of meaning yet.
    pub(super) fn blank() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: PathBuf::new(),
            trusted_proxies: Vec::new(),
            admin_key: None,
            encryption_key: None,
            encryption_key_previous: Vec::new(),
            egress_allow: Vec::new(),
            egress_ca_file: None,
            masked_headers: Vec::new(),
            max_in_flight: 0,
            max_in_flight_per_tenant: 0,
            max_in_flight_per_hook: 0,
            queue_limit: 0,
            request_memory_bytes: 0,
            max_hooks_per_tenant: 0,
            max_config_bytes_per_tenant: 0,
            max_plugin_bytes_per_tenant: 0,
            shutdown_grace: Duration::ZERO,
            plugin_threads: 0,
            plugin_fuel: 0,
            plugin_deadline: Duration::ZERO,
            plugin_memory_bytes: 0,
            log: String::new(),
            log_format: LogFormat::Text,
        }
    }
}

impl Default for Config {
    /// Every setting's default, and no operator's key.
    fn default() -> Self {
        let mut config = Self::blank();
        for setting in SETTINGS {
            if let Some(text) = setting.default {
                (setting.apply)(&mut config, text).expect("a test holds every default to its own rule");
            }
        }
        config
    }
}

/// In which form log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; with colours on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// The operator's key. Shown nowhere by accident, and wiped from memory.
#[derive(Clone)]
pub struct AdminKey(Zeroizing<String>);

impl AdminKey {
    /// The shortest key, in bytes.
    pub const MIN_LEN: usize = 16;
    /// The longest key, in bytes.
    pub const MAX_LEN: usize = 256;

    /// A key that fits into an `Authorization` header; none where the text does not.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (Self::MIN_LEN..=Self::MAX_LEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The key's text. Named so that the key is never shown by accident.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(…)")
    }
}
