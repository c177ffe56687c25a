//! How requests leave the engine, as the settings say.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::config::Config;
use crate::delivery::client::{Connector, Route};
use crate::delivery::egress::EgressPolicy;
use crate::delivery::tls::{self, TlsConfigs};
use crate::directory::Directory;

/// Opens connections, but none to `listeners`, which are those of this engine.
pub(super) fn connector(
    config: &Config,
    listeners: &[SocketAddr],
    directory: &Arc<Directory>,
) -> Result<Arc<Connector>> {
    let (policy, tls, route) = parts(config, listeners, directory)?;
    Ok(Arc::new(Connector::new(policy, tls).by(route)))
}

/// What a connector needs.
pub(super) fn parts(
    config: &Config,
    listeners: &[SocketAddr],
    directory: &Arc<Directory>,
) -> Result<(EgressPolicy, TlsConfigs, Route)> {
    let tls = tls::client_config(config.egress_ca_file.as_deref());
    let tls = tls.context("cannot use the setting `egress_ca_file`")?;
    Ok((policy(config, listeners, directory), tls, route(config)?))
}

/// The egress policy: no request may lead back to this engine.
fn policy(config: &Config, listeners: &[SocketAddr], directory: &Arc<Directory>) -> EgressPolicy {
    let directory = Arc::clone(directory);
    let names = move |tenant| directory.tenant(tenant).map(|tenant| tenant.name.clone());
    EgressPolicy::new(config.egress_allow.clone(), listeners.to_vec(), Arc::new(names))
}

/// How requests leave this machine.
fn route(config: &Config) -> Result<Route> {
    let route = Route {
        proxy: config.egress_proxy.clone(),
        bypass: config.egress_proxy_bypass.clone(),
        source: config.egress_source_address,
    };
    route.check().context("cannot use the setting `egress_source_address`")?;
    Ok(route)
}
