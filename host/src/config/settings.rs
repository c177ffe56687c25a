//! The table of settings. Parts of it that belong together have a file each.

mod listeners;
mod retention;
mod tracing;

use super::setting::{Setting, setting};
use super::values::Config;
use super::{read, tenant_limits};
use crate::domain::Retention;

impl Setting {
    /// The name of the command line option, without the leading dashes.
    #[must_use]
    pub fn option(&self) -> String {
        option_of(self.name)
    }

    /// The name of the environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        variable_of(self.name)
    }

    /// The setting with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        settings().find(|setting| setting.name == name)
    }

    /// Of a secret setting, the name of the one that names a file with its value: `admin_key_file` for `admin_key`.
    #[must_use]
    pub fn file_name(&self) -> Option<&'static str> {
        self.secret.then_some(self.file_name)
    }

    /// The name of the setting `name`, if it names a file with a secret.
    pub(super) fn file_named(name: &str) -> Option<&'static str> {
        settings().filter_map(Self::file_name).find(|file| *file == name)
    }
}

/// The command line option of a setting, without the leading dashes.
pub fn option_of(name: &str) -> String {
    name.replace('_', "-")
}

/// The environment variable of a setting.
pub fn variable_of(name: &str) -> String {
    format!("HOOKWRIGHT_{}", name.to_ascii_uppercase())
}

/// All settings, in the order of the help and of `host/docs/settings.md`.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    [listeners::SETTINGS, SETTINGS, retention::SETTINGS, tracing::SETTINGS].into_iter().flatten()
}

const MIB: usize = 1 << 20;

impl Default for Config {
    /// The defaults of all settings.
    fn default() -> Self {
        let mut config = Self::placeholder();
        for setting in settings() {
            if let Some(text) = setting.default {
                (setting.apply)(&mut config, text).expect("a test checks that every default is valid");
            }
        }
        config
    }
}

/// The settings that are in no other part.
static SETTINGS: &[Setting] = &[
    setting!(
        "data_dir",
        "DIR",
        Some("./hookwright-data"),
        "The directory of the database and the compiled plugins",
        data_dir = read::path
    ),
    Setting {
        secret: true,
        ..setting!(
            "database",
            "URL",
            None,
            "A PostgreSQL database, which several nodes may share, such as `postgres://user@host/name`. Without it, the data directory has an SQLite database",
            database = |text| read::database(text).map(Some)
        )
    },
    setting!(
        "database_connections",
        "NUMBER",
        Some("20"),
        "The maximum number of connections to a PostgreSQL database",
        database_connections = |text| read::number(text, 4..=1_000)
    ),
    Setting {
        list: true,
        ..setting!(
            "trusted_proxies",
            "NETWORKS",
            Some("127.0.0.0/8,::1"),
            "Networks and addresses of reverse proxies, which are exempt from the limits per address and whose `X-Forwarded-For` is trusted",
            trusted_proxies = read::networks
        )
    },
    Setting {
        secret: true,
        ..setting!(
            "admin_key",
            "KEY",
            None,
            "The operator's key, 16 to 256 visible ASCII characters. Without it, the first start generates a key and shows it once",
            admin_key = |text| read::admin_key(text).map(Some)
        )
    },
    Setting {
        secret: true,
        ..setting!(
            "encryption_key",
            "KEY",
            None,
            "The key that encrypts secrets in the database, 32 bytes in base64. Without it, the first start generates a key in the data directory",
            encryption_key = |text| read::encryption_key(text).map(Some)
        )
    },
    Setting {
        secret: true,
        list: true,
        ..setting!(
            "encryption_key_previous",
            "KEYS",
            None,
            "Former encryption keys, needed until `hookwright rekey` has run",
            encryption_key_previous = read::encryption_keys
        )
    },
    Setting {
        list: true,
        ..setting!(
            "egress_allow",
            "NETWORKS",
            None,
            "Networks, addresses and host names that hooks may reach although they are not public, optionally limited to a port or a tenant: `10.0.0.0/8`, `db.internal:443`, `shop.example=10.1.2.3`",
            egress_allow = read::egress_rules
        )
    },
    setting!(
        "egress_ca_file",
        "FILE",
        None,
        "A PEM file of certificates that are trusted for receivers, in addition to the public authorities",
        egress_ca_file = |text| read::path(text).map(Some)
    ),
    Setting {
        secret: true,
        ..setting!(
            "egress_proxy",
            "URL",
            None,
            "An HTTP proxy through which requests to receivers go, such as `http://user:password@proxy.internal:3128`. The engine resolves names, checks addresses, and sends `CONNECT` with an address",
            egress_proxy = |text| read::egress_proxy(text).map(Some)
        )
    },
    Setting {
        list: true,
        ..setting!(
            "egress_proxy_bypass",
            "TARGETS",
            None,
            "Networks, addresses and host names that are reached without the proxy, written as in `egress_allow`, without tenants",
            egress_proxy_bypass = read::egress_targets
        )
    },
    Setting {
        list: true,
        ..setting!(
            "egress_source_address",
            "ADDRESSES",
            None,
            "The addresses of this machine from which requests to receivers come: at most one IPv4 and one IPv6 address. Without it, the system chooses",
            egress_source_address = read::source_addresses
        )
    },
    setting!(
        "handshake_origin",
        "NAME",
        None,
        "The DNS name by which hooks with a handshake ask their receivers to allow deliveries. Without it, that is the tenant's name if it is a DNS name, and otherwise `hookwright`",
        handshake_origin = |text| read::dns_name(text).map(Some)
    ),
    Setting {
        list: true,
        ..setting!(
            "masked_headers",
            "NAMES",
            None,
            "Request headers whose values are masked in attempts, in addition to headers whose name indicates a secret and those that hooks list",
            masked_headers = read::header_names
        )
    },
    setting!(
        "max_in_flight",
        "COUNT",
        Some("512"),
        "The maximum number of concurrent requests to receivers",
        max_in_flight = |text| read::number(text, 1..=65_536)
    ),
    setting!(
        "max_in_flight_per_tenant",
        "COUNT",
        Some("256"),
        "The maximum number of concurrent requests to receivers for one tenant",
        max_in_flight_per_tenant = |text| read::number(text, 1..=65_536)
    ),
    setting!(
        "max_in_flight_per_hook",
        "COUNT",
        Some("64"),
        "The maximum number of concurrent requests to the receiver of one hook, of all nodes on one database together",
        max_in_flight_per_hook = |text| read::number(text, 1..=65_536)
    ),
    setting!(
        "queue_limit",
        "COUNT",
        Some("40000"),
        "The maximum number of deliveries that wait in memory; further ones wait on disk",
        queue_limit = |text| read::number(text, 1..=10_000_000)
    ),
    setting!(
        "request_memory_bytes",
        "BYTES",
        Some("83886080"),
        "The memory for request bodies, at most two fifths of it for one tenant. Responses to slow clients may use another three fifths of this size",
        request_memory_bytes = |text| read::number(text, 8 * MIB..=65_536 * MIB)
    ),
    tenant_limits::HOOKS,
    tenant_limits::SETTINGS_BYTES,
    tenant_limits::PLUGIN_BYTES,
    tenant_limits::KEYS,
    tenant_limits::PROJECTS,
    tenant_limits::CHANGES_PER_DAY,
    tenant_limits::EVENTS_PER_SECOND,
    tenant_limits::STORAGE_BYTES,
    tenant_limits::FUEL_PER_MINUTE,
    setting!(
        "paused",
        "BOOL",
        Some("false"),
        "Whether the engine, which is all nodes on its database, is paused at the start: it accepts events and sends nothing until `PATCH /api/v3/engine` resumes it",
        paused = read::boolean
    ),
    setting!(
        "circuit_failure_percent",
        "PERCENT",
        Some("90"),
        "The share of a hook's last attempts that must fail for its circuit to open, which holds its deliveries; `off`: circuits do not open",
        circuit_failure_percent = |text| read::or_off(text, |text| read::number(text, 1..=100))
    ),
    setting!(
        "circuit_attempts",
        "COUNT",
        Some("20"),
        "The number of a hook's last attempts that count for its circuit",
        circuit_attempts = |text| read::number(text, 5..=64)
    ),
    setting!(
        "circuit_open_ms",
        "MS",
        Some("30000"),
        "How long a circuit is open before one delivery probes the receiver; each failed probe doubles it",
        circuit_open = |text| read::millis(text, 100..=86_400_000)
    ),
    setting!(
        "circuit_max_open_ms",
        "MS",
        Some("600000"),
        "The longest time between two probes",
        circuit_max_open = |text| read::millis(text, 100..=86_400_000)
    ),
    setting!(
        "disable_after_ms",
        "MS",
        Some("432000000"),
        "A hook without a successful attempt and without a change for this long is disabled when another attempt fails; `off`: never",
        disable_after = |text| read::or_off(text, |text| read::millis(text, 1..=31_536_000_000))
    ),
    setting!(
        "operational_event_interval_ms",
        "MS",
        Some("600000"),
        "How often a tenant gets an operational event of one kind about one hook, at most",
        operational_event_interval = |text| read::millis(text, 1..=86_400_000)
    ),
    setting!(
        "retain_audit_log_s",
        "SECONDS",
        Some("34560000"),
        "How long entries of the audit log are kept, by default 400 days; `off`: for ever",
        retain_audit_log =
            |text| read::or_off(text, |text| read::seconds(text, 3_600..=Retention::MAX.as_secs()))
    ),
    setting!(
        "shutdown_delay_ms",
        "MS",
        Some("0"),
        "How long the engine goes on serving after it was told to stop, while `/readyz` and `/health` say that it is not ready, so that load balancers send it nothing more",
        shutdown_delay = |text| read::millis(text, 0..=600_000)
    ),
    setting!(
        "shutdown_grace_ms",
        "MS",
        Some("10000"),
        "How long a shutdown waits for requests in progress",
        shutdown_grace = |text| read::millis(text, 0..=600_000)
    ),
    setting!(
        "plugin_threads",
        "COUNT",
        Some("auto"),
        "The number of threads that run plugins; `auto` is one per core",
        plugin_threads = read::threads
    ),
    setting!(
        "plugin_fuel",
        "FUEL",
        Some("50000000"),
        "The fuel for one call of a plugin, about one unit per instruction; larger inputs get more",
        plugin_fuel = |text| read::number(text, 100_000..=100_000_000_000)
    ),
    setting!(
        "plugin_deadline_ms",
        "MS",
        Some("500"),
        "The maximum CPU time of one call of a plugin",
        plugin_deadline = |text| read::millis(text, 1..=60_000)
    ),
    setting!(
        "plugin_memory_bytes",
        "BYTES",
        Some("67108864"),
        "The maximum linear memory of one call of a plugin",
        plugin_memory_bytes = |text| read::number(text, MIB..=1024 * MIB)
    ),
    setting!(
        "log",
        "FILTER",
        Some("info"),
        "The log filter, such as `warn` or `info,hookwright::delivery=debug`",
        log = read::log_filter
    ),
    setting!(
        "access_log",
        "BOOL",
        Some("false"),
        "Whether a line is logged for each request to the API, without its query, and each response has the id of its request",
        access_log = read::boolean
    ),
    setting!(
        "log_format",
        "FORM",
        Some("text"),
        "The format of log lines, and of all else that `serve` writes: `text` or `json`",
        log_format = read::log_format
    ),
];
