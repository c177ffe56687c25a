//! Serves HTTP: accepts connections, spreads them over the cores, hands requests to the router, and drains within a bound.
//!
//! How many connections there may be, and which end to make room, is decided by [`clients`](crate::clients).

mod answer;
mod heads;
mod host;

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

use self::answer::Answer;
use self::heads::Strict;
use crate::clients::{Admitted, Client, Clients};
use crate::cores::Cores;
use crate::presence::ClientPresence;

/// Connections that the system completes before they are accepted.
const BACKLOG: u32 = 1_024;
/// A client has so long to send a request's head, and an idle connection so long to send its next.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// A client has so long to take what is sent to it, before its connection ends.
#[cfg(target_os = "linux")]
const TAKE_TIMEOUT: Duration = Duration::from_secs(60);
/// The greatest size of a request's head, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The greatest size of what is read or written at once, in bytes.
const MAX_BUFFER: usize = 64 * 1024;
/// After accepting failed for lack of something (file descriptors, usually), the next try is after this.
const AFTER_ACCEPT_FAILURE: Duration = Duration::from_millis(100);
/// How often failed logins are logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// What a client is told for whom there is no room.
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

/// Serves `clients` until `stop`, then lets requests under way finish, at most until the deadline that `stop` was given.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    cores: Arc<Cores>,
    clients: Arc<Clients>,
    stop: Stop,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).half_close(false);
    http.max_header_size(MAX_HEAD).max_buf_size(MAX_BUFFER);
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
        let Some(admitted) = clients.admit(address.ip()) else {
            // Its request may not have been read; then it sees that the connection broke.
            let _ = stream.try_write(NO_ROOM);
            continue;
        };
        // Answers are small and must not wait for acknowledgements; where it cannot be set, it is only slower.
        let _ = stream.set_nodelay(true);
        end_if_nothing_is_taken(&stream);
        let core = cores.in_turn();
        match moved(stream, core) {
            Ok(stream) => drop(core.spawn(converse(http.clone(), stream, router.clone(), admitted))),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot serve a connection");
            }
        }
    }
    drop(listener);
    if tokio::time::timeout_at(stop.deadline(), clients.end_all()).await.is_err() {
        tracing::warn!("some requests did not finish within the shutdown's grace");
    }
}

/// When to stop serving, and until when requests under way may go on.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    requested: CancellationToken,
    deadline: Arc<std::sync::OnceLock<Instant>>,
}

impl Stop {
    /// Asks to stop; what is under way may go on until `deadline`.
    pub fn by(&self, deadline: Instant) {
        let _ = self.deadline.set(deadline);
        self.requested.cancel();
    }

    async fn requested(&self) {
        self.requested.cancelled().await;
    }

    fn deadline(&self) -> Instant {
        self.deadline.get().copied().unwrap_or_else(Instant::now)
    }
}

/// Answers what one client asks on a connection, until that ends.
async fn converse(http: http1::Builder, stream: TcpStream, router: Router, admitted: Admitted) {
    let client = admitted.client();
    let service = detached(router, Arc::clone(client));
    let mut connection = pin!(http.serve_connection(TokioIo::new(Strict::new(stream)), service));
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
        // A client that breaks off or sends no HTTP is its own affair.
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended early");
    }
}

/// Has the system end the connection of a client that is gone, or that goes on asking and reads no answers. Where that
/// cannot be set, the connection lasts until its client or [`clients`](crate::clients) ends it.
#[cfg(target_os = "linux")]
fn end_if_nothing_is_taken(stream: &TcpStream) {
    let millis = u32::try_from(TAKE_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, millis);
}

#[cfg(not(target_os = "linux"))]
fn end_if_nothing_is_taken(_: &TcpStream) {}

/// A connection that is read and written on `runtime`.
fn moved(stream: TcpStream, runtime: &Handle) -> std::io::Result<TcpStream> {
    let stream = stream.into_std()?;
    let _on_it = runtime.enter();
    TcpStream::from_std(stream)
}

/// Answers the requests of one connection in tasks of their own, which run to their end even if the client goes away:
/// what is half done between disk and memory would stay so. A handler that only computes an answer stops by itself, by the
/// request's [`ClientPresence`].
fn detached(
    router: Router,
    client: Arc<Client>,
) -> impl Service<Request<Incoming>, Response = Response<Answer>, Error = Infallible, Future: Send> {
    // hyper drops the service with the connection.
    let (presence, connected) = ClientPresence::connected();
    service_fn(move |request: Request<Incoming>| {
        let _owned_here = &connected;
        client.begin_request();
        let client = Arc::clone(&client);
        let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let answering = match host::check(&request) {
            Ok(()) => Ok(tokio::spawn(router.clone().oneshot(prepared(request, &client, &presence)))),
            Err(refusal) => Err(refusal),
        };
        async move {
            let response = match answering {
                Ok(answering) => answering.await.map(|Ok(response)| response).unwrap_or_else(|error| {
                    tracing::error!(error = &error as &dyn std::error::Error, "a request's handler panicked");
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                }),
                Err(refusal) => refusal.into_response(),
            };
            Ok(Answer::of(response, client, only_reads))
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
                tokio::time::sleep(AFTER_ACCEPT_FAILURE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
