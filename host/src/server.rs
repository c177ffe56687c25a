//! Serves HTTP: accepts connections, spreads them over the cores, hands requests to the router, and drains within a bound.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::cores::Cores;
use crate::presence::ClientPresence;

/// Connections at the same time; the next ones wait to be accepted.
const MAX_CONNECTIONS: usize = 10_000;
/// A client has so long to send a request's head, and an idle connection so long to send its next.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// A client has so long to take what is sent to it, before its connection ends.
#[cfg(target_os = "linux")]
const TAKE_TIMEOUT: Duration = Duration::from_secs(60);
/// The greatest size of a request's head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// After accepting failed for lack of something (file descriptors, usually), the next try is after this.
const AFTER_ACCEPT_FAILURE: Duration = Duration::from_millis(100);

/// Listens on `address`.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop`, then lets requests under way finish for at most `grace`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    cores: Arc<Cores>,
    stop: CancellationToken,
    grace: Duration,
) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD).half_close(false);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = GracefulShutdown::new();
    loop {
        let (stream, permit) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        // Answers are small and must not wait for acknowledgements; where it cannot be set, it is only slower.
        let _ = stream.set_nodelay(true);
        end_if_nothing_is_taken(&stream);
        let service = detached(router.clone());
        let core = cores.in_turn();
        let stream = match moved(stream, core) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot serve a connection");
                continue;
            }
        };
        let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
        core.spawn(async move {
            if let Err(error) = connection.await {
                // A client that breaks off or sends no HTTP is its own affair.
                tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, connections.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish within the shutdown's grace");
    }
}

/// Has the system end the connection of a client that is gone, or that goes on asking and reads no answers. Where that
/// cannot be set, the connection is one of [`MAX_CONNECTIONS`] until its client ends it.
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
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    // hyper drops the service with the connection.
    let (presence, connected) = ClientPresence::connected();
    service_fn(move |request: Request<Incoming>| {
        let _owned_here = &connected;
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(presence.clone());
        let answering = tokio::spawn(router.clone().oneshot(request));
        async move {
            Ok(match answering.await {
                Ok(Ok(response)) => response,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a request's handler panicked");
                    StatusCode::INTERNAL_SERVER_ERROR.into_response()
                }
            })
        }
    })
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(permits).acquire_owned().await else { std::future::pending().await };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                tokio::time::sleep(AFTER_ACCEPT_FAILURE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::AsyncWriteExt as _;
    use tokio::sync::mpsc;

    use super::*;

    /// A server whose handler at `/` tells that it has begun, and then, that its client is gone.
    async fn serving(stop: &CancellationToken) -> (SocketAddr, mpsc::UnboundedReceiver<&'static str>) {
        let (tell, told) = mpsc::unbounded_channel();
        let handler = move |presence: ClientPresence| async move {
            let _ = tell.send("begun");
            presence.gone().await;
            let _ = tell.send("gone");
        };
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let cores = Arc::new(Cores::start(stop).unwrap());
        let router = Router::new().route("/", get(handler));
        tokio::spawn(serve(listener, router, cores, stop.clone(), Duration::ZERO));
        (address, told)
    }

    #[tokio::test]
    async fn a_handler_learns_that_its_client_is_gone_and_runs_on() {
        let stop = CancellationToken::new();
        let (address, mut told) = serving(&stop).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(told.recv().await, Some("begun"));
        assert!(told.try_recv().is_err(), "the client is still there");
        drop(client);
        assert_eq!(told.recv().await, Some("gone"));
        stop.cancel();
    }
}
