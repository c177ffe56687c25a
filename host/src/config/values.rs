//! The configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderMap;
use ipnet::IpNet;
use url::Url;
use zeroize::Zeroizing;

use super::given::Given;
use crate::domain::egress_route::{EgressProxy, SourceAddresses};
use crate::domain::{EgressRule, SecretText, ShortText, TenantLimits};
use crate::vault::Key;

/// The validated settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address and port on which the API listens; port 0 selects a free port.
    pub listen: SocketAddr,
    /// The certificate of that listener, if it serves TLS.
    pub tls_cert_file: Option<PathBuf>,
    /// The private key of the certificate.
    pub tls_key_file: Option<PathBuf>,
    /// The address and port of probes and metrics, if there are any.
    pub admin_listen: Option<SocketAddr>,
    /// The certificate of that listener, if it serves TLS.
    pub admin_tls_cert_file: Option<PathBuf>,
    /// The private key of the certificate.
    pub admin_tls_key_file: Option<PathBuf>,
    /// Whether some figures are exported by tenant.
    pub metrics_per_tenant: bool,
    /// Where operators' keys are accepted.
    pub operator_api: OperatorApi,
    /// Whether the console is served.
    pub console: bool,
    /// Where browsers reach the console, for links.
    pub console_url: Option<String>,
    /// The origins of pages that may show the console in a frame.
    pub console_frame_ancestors: Vec<String>,
    /// The directory of the database and the compiled plugins.
    pub data_dir: PathBuf,
    /// The URL of the PostgreSQL database, if the database is not in the data directory.
    pub database: Option<SecretText>,
    /// The maximum number of connections to that database.
    pub database_connections: u32,
    /// The networks of reverse proxies, whose connections carry requests of many clients.
    pub trusted_proxies: Vec<IpNet>,
    /// The operator's key, if it is set.
    pub admin_key: Option<AdminKey>,
    /// The key that encrypts secrets in the database, if it is set.
    pub encryption_key: Option<Key>,
    /// Former encryption keys.
    pub encryption_key_previous: Vec<Key>,
    /// Non-public targets that hooks may reach.
    pub egress_allow: Vec<EgressRule>,
    /// A PEM file of certificates that are trusted for receivers, in addition to the public authorities.
    pub egress_ca_file: Option<PathBuf>,
    /// A proxy through which requests to receivers go.
    pub egress_proxy: Option<EgressProxy>,
    /// What is reached without the proxy.
    pub egress_proxy_bypass: Vec<EgressRule>,
    /// The addresses from which requests to receivers come.
    pub egress_source_address: SourceAddresses,
    /// The name by which handshakes ask receivers to allow deliveries.
    pub handshake_origin: Option<String>,
    /// Request headers whose values are masked in attempts.
    pub masked_headers: Vec<ShortText>,
    /// The maximum number of concurrent requests to receivers.
    pub max_in_flight: usize,
    /// The maximum number of concurrent requests to receivers for one tenant.
    pub max_in_flight_per_tenant: usize,
    /// The maximum number of concurrent requests to the receiver of one hook.
    pub max_in_flight_per_hook: usize,
    /// The maximum number of deliveries that wait in memory; further ones wait on disk.
    pub queue_limit: usize,
    /// The memory for request bodies, in bytes.
    pub request_memory_bytes: usize,
    /// The limits of tenants that have none of their own.
    pub tenant_limits: TenantLimits,
    /// Whether the engine is paused at the start.
    pub paused: bool,
    /// Whether a lost database is replaced by an empty one. No setting: only `serve --init` sets it, for one start.
    pub init: bool,
    /// The share of a hook's last attempts, in percent, that must fail for its circuit to open.
    pub circuit_failure_percent: Option<u32>,
    /// The number of attempts that count for a circuit.
    pub circuit_attempts: u32,
    /// How long a circuit is open at first.
    pub circuit_open: Duration,
    /// How long a circuit is open at most.
    pub circuit_max_open: Duration,
    /// After how long without a success a hook is disabled.
    pub disable_after: Option<Duration>,
    /// How often a tenant gets an operational event of one kind about one hook.
    pub operational_event_interval: Duration,
    /// For how long events are kept, with all that belongs to them; `None`: for ever.
    pub retain_events: Option<Duration>,
    /// For how long attempts are kept; `None`: as long as their events.
    pub retain_attempts: Option<Duration>,
    /// For how long the bodies of requests and responses are kept; `None`: as long as their attempts.
    pub retain_bodies: Option<Duration>,
    /// For how long the ids and idempotency keys of events are known, at least.
    pub retain_ids: Duration,
    /// Whether the database overwrites what is deleted with zeros.
    pub secure_delete: bool,
    /// How long entries of the audit log are kept.
    pub retain_audit_log: Option<Duration>,
    /// How long the engine serves after it was told to stop.
    pub shutdown_delay: Duration,
    /// How long a shutdown waits for requests in progress.
    pub shutdown_grace: Duration,
    /// The number of threads that run plugins.
    pub plugin_threads: usize,
    /// The fuel for one call of a plugin, before the supplement for large inputs.
    pub plugin_fuel: u64,
    /// The maximum CPU time of one call of a plugin.
    pub plugin_deadline: Duration,
    /// The maximum linear memory of one call of a plugin, in bytes.
    pub plugin_memory_bytes: usize,
    /// The log filter, in the syntax of `tracing-subscriber`.
    pub log: String,
    /// Whether requests are logged.
    pub access_log: bool,
    /// The format of log lines.
    pub log_format: LogFormat,
    /// To which traces are exported.
    pub otlp_endpoint: Option<Url>,
    /// Headers of requests to the collector.
    pub otlp_headers: HeaderMap,
    /// The share of traces that begin in the engine and are recorded.
    pub otlp_sample_ratio: f64,
    /// The texts that these values come from.
    pub given: Given,
}

impl Config {
    /// A configuration with placeholder values, which [`load()`](super::load()) replaces.
    pub(super) fn placeholder() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls_cert_file: None,
            tls_key_file: None,
            admin_listen: None,
            admin_tls_cert_file: None,
            admin_tls_key_file: None,
            metrics_per_tenant: false,
            operator_api: OperatorApi::WithTenants,
            console: false,
            console_url: None,
            console_frame_ancestors: Vec::new(),
            data_dir: PathBuf::new(),
            database: None,
            database_connections: 0,
            trusted_proxies: Vec::new(),
            admin_key: None,
            encryption_key: None,
            encryption_key_previous: Vec::new(),
            egress_allow: Vec::new(),
            egress_ca_file: None,
            egress_proxy: None,
            egress_proxy_bypass: Vec::new(),
            egress_source_address: SourceAddresses::default(),
            handshake_origin: None,
            masked_headers: Vec::new(),
            max_in_flight: 0,
            max_in_flight_per_tenant: 0,
            max_in_flight_per_hook: 0,
            queue_limit: 0,
            request_memory_bytes: 0,
            tenant_limits: TenantLimits::default(),
            paused: false,
            init: false,
            circuit_failure_percent: None,
            circuit_attempts: 0,
            circuit_open: Duration::ZERO,
            circuit_max_open: Duration::ZERO,
            disable_after: None,
            operational_event_interval: Duration::ZERO,
            retain_events: None,
            retain_attempts: None,
            retain_bodies: None,
            retain_ids: Duration::ZERO,
            secure_delete: false,
            retain_audit_log: None,
            shutdown_delay: Duration::ZERO,
            shutdown_grace: Duration::ZERO,
            plugin_threads: 0,
            plugin_fuel: 0,
            plugin_deadline: Duration::ZERO,
            plugin_memory_bytes: 0,
            log: String::new(),
            access_log: false,
            log_format: LogFormat::Text,
            otlp_endpoint: None,
            otlp_headers: HeaderMap::new(),
            otlp_sample_ratio: 0.0,
            given: Given::default(),
        }
    }
}

/// Where operators' keys are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorApi {
    /// On the listener of the API, as tenants' keys.
    WithTenants,
    /// On the admin listener only, where tenants' keys are not accepted.
    Admin,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people, with colors on a terminal.
    Text,
    /// One JSON object per line.
    Json,
}

/// The operator's key. `Debug` does not show it, and dropping it clears the memory.
#[derive(Clone)]
pub struct AdminKey(Zeroizing<String>);

impl AdminKey {
    /// The minimum length of a key, in bytes.
    pub const MIN_LEN: usize = 16;
    /// The maximum length of a key, in bytes.
    pub const MAX_LEN: usize = 256;

    /// Creates a key; `None` if the text has a wrong length or characters that an `Authorization` header
    /// cannot contain.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (Self::MIN_LEN..=Self::MAX_LEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text of the key.
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
