//! How connections leave this machine: from which address, and through which proxy.
//!
//! The engine resolves names and checks addresses itself, and has the proxy connect to an address that was checked. A proxy
//! that resolved names would be the only one to check them.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::domain::egress_route::{EgressProxy, SourceAddresses};
use crate::domain::{EgressRule, TenantId};

use super::endpoint::Endpoint;
use super::lookup::{Lookups, NotFound};
use super::own_failure::ProxyFailure;

/// How long a connection to the proxy may take. It is in the operator's network.
const REACH_PROXY_WITHIN: Duration = Duration::from_secs(5);
/// The most bytes of a proxy's response.
const MAX_RESPONSE: usize = 16 * 1024;

/// See the module's head. The default connects directly, from an address that the system chooses.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// The proxy.
    pub proxy: Option<EgressProxy>,
    /// Targets to which connections go without the proxy. Rules for single tenants do not count.
    pub bypass: Vec<EgressRule>,
    /// Where connections come from.
    pub source: SourceAddresses,
}

fn failed(what: impl fmt::Display) -> io::Error {
    io::Error::other(ProxyFailure(format!("the egress proxy failed: {what}")))
}

impl Route {
    /// Checks that this machine has the source addresses.
    ///
    /// # Errors
    /// If one cannot be used.
    pub fn check(&self) -> io::Result<()> {
        for address in self.source.iter() {
            UdpSocket::bind((address, 0))
                .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        }
        Ok(())
    }

    /// Connects to `address`, which was checked, for a request of `tenant` to `endpoint`. While it connects to the proxy,
    /// `reaching_proxy` is set: if the request's time ends then, the receiver had none of it.
    ///
    /// # Errors
    /// If that is not possible. A failure of the proxy is a [`ProxyFailure`].
    pub(super) async fn connect(
        &self,
        lookups: &std::sync::Arc<Lookups>,
        tenant: TenantId,
        endpoint: &Endpoint,
        address: SocketAddr,
        reaching_proxy: &AtomicBool,
    ) -> io::Result<TcpStream> {
        let is_direct = |rule: &EgressRule| rule.tenant().is_none() && rule.covers(&endpoint.host, address);
        match &self.proxy {
            Some(proxy) if !self.bypass.iter().any(is_direct) => {
                reaching_proxy.store(true, Relaxed);
                let reached = self.reach(lookups, tenant, proxy);
                let reached = tokio::time::timeout(REACH_PROXY_WITHIN, reached).await;
                reaching_proxy.store(false, Relaxed);
                let late = |_| failed(format!("no connection within {} s", REACH_PROXY_WITHIN.as_secs()));
                let mut stream = reached.map_err(late)??;
                open_tunnel(&mut stream, proxy, address).await?;
                Ok(stream)
            }
            _ => self.dial(address).await,
        }
    }

    /// Connects to the proxy. Its addresses are the operator's, so no policy applies.
    async fn reach(
        &self,
        lookups: &std::sync::Arc<Lookups>,
        tenant: TenantId,
        proxy: &EgressProxy,
    ) -> io::Result<TcpStream> {
        let addresses = match proxy.host.parse() {
            Ok(address) => vec![SocketAddr::new(address, proxy.port)],
            Err(_) => {
                let found = lookups.find(tenant, &proxy.host).await.map_err(|why| match why {
                    NotFound::Own(failure) => failed(failure),
                    NotFound::Name(what) => failed(format!("cannot resolve {}: {what}", proxy.host)),
                })?;
                found.iter().map(|address| SocketAddr::new(address.ip(), proxy.port)).collect()
            }
        };
        let mut last = failed(format!("{} has no address", proxy.host));
        for address in addresses {
            match self.dial(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    last = failed(format!("cannot connect to {}:{}: {error}", proxy.host, proxy.port));
                }
            }
        }
        Err(last)
    }

    /// Connects directly.
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let Some(source) = self.source.towards(address.ip()) else {
            if self.source.iter().next().is_none() {
                return TcpStream::connect(address).await;
            }
            return Err(io::Error::other("the operator has set no source address of this family"));
        };
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(source, 0))?;
        socket.connect(address).await
    }
}

/// Has the proxy connect to `target`.
async fn open_tunnel(stream: &mut TcpStream, proxy: &EgressProxy, target: SocketAddr) -> io::Result<()> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(secret) = &proxy.authorization {
        request.push_str("Proxy-Authorization: ");
        request.push_str(secret.reveal());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let request = zeroize::Zeroizing::new(request);
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut response = Vec::with_capacity(512);
    let end = loop {
        if let Some(end) = response.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        if response.len() >= MAX_RESPONSE {
            return Err(failed("its response has no end"));
        }
        if stream.read_buf(&mut response).await.map_err(failed)? == 0 {
            return Err(failed("it closed the connection"));
        }
    };
    match status(&response) {
        Some(200..=299) if end == response.len() => Ok(()),
        // It passed on what the other end sent, which does not speak HTTP.
        Some(200..=299) => Err(io::Error::other("the receiver sent data before the request")),
        Some(407) => Err(failed("it answered 407: it does not accept the credentials in `egress_proxy`")),
        Some(status) => Err(io::Error::other(format!("the operator's proxy answered {status}"))),
        None => Err(failed("its response is not HTTP")),
    }
}

fn status(response: &[u8]) -> Option<u16> {
    let line = response.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let (version, rest) = line.split_once(' ')?;
    version.strip_prefix("HTTP/1.")?;
    rest.get(..3)?.parse().ok()
}
