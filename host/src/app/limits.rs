//! What the settings mean for each part of the engine.

use std::time::Duration;

use crate::clients::{Callers, ClientLimits, TrustedProxies};
use crate::config::{Config, OperatorApi};
use crate::delivery::DispatcherLimits;
use crate::directory::Quotas;
use crate::domain::Limit;
use crate::open_files::{self, ADMIN_CONNECTIONS, Shares};
use crate::private_file::COMPILED_DIR;
use crate::sandbox::{Compiler, Limits, SandboxConfig};
use crate::vault::Keys;

/// How many deliveries may be unfinished for each request that may be in progress. While the disk
/// takes many records at once, requests must not wait for them.
const UNFINISHED_FOR_EACH: usize = 3;

/// The memory for requests on the admin listener, and again as much for responses, in bytes.
const ADMIN_MEMORY_BYTES: usize = 16 << 20;

/// The keys that `config` gives.
#[must_use]
pub fn keys(config: &Config) -> Keys {
    Keys { current: config.encryption_key.clone(), previous: config.encryption_key_previous.clone() }
}

pub(super) fn quotas(config: &Config) -> Quotas {
    let mut limits = config.tenant_limits.clone();
    limits.set(Limit::InFlight, Some(config.max_in_flight_per_tenant as u64));
    Quotas(limits)
}

pub(super) fn dispatcher_limits(config: &Config, in_flight: usize) -> DispatcherLimits {
    // A tenant's part of all stays what it is.
    let of_tenant = config.max_in_flight_per_tenant * in_flight / config.max_in_flight;
    DispatcherLimits {
        in_flight,
        in_flight_per_tenant: config.max_in_flight_per_tenant.min(of_tenant.max(1)),
        in_flight_per_hook: config.max_in_flight_per_hook,
        unfinished: UNFINISHED_FOR_EACH * in_flight,
        queued: config.queue_limit,
        queued_per_hook: 2_000,
        queued_bytes: 64 << 20,
        lease: Duration::from_secs(15 * 60),
    }
}

/// How the files that may be open are divided.
pub(super) fn shares_of_files(config: &Config, cores: usize) -> Shares {
    let limit = open_files::raise_limit();
    let shares = Shares::of(limit, config.max_in_flight, cores);
    if shares.in_flight < config.max_in_flight {
        tracing::warn!(
            limit,
            max_in_flight = shares.in_flight,
            configured = config.max_in_flight,
            "the limit of open files is too low for `max_in_flight`: raise it (LimitNOFILE, ulimit -n)"
        );
    }
    shares
}

pub(super) fn client_limits(config: &Config, connections: usize, is_tls: bool) -> ClientLimits {
    // Connections that are ending have their files, too.
    let spare_connections = connections / 8;
    let connections = connections - spare_connections;
    ClientLimits {
        connections,
        spare_connections,
        connections_per_address: connections.div_ceil(4),
        trusted_proxies: TrustedProxies(config.trusted_proxies.clone()),
        request_bytes: config.request_memory_bytes,
        answer_bytes: config.request_memory_bytes / 5 * 3,
        callers: match config.operator_api {
            OperatorApi::WithTenants => Callers::All,
            OperatorApi::Admin => Callers::Tenants,
        },
        is_tls,
    }
}

/// The limits of the admin listener are its own, so that no client of the API keeps a probe or a scrape away.
pub(super) fn admin_client_limits(config: &Config, is_tls: bool) -> ClientLimits {
    ClientLimits {
        connections: ADMIN_CONNECTIONS - ADMIN_CONNECTIONS / 8,
        spare_connections: ADMIN_CONNECTIONS / 8,
        connections_per_address: ADMIN_CONNECTIONS / 2,
        trusted_proxies: TrustedProxies(config.trusted_proxies.clone()),
        request_bytes: ADMIN_MEMORY_BYTES,
        answer_bytes: ADMIN_MEMORY_BYTES,
        callers: Callers::Operators,
        is_tls,
    }
}

/// What `config` says about running plugins. They are compiled in processes of their own.
///
/// # Errors
/// Where this program cannot tell which it is.
pub fn sandbox_config(config: &Config) -> std::io::Result<SandboxConfig> {
    let limits = Limits {
        fuel_base: config.plugin_fuel,
        deadline_ms: u64::try_from(config.plugin_deadline.as_millis()).unwrap_or(u64::MAX),
        memory_bytes: config.plugin_memory_bytes,
        ..Limits::default()
    };
    let cache_dir = config.data_dir.join(COMPILED_DIR);
    let compiler = Compiler::subprocess()?;
    Ok(SandboxConfig { threads: config.plugin_threads, limits, compiler, ..SandboxConfig::new(cache_dir) })
}
