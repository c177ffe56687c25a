//! Tests of the client with scripted receivers: each test controls both ends.

mod endless;
mod idle;
mod lookups;
mod proxy;
mod responses;
mod reuse;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::connect::Connector;
use super::delivery_client::{DeliveryClient, IDLE_TIMEOUT};
use super::lookup::{Lookups, Resolver};
use super::request::Request;
use crate::delivery::egress::EgressPolicy;
use crate::delivery::{signing, tls};
use crate::domain::{EgressRule, Outcome, TenantId};

/// The tenant of the requests.
const TENANT: TenantId = TenantId(1);
/// Longer than any test takes.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A response after which the connection can be reused.
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A client that may connect to loopback.
fn client(idle: usize) -> DeliveryClient {
    client_with(idle, IDLE_TIMEOUT)
}

fn client_with(idle: usize, idle_timeout: Duration) -> DeliveryClient {
    let connector = Connector::new(loopback(), tls::client_config(None).unwrap());
    DeliveryClient::with_timeout(&Arc::new(connector), 1, idle, idle_timeout).remove(0)
}

/// A client with this resolver.
fn resolving(resolver: Arc<Resolver>) -> DeliveryClient {
    let connector =
        Connector::resolving(loopback(), tls::client_config(None).unwrap(), Lookups::by(resolver));
    DeliveryClient::with_timeout(&Arc::new(connector), 1, 8, IDLE_TIMEOUT).remove(0)
}

fn loopback() -> EgressPolicy {
    let rule = EgressRule::parse("127.0.0.0/8").unwrap();
    EgressPolicy::new(vec![rule], Vec::new(), Arc::new(|_| None))
}

/// A request without a `webhook-id`.
fn post(to: SocketAddr) -> Request {
    let body = Full::from("a body");
    http::Request::post(format!("http://{to}/path")).body(body).unwrap()
}

/// A request with a `webhook-id`.
fn named(to: SocketAddr) -> Request {
    let mut request = post(to);
    request.headers_mut().insert(signing::ID, "evt_1".parse().unwrap());
    request
}

impl DeliveryClient {
    /// Sends `request`, and repeats it if necessary.
    async fn request(&self, request: Request) -> Outcome {
        self.request_within(request, TEST_TIMEOUT).await
    }

    async fn request_within(&self, request: Request, limit: Duration) -> Outcome {
        self.request_of_within(TENANT, request, limit).await
    }

    async fn request_of(&self, tenant: TenantId, request: Request) -> Outcome {
        self.request_of_within(tenant, request, TEST_TIMEOUT).await
    }

    async fn request_of_within(&self, tenant: TenantId, request: Request, limit: Duration) -> Outcome {
        let again = request.clone();
        self.send(tenant, request, &|| Some(again.clone()), limit).await.expect("nothing is lacking")
    }
}

fn status(outcome: &Outcome) -> u16 {
    match outcome {
        Outcome::Response(response) => response.status,
        other => panic!("no answer: {other:?}"),
    }
}

/// Why there was no response.
fn why(outcome: Outcome) -> String {
    match outcome {
        Outcome::Unreachable { kind, message } => format!("{kind}: {message}"),
        other => panic!("{other:?}"),
    }
}

/// A receiver.
struct Receiver(TcpListener);

impl Receiver {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    async fn accept(&self) -> Peer {
        Peer(within(self.0.accept()).await.unwrap().0)
    }

    /// A connection over which one request was sent and answered.
    async fn used(&self, client: &DeliveryClient) -> Peer {
        let (outcome, peer) = tokio::join!(client.request(post(self.address())), async {
            let mut peer = self.accept().await;
            peer.serve(OK).await;
            peer
        });
        assert_eq!(status(&outcome), 200);
        peer
    }
}

/// The receiver's end of one connection.
struct Peer(TcpStream);

impl Peer {
    /// Reads one request, with or without a body, and sends this response.
    async fn serve(&mut self, answer: &str) -> String {
        let request = self.request().await;
        self.say(answer).await;
        request
    }

    async fn request(&mut self) -> String {
        let mut request = String::new();
        let mut piece = [0; 4096];
        loop {
            let (head, body) = request.split_once("\r\n\r\n").unwrap_or_default();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse().unwrap());
            if !head.is_empty() && body.len() >= length {
                return request;
            }
            let read = within(self.0.read(&mut piece)).await.unwrap();
            assert_ne!(read, 0, "closed after {request:?}");
            request.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
    }

    async fn say(&mut self, what: &str) {
        within(self.0.write_all(what.as_bytes())).await.unwrap();
    }

    /// Waits until the client has closed the connection.
    async fn is_closed(&mut self) {
        let mut rest = Vec::new();
        // It is reset where the client has not read everything.
        let _ = within(self.0.read_to_end(&mut rest)).await;
    }
}

/// Fails instead of hanging.
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(TEST_TIMEOUT, work).await.expect("it comes to an end")
}

/// Lets the runtime read events of its sockets, which the system knows at once on loopback.
async fn read_events() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}
