//! The table of settings.

use super::read;
use super::values::Config;

/// One setting.
pub struct Setting {
    /// Its name in `hookwright.toml`.
    pub name: &'static str,
    /// What stands for its value in the help.
    pub value_name: &'static str,
    /// Its default, as it would be written; none if it has none.
    pub default: Option<&'static str>,
    /// What it is for.
    pub help: &'static str,
    /// Whether its value must not be shown.
    pub secret: bool,
    /// Whether it takes a list: the option may then stand more than once.
    pub list: bool,
    /// Reads a text into the configuration; else says what is allowed.
    pub(super) apply: fn(&mut Config, &str) -> Result<(), String>,
}

impl Setting {
    /// Its name on the command line, without the dashes in front.
    #[must_use]
    pub fn option(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Its name in the environment.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("HOOKWRIGHT_{}", self.name.to_ascii_uppercase())
    }

    /// The setting with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }
}

/// A setting whose text is read by `$read` into the field `$field`.
macro_rules! setting {
    ($name:literal, $value_name:literal, $default:expr, $help:literal, $field:ident = $read:expr) => {
        Setting {
            name: $name,
            value_name: $value_name,
            default: $default,
            help: $help,
            secret: false,
            list: false,
            apply: |config, text| {
                let read: fn(&str) -> Result<_, String> = $read;
                config.$field = read(text)?;
                Ok(())
            },
        }
    };
}

const MIB: usize = 1 << 20;

/// All of them, in the order in which help and `host/docs/settings.md` show them.
pub static SETTINGS: &[Setting] = &[
    setting!(
        "listen",
        "ADDRESS",
        Some("127.0.0.1:8080"),
        "Where the API listens; port 0 takes a free one",
        listen = read::listen
    ),
    setting!(
        "data_dir",
        "DIR",
        Some("./hookwright-data"),
        "Where the database and the compiled plugins are kept",
        data_dir = read::path
    ),
    Setting {
        list: true,
        ..setting!(
            "trusted_proxies",
            "NETWORKS",
            Some("127.0.0.0/8,::1"),
            "Reverse proxies: the limits for one address do not hold for them, and `X-Forwarded-For` is believed",
            trusted_proxies = read::networks
        )
    },
    Setting {
        secret: true,
        ..setting!(
            "admin_key",
            "KEY",
            None,
            "The operator's key; without one, the first start makes one and shows it once",
            admin_key = |text| read::admin_key(text).map(Some)
        )
    },
    Setting {
        secret: true,
        ..setting!(
            "encryption_key",
            "KEY",
            None,
            "What secrets in the database are encrypted with, 32 bytes in base64; without one, the first start puts one into the data directory",
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
            "Encryption keys that were in use before, until `hookwright rekey` has run",
            encryption_key_previous = read::encryption_keys
        )
    },
    Setting {
        list: true,
        ..setting!(
            "egress_allow",
            "NETWORKS",
            None,
            "Networks, addresses and host names that hooks may reach although they are not public, each with a port and for one tenant if you like: `10.0.0.0/8`, `db.internal:443`, `shop.example=10.1.2.3`",
            egress_allow = read::egress_rules
        )
    },
    setting!(
        "egress_ca_file",
        "FILE",
        None,
        "Certificates in PEM which receivers may have, or theirs may descend from, besides the public ones",
        egress_ca_file = |text| read::path(text).map(Some)
    ),
    Setting {
        list: true,
        ..setting!(
            "masked_headers",
            "NAMES",
            None,
            "Headers of requests whose values attempts do not show, besides those that carry secrets by their name and those that hooks name",
            masked_headers = read::header_names
        )
    },
    setting!(
        "max_in_flight",
        "COUNT",
        Some("512"),
        "How many requests may be on their way at once",
        max_in_flight = |text| read::number(text, 1..=65_536)
    ),
    setting!(
        "max_in_flight_per_tenant",
        "COUNT",
        Some("256"),
        "The same, for one tenant",
        max_in_flight_per_tenant = |text| read::number(text, 1..=65_536)
    ),
    setting!(
        "max_in_flight_per_hook",
        "COUNT",
        Some("64"),
        "The same, for one hook",
        max_in_flight_per_hook = |text| read::number(text, 1..=65_536)
    ),
    setting!(
        "queue_limit",
        "COUNT",
        Some("40000"),
        "How many deliveries wait in memory; the others wait on disk",
        queue_limit = |text| read::number(text, 1..=10_000_000)
    ),
    setting!(
        "request_memory_bytes",
        "BYTES",
        Some("83886080"),
        "Bodies of requests in memory at once; a tenant has at most two fifths, and answers that wait for slow readers have three fifths beside",
        request_memory_bytes = |text| read::number(text, 8 * MIB..=65_536 * MIB)
    ),
    setting!(
        "max_hooks_per_tenant",
        "COUNT",
        Some("10000"),
        "How many hooks one tenant may have",
        max_hooks_per_tenant = |text| read::number(text, 1..=1_000_000)
    ),
    setting!(
        "max_config_bytes_per_tenant",
        "BYTES",
        Some("33554432"),
        "How much memory one tenant's hooks may take, with the settings of their plugins",
        max_config_bytes_per_tenant = |text| read::number(text, MIB..=1024 * MIB)
    ),
    setting!(
        "max_plugin_bytes_per_tenant",
        "BYTES",
        Some("1073741824"),
        "How many bytes of plugins one tenant may store, all versions counted",
        max_plugin_bytes_per_tenant = |text| read::number(text, 1 << 20..=1 << 40)
    ),
    setting!(
        "shutdown_grace_ms",
        "MS",
        Some("10000"),
        "How long a shutdown waits for requests that are on their way",
        shutdown_grace = |text| read::millis(text, 0..=600_000)
    ),
    setting!(
        "plugin_threads",
        "COUNT",
        Some("auto"),
        "How many threads run plugins; `auto` is one for each core",
        plugin_threads = read::threads
    ),
    setting!(
        "plugin_fuel",
        "FUEL",
        Some("50000000"),
        "Fuel (about one instruction each) for one call of a plugin; larger inputs are granted more",
        plugin_fuel = |text| read::number(text, 100_000..=100_000_000_000)
    ),
    setting!(
        "plugin_deadline_ms",
        "MS",
        Some("500"),
        "Processor time for one call of a plugin",
        plugin_deadline = |text| read::millis(text, 1..=60_000)
    ),
    setting!(
        "plugin_memory_bytes",
        "BYTES",
        Some("67108864"),
        "Linear memory for one call of a plugin",
        plugin_memory_bytes = |text| read::number(text, MIB..=1024 * MIB)
    ),
    setting!(
        "log",
        "FILTER",
        Some("info"),
        "What is logged, such as `warn` or `info,hookwright::delivery=debug`",
        log = read::log_filter
    ),
    setting!("log_format", "FORM", Some("text"), "`text` or `json`", log_format = read::log_format),
];
