//! Resolves names, checks addresses, and connects.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::connection::{Connection, Permit};
use super::endpoint::Endpoint;
use super::lookup::{Lookups, NotFound};
use super::own_failure::{FailureLog, OwnFailure};
use super::request::Sender;
use super::route::Route;
use super::socket::Socket;
use super::stream::{Stream, Transport};
use super::unreachable::{NoResponse, Unreachable};
use crate::delivery::egress::{EgressPolicy, is_global};
use crate::delivery::tls::TlsConfigs;
use crate::domain::TenantId;
use crate::domain::attempt::UnreachableKind;
use crate::domain::hook_tls::HookTls;

/// The greatest size of a response's head, in bytes.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;
/// How long an address has before the next one is tried. The last one has all the time that is left.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_secs(3);
/// The most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Opens connections, for any number of clients.
pub struct Connector {
    egress: RwLock<Arc<Egress>>,
    /// The generation of `egress`, which is compared for every exchange.
    generation: AtomicU64,
    lookups: Arc<Lookups>,
    failures: FailureLog,
}

/// What the operator says of connections to receivers. It is replaced as a whole.
struct Egress {
    policy: EgressPolicy,
    tls: Arc<TlsConfigs>,
    route: Route,
    generation: u64,
}

impl Connector {
    /// Connects to what `policy` permits, with the TLS settings `tls`. Names are resolved by the system.
    #[must_use]
    pub fn new(policy: EgressPolicy, tls: TlsConfigs) -> Self {
        Self::resolving(policy, tls, Lookups::by_the_system())
    }

    pub(super) fn resolving(policy: EgressPolicy, tls: TlsConfigs, lookups: Arc<Lookups>) -> Self {
        let egress = Egress { policy, tls: Arc::new(tls), route: Route::default(), generation: 0 };
        Self {
            egress: RwLock::new(Arc::new(egress)),
            generation: AtomicU64::new(0),
            lookups,
            failures: FailureLog::default(),
        }
    }

    /// Connects by `route`.
    #[must_use]
    pub fn by(self, route: Route) -> Self {
        let Egress { policy, tls, generation, .. } = &*self.egress();
        let egress = Egress { policy: policy.clone(), tls: Arc::clone(tls), route, generation: *generation };
        Self { egress: RwLock::new(Arc::new(egress)), ..self }
    }

    /// Opens all further connections like this. Those that are open serve no further request.
    pub fn replace(&self, policy: EgressPolicy, tls: TlsConfigs, route: Route) {
        let mut egress = self.egress.write().unwrap_or_else(PoisonError::into_inner);
        let generation = egress.generation + 1;
        *egress = Arc::new(Egress { policy, tls: Arc::new(tls), route, generation });
        self.generation.store(generation, Relaxed);
    }

    fn egress(&self) -> Arc<Egress> {
        Arc::clone(&self.egress.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Which connections may serve further requests.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// Logs a failure of the engine itself, at intervals.
    pub(super) fn report(&self, failure: &OwnFailure) {
        self.failures.report(failure);
    }

    /// Opens a connection to `endpoint` for a request of `sender`. While it connects to the proxy, `reaching_proxy` is set.
    ///
    /// # Errors
    /// Fails if that is not possible, or if the policy refuses it.
    pub(super) async fn connect(
        &self,
        sender: &Sender<'_>,
        endpoint: Endpoint,
        reaching_proxy: &AtomicBool,
    ) -> Result<Box<Connection>, NoResponse> {
        let (egress, tenant) = (self.egress(), sender.tenant);
        let (stream, address) = self.open(&egress, tenant, &endpoint, reaching_proxy).await?;
        let is_private = !egress.policy.is_for_all_tenants(&endpoint.host, address);
        let socket = Socket::new(stream);
        let transport = match endpoint.https {
            false => Transport::Plain(socket),
            true => {
                Transport::Tls(Box::new(egress.secure(socket, &endpoint.host, (tenant, sender.tls)).await?))
            }
        };
        let (stream, intake) = Stream::new(transport);
        let parts =
            http1::Builder::new().max_buf_size(MAX_RESPONSE_HEAD).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = parts.map_err(|error| Unreachable::classify(&error))?;
        let permit = Permit { tenant, is_private, generation: egress.generation };
        Ok(Box::new(Connection::new(permit, Arc::new(endpoint), sender, connection, intake)))
    }

    /// Connects to the very address that was checked, and returns it.
    async fn open(
        &self,
        egress: &Egress,
        tenant: TenantId,
        endpoint: &Endpoint,
        reaching_proxy: &AtomicBool,
    ) -> Result<(TcpStream, SocketAddr), NoResponse> {
        let permitted = self.permitted(egress, tenant, endpoint).await?;
        let connect = move |address| async move {
            let route = &egress.route;
            let stream = route.connect(&self.lookups, tenant, endpoint, address, reaching_proxy).await?;
            Ok((stream, address))
        };
        let (stream, address) = first_that_answers(endpoint, &permitted, NEXT_ADDRESS_AFTER, connect).await?;
        // Small requests must not wait for acknowledgements. If it cannot be set, requests are only slower.
        let _ = stream.set_nodelay(true);
        Ok((stream, address))
    }

    /// Returns why no request of `tenant` can go to `url`: its name cannot be resolved, or the policy refuses its addresses.
    /// Connects to nothing. Also returns `None` if the engine itself fails to find out.
    pub async fn refusal(&self, tenant: TenantId, url: &str) -> Option<String> {
        let endpoint = match url.parse() {
            Ok(uri) => Endpoint::of(&uri, None),
            Err(_) => return Some(format!("`{url}` is not a URL that a request can be sent to")),
        };
        let permitted = match endpoint {
            Ok(endpoint) => self.permitted(&self.egress(), tenant, &endpoint).await,
            Err(unusable) => Err(unusable.into()),
        };
        match permitted {
            Err(NoResponse::Unreachable(unreachable)) => Some(unreachable.message),
            Ok(_) | Err(_) => None,
        }
    }

    /// The addresses that may be tried.
    async fn permitted(
        &self,
        egress: &Egress,
        tenant: TenantId,
        endpoint: &Endpoint,
    ) -> Result<Vec<SocketAddr>, NoResponse> {
        let host = &endpoint.host;
        let addresses = self.resolve(tenant, host, endpoint.port).await?;
        let mut permitted = addresses.clone();
        permitted.retain(|to| egress.policy.permits(tenant, host, *to));
        if permitted.is_empty() {
            // What a name stands for in the operator's network is the operator's to know, not the tenant's.
            tracing::debug!(%tenant, %host, ?addresses, "the egress policy refused a receiver's addresses");
            let message = format!("{host} has no address that the operator's egress policy allows");
            return Err(Unreachable::new(UnreachableKind::Refused, message).into());
        }
        permitted.truncate(MAX_ADDRESSES);
        Ok(permitted)
    }

    async fn resolve(&self, tenant: TenantId, host: &str, port: u16) -> Result<Vec<SocketAddr>, NoResponse> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = self.lookups.find(tenant, host).await.map_err(|why| match why {
            NotFound::Own(failure) => NoResponse::Own(failure),
            NotFound::Name(what) => {
                Unreachable::new(UnreachableKind::Dns, format!("cannot resolve {host}: {what}")).into()
            }
        })?;
        let with_port = |address: &SocketAddr| {
            let mut address = *address;
            address.set_port(port);
            address
        };
        Ok(found.iter().map(with_port).collect())
    }
}

impl Egress {
    async fn secure(
        &self,
        socket: Socket,
        host: &str,
        (tenant, tls): (TenantId, Option<&HookTls>),
    ) -> Result<tokio_rustls::client::TlsStream<Socket>, Unreachable> {
        let config = match tls {
            Some(tls) => self.tls.of_hook(tenant, tls).map_err(|error| Unreachable::of_handshake(&error))?,
            None => Arc::clone(self.tls.common()),
        };
        let name =
            ServerName::try_from(host.to_owned()).map_err(|error| Unreachable::of_handshake(&error))?;
        TlsConnector::from(config)
            .connect(name, socket)
            .await
            .map_err(|error| Unreachable::of_handshake(&error))
    }
}

/// Connects to the first of `addresses` that accepts, in order. Each but the last has `next_after` to answer.
///
/// # Errors
/// Fails if none accepts. If one of the failures is the engine's own, that is returned, because the others say little then.
async fn first_that_answers<S, F: Future<Output = io::Result<S>>>(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    next_after: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<S, NoResponse> {
    let (mut failures, mut own) = (Vec::new(), None);
    for (left, address) in (0..addresses.len()).rev().zip(addresses) {
        let connecting = connect(*address);
        let connected = match left {
            0 => Ok(connecting.await),
            _ => tokio::time::timeout(next_after, connecting).await,
        };
        let failure = match connected {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                own = own.or_else(|| OwnFailure::of_connecting(*address, &error));
                error.to_string()
            }
            Err(_) => format!("no response within {} seconds", next_after.as_secs()),
        };
        failures.push(format!("cannot connect to {}: {failure}", shown(endpoint, *address)));
    }
    Err(match own {
        Some(own) => own.into(),
        None => Unreachable::new(UnreachableKind::Connect, failures.join("; ")).into(),
    })
}

/// How an address is shown to tenants, who must not learn to which private addresses a name resolves.
fn shown(endpoint: &Endpoint, address: SocketAddr) -> String {
    if is_global(address.ip()) || endpoint.host.parse::<IpAddr>().is_ok() {
        return address.to_string();
    }
    format!("{}:{}", endpoint.host, endpoint.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address with port 1 drops packets, with port 2 it refuses, with port 6 no file descriptor is left. Others accept,
    /// with port 3 after a while.
    async fn connect(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            1 => return std::future::pending().await,
            2 => return Err(io::ErrorKind::ConnectionRefused.into()),
            3 => tokio::time::sleep(Duration::from_millis(20)).await,
            6 => return Err(rustix::io::Errno::MFILE.into()),
            _ => {}
        }
        Ok(address.port())
    }

    async fn first_of(host: &str, ports: &[u16]) -> Result<u16, String> {
        let addresses: Vec<_> = ports.iter().map(|port| SocketAddr::from(([10, 0, 0, 1], *port))).collect();
        let endpoint = Endpoint { https: false, host: host.into(), port: 80, identity: None };
        first_that_answers(&endpoint, &addresses, Duration::ZERO, connect).await.map_err(|why| match why {
            NoResponse::Unreachable(why) => format!("{}: {}", why.kind, why.message),
            NoResponse::Own(failure) => format!("own: {failure}"),
        })
    }

    #[tokio::test]
    async fn an_address_that_drops_packets_leaves_time_for_the_next() {
        assert_eq!(first_of("10.0.0.1", &[1, 2, 4, 5]).await, Ok(4));
        let why = first_of("10.0.0.1", &[1, 2]).await.unwrap_err();
        assert!(
            why.starts_with("connect: cannot connect to 10.0.0.1:1: no response within 0 seconds; "),
            "{why}"
        );
        assert!(why.contains("; cannot connect to 10.0.0.1:2: "), "{why}");
    }

    #[tokio::test]
    async fn the_last_address_has_all_the_time_that_is_left() {
        assert_eq!(first_of("10.0.0.1", &[3]).await, Ok(3));
        assert_eq!(first_of("10.0.0.1", &[1, 3]).await, Ok(3));
    }

    #[tokio::test]
    async fn a_failure_does_not_tell_what_a_private_name_stands_for() {
        let why = first_of("db.internal", &[2]).await.unwrap_err();
        assert!(why.starts_with("connect: cannot connect to db.internal:80: "), "{why}");
    }

    #[tokio::test]
    async fn without_descriptors_it_is_the_engines_own_failure() {
        let why = first_of("10.0.0.1", &[6, 2]).await.unwrap_err();
        assert!(why.starts_with("own: cannot open a connection: Too many open files"), "{why}");
        assert_eq!(first_of("10.0.0.1", &[6, 4]).await, Ok(4));
    }
}
