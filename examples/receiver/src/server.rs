//! The receiver behind HTTP: answers requests and passes every arrival to a channel.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::seen::Seen;
use crate::verify::{Refused, Verifier};

/// The maximum size of a body, in bytes.
const MAX_BODY: usize = 16 << 20;
/// How many ids are remembered for each path.
const REMEMBERED: usize = 10_000;

/// The result of verifying a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Genuine and new.
    Verified,
    /// Genuine, and already processed.
    Duplicate,
    /// Not genuine, or not fresh.
    Refused(Refused),
}

impl Verdict {
    /// The status of the answer. A duplicate is a success, so that the sender does not send it again.
    fn status(&self) -> StatusCode {
        match self {
            Self::Verified | Self::Duplicate => StatusCode::NO_CONTENT,
            Self::Refused(_) => StatusCode::UNAUTHORIZED,
        }
    }
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The result of verifying it.
    pub verdict: Verdict,
}

/// One hook's secrets, and the ids that it has delivered.
struct Endpoint {
    verifier: Verifier,
    seen: Mutex<Seen>,
}

/// Receives webhooks on one address.
pub struct Receiver {
    listener: TcpListener,
    by_path: HashMap<String, Arc<Endpoint>>,
    any_path: Option<Arc<Endpoint>>,
}

impl Receiver {
    /// Listens on `address`. Connections wait until [`Self::serve`] runs.
    ///
    /// # Errors
    /// Fails if the address cannot be bound.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, by_path: HashMap::new(), any_path: None })
    }

    /// The bound address, with its port.
    ///
    /// # Errors
    /// Fails if the operating system cannot tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts requests to `path`, such as `/orders`, that `verifier` accepts.
    #[must_use]
    pub fn at(mut self, path: &str, verifier: Verifier) -> Self {
        self.by_path.insert(path.to_owned(), Arc::new(Endpoint::new(verifier)));
        self
    }

    /// Accepts requests to every other path that `verifier` accepts.
    #[must_use]
    pub fn anywhere(mut self, verifier: Verifier) -> Self {
        self.any_path = Some(Arc::new(Endpoint::new(verifier)));
        self
    }

    /// Serves until `arrivals` is closed or the future is dropped.
    ///
    /// # Errors
    /// Fails if no more connections can be accepted.
    pub async fn serve(self, arrivals: mpsc::Sender<Arrival>) -> io::Result<()> {
        let Self { listener, by_path, any_path } = self;
        let by_path = Arc::new(by_path);
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = tokio::select! {
                accepted = listener.accept() => accepted?,
                Some(_) = connections.join_next() => continue,
                () = arrivals.closed() => return Ok(()),
            };
            let (by_path, any_path, arrivals) = (Arc::clone(&by_path), any_path.clone(), arrivals.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let endpoint = by_path.get(request.uri().path()).or(any_path.as_ref()).cloned();
                let arrivals = arrivals.clone();
                async move { Ok::<_, Infallible>(answer(request, endpoint, arrivals).await) }
            });
            connections.spawn(async move {
                // If a connection breaks, its sender tries again.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }
}

impl Endpoint {
    fn new(verifier: Verifier) -> Self {
        Self { verifier, seen: Mutex::new(Seen::new(REMEMBERED)) }
    }

    fn judge(&self, headers: &HeaderMap, body: &[u8]) -> Verdict {
        match self.verifier.verify(headers, body, unix_now_s()) {
            Err(refused) => Verdict::Refused(refused),
            Ok(id) => {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.first_time(id) { Verdict::Verified } else { Verdict::Duplicate }
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    endpoint: Option<Arc<Endpoint>>,
    arrivals: mpsc::Sender<Arrival>,
) -> Response<Empty<Bytes>> {
    let Some(endpoint) = endpoint else { return empty(StatusCode::NOT_FOUND) };
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return empty(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let body = body.to_bytes();
    let verdict = endpoint.judge(&head.headers, &body);
    let status = verdict.status();
    let path = head.uri.path().to_owned();
    let arrival = Arrival { method: head.method, path, headers: head.headers, body, verdict };
    match arrivals.send(arrival).await {
        Ok(()) => empty(status),
        Err(_) => empty(StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn empty(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

fn unix_now_s() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the ban is for the engine; a receiver reads its own clock"
    )]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
