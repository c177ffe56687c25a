//! The listeners of an engine: bound before anything is sent, served when the engine is whole.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::certificates::{self, Certificates, admin_files, api_files};
use super::limits::{admin_client_limits, client_limits};
use crate::api::Routers;
use crate::clients::Clients;
use crate::config::Config;
use crate::cores::Cores;
use crate::server::{self, AccessLog, Certificate, CertificateFiles, Served, Stop};
use crate::supervisor::Sockets;

/// Listeners that serve nothing yet.
pub(super) struct Listeners {
    api: Bound,
    admin: Option<Bound>,
}

struct Bound {
    listener: TcpListener,
    origin: Origin,
    certificate: Option<Arc<Certificate>>,
}

/// Where a listener is reached, such as `https://127.0.0.1:8080`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// Where it listens.
    pub address: SocketAddr,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_tls { "https" } else { "http" }, self.address)
    }
}

/// The listeners that serve.
pub(super) struct Serving {
    pub(super) api: Origin,
    pub(super) admin: Option<Origin>,
    pub(super) certificates: Certificates,
    pub(super) access_log: AccessLog,
    /// Ends the API's listener; requests under way may finish.
    pub(super) stop: Stop,
    pub(super) task: JoinHandle<()>,
    /// Ends the admin listener, last of all: what supervises the engine watches it shut down.
    pub(super) stop_admin: Stop,
    pub(super) admin_task: Option<JoinHandle<()>>,
}

impl Listeners {
    /// Binds the addresses in `config`, or takes the sockets that the service manager has bound. Reads the certificates.
    ///
    /// # Errors
    /// Says which setting is wrong, and what to do.
    pub(super) fn bind(config: &Config, sockets: Sockets) -> Result<Self> {
        let api = Bound::new("listen", config.listen, sockets.api, api_files(config))?;
        let admin = match config.admin_listen {
            Some(address) => Some(Bound::new("admin_listen", address, sockets.admin, admin_files(config))?),
            None => None,
        };
        Ok(Self { api, admin })
    }

    /// What they show.
    pub(super) fn certificates(&self) -> Certificates {
        Certificates {
            api: self.api.certificate.clone(),
            admin: self.admin.as_ref().and_then(|admin| admin.certificate.clone()),
        }
    }

    /// Where the API listens.
    pub(super) fn api_address(&self) -> SocketAddr {
        self.api.origin.address
    }

    /// All addresses. Deliveries may reach none of them.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        [Some(&self.api), self.admin.as_ref()]
            .into_iter()
            .flatten()
            .map(|bound| bound.origin.address)
            .collect()
    }

    /// Serves `routers`, the API with at most so many `connections` on the `cores`. The admin listener stays off the cores: there
    /// a scrape would hold up deliveries, and they the scrape.
    pub(super) fn serve(
        self,
        config: &Config,
        routers: Routers,
        cores: &Arc<Cores>,
        connections: usize,
    ) -> Serving {
        let certificates = self.certificates();
        let access_log = AccessLog::default();
        access_log.set(config.access_log);
        let (stop, stop_admin) = (Stop::default(), Stop::default());
        let (api, admin) = (self.api.origin, self.admin.as_ref().map(|admin| admin.origin));
        let served = Served {
            router: routers.api,
            clients: Clients::new(client_limits(config, connections, api.is_tls)),
            cores: Some(Arc::clone(cores)),
            certificate: self.api.certificate,
            access_log: access_log.clone(),
        };
        let task = tokio::spawn(server::serve(self.api.listener, served, stop.clone()));
        let logged = access_log.clone();
        let admin_task = self.admin.map(|bound| {
            let served = Served {
                router: routers.admin,
                clients: Clients::new(admin_client_limits(config, bound.origin.is_tls)),
                cores: None,
                certificate: bound.certificate,
                access_log: logged,
            };
            tokio::spawn(server::serve(bound.listener, served, stop_admin.clone()))
        });
        Serving { api, admin, certificates, access_log, stop, task, stop_admin, admin_task }
    }
}

impl Bound {
    fn new(
        setting: &'static str,
        address: SocketAddr,
        passed: Option<std::net::TcpListener>,
        files: Option<CertificateFiles>,
    ) -> Result<Self> {
        let certificate = files.as_ref().map(certificates::open).transpose()?;
        let listener = match passed {
            Some(socket) => server::adopt(socket).context("cannot use the socket of the service manager")?,
            None => server::bind(address).map_err(|error| {
                let said = cannot_listen(setting, address, &error);
                anyhow::Error::new(error).context(said)
            })?,
        };
        let address = listener.local_addr()?;
        let origin = Origin { is_tls: certificate.is_some(), address };
        Ok(Self { listener, origin, certificate })
    }
}

fn cannot_listen(setting: &str, address: SocketAddr, error: &io::Error) -> String {
    let off = if setting == "admin_listen" { ", or to `off`" } else { "" };
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another process listens there: stop it, or set `{setting}` to another address{off}")
        }
        io::ErrorKind::AddrNotAvailable => format!("this machine has no such address: change `{setting}`"),
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE: grant it, or set `{setting}` to another address"
        ),
        _ => format!("check the setting `{setting}`"),
    };
    format!("cannot listen on {address} (setting `{setting}`); {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_address_is_explained() {
        for (kind, setting, expected) in [
            (
                io::ErrorKind::AddrInUse,
                "admin_listen",
                "cannot listen on 127.0.0.1:80 (setting `admin_listen`); another process listens there: stop it, or set `admin_listen` to another address, or to `off`",
            ),
            (
                io::ErrorKind::PermissionDenied,
                "listen",
                "cannot listen on 127.0.0.1:80 (setting `listen`); ports below 1024 need the capability CAP_NET_BIND_SERVICE: grant it, or set `listen` to another address",
            ),
        ] {
            let said = cannot_listen(setting, ([127, 0, 0, 1], 80).into(), &kind.into());
            assert_eq!(said, expected);
        }
    }
}
