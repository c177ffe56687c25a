use axum::Extension;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::*;
use crate::clients::{ClientLimits, TrustedProxies};
use crate::domain::TenantId;

/// A server whose handler at `/` tells that it has begun, and then, that its client is gone.
fn serving(stop: &CancellationToken) -> (SocketAddr, mpsc::UnboundedReceiver<&'static str>) {
    let (tell, told) = mpsc::unbounded_channel();
    let handler = move |presence: ClientPresence| async move {
        let _ = tell.send("begun");
        presence.gone().await;
        let _ = tell.send("gone");
    };
    (start(Router::new().route("/", get(handler)), stop), told)
}

/// Serves `router` until `stop`.
fn start(router: Router, stop: &CancellationToken) -> SocketAddr {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let cores = Arc::new(Cores::start(stop).unwrap());
    let clients = Clients::new(ClientLimits {
        connections: 16,
        spare_connections: 4,
        connections_per_address: 16,
        trusted_proxies: TrustedProxies::default(),
        request_bytes: 1 << 20,
        answer_bytes: 48 << 20,
    });
    tokio::spawn(serve(listener, router, cores, clients, Stop::default()));
    address
}

/// Asks for `/`; the status of the answer, of which no more is read.
async fn ask(address: SocketAddr) -> (TcpStream, String) {
    ask_by("GET", address).await
}

async fn ask_by(method: &str, address: SocketAddr) -> (TcpStream, String) {
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    client.read_exact(&mut start).await.unwrap();
    (client, String::from_utf8_lossy(&start[9..]).into_owned())
}

#[tokio::test]
async fn a_handler_learns_that_its_client_is_gone_and_runs_on() {
    let stop = CancellationToken::new();
    let (address, mut told) = serving(&stop);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(told.recv().await, Some("begun"));
    assert!(told.try_recv().is_err(), "the client is still there");
    drop(client);
    assert_eq!(told.recv().await, Some("gone"));
    stop.cancel();
}

#[tokio::test]
async fn an_answer_that_is_not_read_is_its_tenants_memory() {
    let stop = CancellationToken::new();
    // More than the system keeps of it.
    let handler = |Extension(client): Extension<Arc<Client>>| async move {
        client.acts_for(TenantId(1));
        vec![0_u8; 30 << 20]
    };
    let address = start(Router::new().route("/", get(handler).post(handler)), &stop);
    let (unread, status) = ask(address).await;
    assert_eq!(status, "200");
    assert_eq!(ask(address).await.1, "503");
    assert_eq!(ask_by("POST", address).await.1, "200", "what is done is said even if there is no room");
    drop(unread);
    // It ends when the system has noticed.
    let again = async { while ask(address).await.1 != "200" {} };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("its memory is free again");
    stop.cancel();
}
