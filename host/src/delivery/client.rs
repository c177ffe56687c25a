//! The only place that opens outbound connections, always through the [egress policy](super::egress).

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::egress::EgressPolicy;
use crate::domain::attempt::UnreachableKind;
use crate::domain::{Outcome, Response};

/// A receiver may keep a connection idle for so long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle connections kept for each receiver.
const IDLE_PER_HOST: usize = 64;
/// A body that goes on after what is kept is read to here, so that the connection can be used again;
/// one that goes on further costs its connection.
const READ_AT_MOST: usize = 64 * 1024;
/// The greatest size of a response's head, in bytes.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;
/// Names looked up at the same time. The system's resolver cannot be interrupted, and runs on threads that
/// others need, too.
const MAX_LOOKUPS: usize = 128;
/// How much of a response's headers is kept, in bytes of names and values.
const MAX_KEPT_HEADERS: usize = 16 * 1024;

/// Sends requests. Cheap to clone.
#[derive(Clone)]
pub struct DeliveryClient {
    client: Client<HttpsConnector<EgressConnector>, Full<Bytes>>,
}

impl DeliveryClient {
    /// A client that connects where `policy` permits, and trusts what `tls` says.
    #[must_use]
    pub fn new(policy: EgressPolicy, tls: ClientConfig) -> Self {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(EgressConnector {
                policy: Arc::new(policy),
                lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            });
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .http1_max_buf_size(MAX_RESPONSE_HEAD)
            .build(connector);
        Self { client }
    }

    /// Sends one request. `timeout` is for all of it, from connecting to the last byte of the answer.
    /// Redirects are not followed.
    pub async fn send(&self, request: http::Request<Full<Bytes>>, timeout: Duration) -> Outcome {
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(Ok(response)) => Outcome::Response(response),
            Ok(Err(failure)) => Outcome::Unreachable { kind: failure.kind, message: failure.message },
            Err(_) => Outcome::TimedOut { after: timeout },
        }
    }

    async fn exchange(&self, request: http::Request<Full<Bytes>>) -> Result<Response, Unreachable> {
        let answer = self.client.request(request).await.map_err(|error| Unreachable::classify(&error))?;
        let (head, body) = answer.into_parts();
        let (body, body_truncated) =
            read_bounded(body).await.map_err(|error| Unreachable::classify(&error))?;
        Ok(Response {
            status: head.status.as_u16(),
            headers: keep_headers(&head.headers),
            body,
            body_truncated,
        })
    }
}

async fn read_bounded(mut body: Incoming) -> Result<(Vec<u8>, bool), hyper::Error> {
    let (mut kept, mut total) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = Response::MAX_KEPT_BODY - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        total += data.len();
        if total > READ_AT_MOST {
            break;
        }
    }
    Ok((kept, total > Response::MAX_KEPT_BODY))
}

fn keep_headers(headers: &http::HeaderMap) -> Vec<(String, String)> {
    let mut room = MAX_KEPT_HEADERS;
    let mut kept = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let size = name.as_str().len() + value.len();
        let Some(rest) = room.checked_sub(size) else { break };
        room = rest;
        kept.push((name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    }
    kept
}

/// Why there is no answer. Travels as the source of hyper's own error where it arose in connecting.
#[derive(Debug, Clone)]
struct Unreachable {
    kind: UnreachableKind,
    message: String,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unreachable {}

impl Unreachable {
    fn new(kind: UnreachableKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Looks through an error and its sources for the one that says most.
    fn classify(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        let mut innermost = error.to_string();
        while let Some(current) = next {
            if let Some(own) = current.downcast_ref::<Self>() {
                return own.clone();
            }
            if let Some(tls) = current.downcast_ref::<rustls::Error>() {
                return Self::new(UnreachableKind::Tls, format!("TLS: {tls}"));
            }
            innermost = current.to_string();
            // An I/O error shows its inner error's source, not the inner error itself.
            let inner = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            next = match inner {
                Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
                None => current.source(),
            };
        }
        Self::new(UnreachableKind::Protocol, innermost)
    }
}

/// Resolves, checks, connects.
#[derive(Clone)]
struct EgressConnector {
    policy: Arc<EgressPolicy>,
    lookups: Arc<Semaphore>,
}

impl tower_service::Service<Uri> for EgressConnector {
    type Response = TokioIo<TcpStream>;
    type Error = Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unreachable>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (policy, lookups) = (Arc::clone(&self.policy), Arc::clone(&self.lookups));
        Box::pin(async move { connect(&policy, lookups, &uri).await })
    }
}

async fn connect(
    policy: &EgressPolicy,
    lookups: Arc<Semaphore>,
    uri: &Uri,
) -> Result<TokioIo<TcpStream>, Unreachable> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let addresses = resolve(host, port, lookups).await?;
    let permitted: Vec<SocketAddr> = addresses.iter().copied().filter(|to| policy.permits(to.ip())).collect();
    if permitted.is_empty() {
        let shown: Vec<String> = addresses.iter().map(|to| to.ip().to_string()).collect();
        return Err(Unreachable::new(
            UnreachableKind::Refused,
            format!(
                "{host} is at {}, where the operator's egress policy lets no request go",
                shown.join(", ")
            ),
        ));
    }
    let mut failure = None;
    for address in permitted {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Small requests must not wait for acknowledgements; where it cannot be set, it is only slower.
                let _ = stream.set_nodelay(true);
                return Ok(TokioIo::new(stream));
            }
            Err(error) => failure = Some(format!("cannot connect to {address}: {error}")),
        }
    }
    Err(Unreachable::new(UnreachableKind::Connect, failure.unwrap_or_default()))
}

async fn resolve(host: &str, port: u16, lookups: Arc<Semaphore>) -> Result<Vec<SocketAddr>, Unreachable> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let failed = |what: &dyn fmt::Display| {
        Unreachable::new(UnreachableKind::Dns, format!("cannot resolve {host}: {what}"))
    };
    let place = lookups.acquire_owned().await.map_err(|error| failed(&error))?;
    let name = (host.to_owned(), port);
    let lookup = tokio::task::spawn_blocking(move || {
        // Held until the resolver returns, which it may do long after the attempt has timed out.
        let _place = place;
        (name.0.as_str(), name.1).to_socket_addrs().map(Vec::from_iter)
    });
    let addresses = lookup.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    if addresses.is_empty() {
        return Err(failed(&"the name has no address"));
    }
    Ok(addresses)
}
