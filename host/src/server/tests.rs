use axum::routing::get;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::*;
use crate::clients::{ClientLimits, TrustedProxies};

/// A server whose handler at `/` tells that it has begun, and then, that its client is gone.
fn serving(stop: &CancellationToken) -> (SocketAddr, mpsc::UnboundedReceiver<&'static str>) {
    let (tell, told) = mpsc::unbounded_channel();
    let handler = move |presence: ClientPresence| async move {
        let _ = tell.send("begun");
        presence.gone().await;
        let _ = tell.send("gone");
    };
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let cores = Arc::new(Cores::start(stop).unwrap());
    let router = Router::new().route("/", get(handler));
    let clients = Clients::new(ClientLimits {
        connections: 10,
        connections_per_address: 10,
        trusted_proxies: TrustedProxies::default(),
        request_bytes: 1 << 20,
        answer_bytes: 1 << 20,
    });
    tokio::spawn(serve(listener, router, cores, clients, Stop::default()));
    (address, told)
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
