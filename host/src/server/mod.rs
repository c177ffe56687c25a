//! Serves HTTP: accepts connections, spreads them over the cores, hands requests to the router, and drains within a deadline.
//!
//! [`clients`](crate::clients) decides how many connections there may be, and which end to make room.

mod access_log;
mod certificate;
mod heads;
mod host;
mod response_body;
mod stream;
mod timing;
mod tls;
mod transport;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub use self::access_log::AccessLog;
pub use self::certificate::{Certificate, CertificateError, CertificateFiles, LoadedCertificate};
use self::response_body::ResponseBody;
use self::stream::ClientStream;
use self::timing::Timing;
use self::transport::Transport;
use crate::clients::{Admitted, Client, Clients};
use crate::clock;
use crate::cores::Cores;
use crate::presence::ClientPresence;

/// Connections that the system completes before they are accepted.
const BACKLOG: u32 = 1_024;
/// How long a client may take to send a request's head, and how long an idle connection stays open.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection ends if its client acknowledges nothing of what was sent for this long.
#[cfg(target_os = "linux")]
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// The greatest size of a request's head, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The most that is read or written at once, in bytes.
const MAX_BUFFER: usize = 64 * 1024;
/// The pause after accepting failed for lack of something, usually file descriptors.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// How often failed logins are logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// The response on a connection that is refused.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Listens on `address`.
///
/// # Errors
/// If the address cannot be listened on.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for connections of the process before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes over a listening socket.
///
/// # Errors
/// If the system refuses it.
pub fn adopt(socket: std::net::TcpListener) -> std::io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

/// What a listener serves, and where.
pub struct Served {
    /// What answers requests.
    pub router: Router,
    /// Who may be connected.
    pub clients: Arc<Clients>,
    /// The cores over which connections are spread. Without them they stay on the current runtime.
    pub cores: Option<Arc<Cores>>,
    /// The certificate, if the listener speaks TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// Whether requests are logged.
    pub access_log: AccessLog,
}

/// Serves clients until `stop`. Requests under way may then finish until the deadline that `stop` was given.
pub async fn serve(listener: TcpListener, served: Served, stop: Stop) {
    let clients = Arc::clone(&served.clients);
    let server = Server::new(served);
    let mut reports = tokio::time::interval(REPORT_INTERVAL);
    loop {
        let (stream, address) = tokio::select! {
            () = stop.requested() => break,
            _ = reports.tick() => {
                clients.report_failed_logins();
                continue;
            }
            accepted = accept(&listener) => accepted,
        };
        match clients.admit(address.ip()) {
            Some(admitted) => server.serve_on_core(stream, admitted),
            // A client that expects TLS could not read it.
            None if server.certificate.is_some() => {}
            // Its request may not have been read, and then the client only sees that the connection broke.
            None => drop(stream.try_write(NO_ROOM)),
        }
    }
    drop(listener);
    if tokio::time::timeout_at(stop.deadline(), clients.end_all()).await.is_err() {
        tracing::warn!("some requests did not finish within the shutdown's grace");
    }
}

/// What every connection is served with.
struct Server {
    http: http1::Builder,
    router: Router,
    cores: Option<Arc<Cores>>,
    certificate: Option<Arc<Certificate>>,
    access_log: AccessLog,
}

impl Server {
    fn new(Served { router, cores, certificate, access_log, .. }: Served) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).half_close(false);
        http.max_header_size(MAX_HEAD).max_buf_size(MAX_BUFFER);
        Self { http, router, cores, certificate, access_log }
    }

    fn serve_on_core(&self, stream: TcpStream, admitted: Admitted) {
        // Responses are small and must not wait for acknowledgements. If it cannot be set, they are only slower.
        let _ = stream.set_nodelay(true);
        set_send_timeout(&stream);
        let (http, certificate) = (self.http.clone(), self.certificate.clone());
        let handling = (self.router.clone(), self.access_log.clone());
        let conversation = |stream| async move {
            let transport = match &certificate {
                Some(certificate) => tls::secured(stream, certificate, &admitted).await,
                None => Some(Transport::Plain(stream)),
            };
            if let Some(transport) = transport {
                converse(http, transport, handling, admitted).await;
            }
        };
        let Some(core) = self.cores.as_ref().map(|cores| cores.round_robin()) else {
            drop(tokio::spawn(conversation(stream)));
            return;
        };
        match moved(stream, core) {
            Ok(stream) => drop(core.spawn(conversation(stream))),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot serve a connection");
            }
        }
    }
}

/// When to stop serving, and how long requests under way may go on.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    requested: CancellationToken,
    deadline: Arc<std::sync::OnceLock<Instant>>,
}

impl Stop {
    /// Asks to stop; requests under way may go on until `deadline`.
    pub fn by(&self, deadline: Instant) {
        let _ = self.deadline.set(deadline);
        self.requested.cancel();
    }

    async fn requested(&self) {
        self.requested.cancelled().await;
    }

    fn deadline(&self) -> Instant {
        self.deadline.get().copied().unwrap_or_else(|| clock::monotonic().into())
    }
}

/// Serves the requests on a connection until that ends.
async fn converse(
    http: http1::Builder,
    transport: Transport,
    handling: (Router, AccessLog),
    admitted: Admitted,
) {
    let client = admitted.client();
    let service = detached(handling, Arc::clone(client));
    let stream = TokioIo::new(ClientStream::new(transport, Arc::clone(client)));
    let mut connection = pin!(http.serve_connection(stream, service));
    let mut is_told = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => break ended,
            () = admitted.told_to_end(), if !is_told => {
                if client.is_idle() {
                    return;
                }
                is_told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        // Clients break off, or send what is no HTTP; the engine has nothing to mend.
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended early");
    }
}

/// Has the system end the connection of a client that is gone, or that sends requests and reads no responses. If it cannot be set, the
/// connection lasts until its client or [`clients`](crate::clients) ends it.
#[cfg(target_os = "linux")]
fn set_send_timeout(stream: &TcpStream) {
    let millis = u32::try_from(SEND_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, millis);
}

#[cfg(not(target_os = "linux"))]
fn set_send_timeout(_: &TcpStream) {}

/// A connection that is read and written on `runtime`.
fn moved(stream: TcpStream, runtime: &Handle) -> std::io::Result<TcpStream> {
    let stream = stream.into_std()?;
    let _on_it = runtime.enter();
    TcpStream::from_std(stream)
}

/// Runs the handlers of one connection in tasks of their own, which run to their end even if the client goes away: a change that
/// is half made, between disk and memory, would stay so. A handler that only computes a response stops by itself, by the
/// request's [`ClientPresence`].
fn detached(
    (router, access_log): (Router, AccessLog),
    client: Arc<Client>,
) -> impl Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible, Future: Send> {
    // hyper drops the service with the connection.
    let (presence, connected) = ClientPresence::connected();
    service_fn(move |mut request: Request<Incoming>| {
        let _owned_here = &connected;
        let number = client.begin_request();
        let client = Arc::clone(&client);
        let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
        // hyper drops these with the future if the connection ends before the response begins.
        let timing = Timing::begin(&request);
        let entry = access_log.entry(&mut request, &client);
        let handling = match host::check(&request) {
            Ok(()) => Ok(tokio::spawn(router.clone().oneshot(prepared(request, &client, &presence)))),
            Err(problem) => Err(problem),
        };
        async move {
            let response = match handling {
                Ok(handling) => handling.await.map(|Ok(response)| response).unwrap_or_else(|error| {
                    tracing::error!(error = &error as &dyn std::error::Error, "a request's handler panicked");
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                }),
                Err(problem) => problem.into_response(),
            };
            let mut response = ResponseBody::of(response, client, (number, only_reads));
            timing.answered(response.status());
            if let Some(mut entry) = entry {
                entry.answered(&mut response);
                response.body_mut().log(entry);
            }
            Ok(response)
        }
    })
}

/// A request as its handler gets it.
fn prepared(request: Request<Incoming>, client: &Arc<Client>, presence: &ClientPresence) -> Request<Body> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(Arc::clone(client));
    request.extensions_mut().insert(presence.clone());
    request
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
