//! Limits of dry runs.

use futures_util::future::select_all;
use hookwright_tests::{Client, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::BINARY;

/// Maximum number of concurrent dry runs of a tenant, and of those including waiting ones.
const CONCURRENT: usize = 4;
const ADMITTED: usize = 20;

/// Starts a dry run without sending its body.
async fn start_dry_run(server: &Server, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.base().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /api/v3/plugins/javascript/run HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
        content-type: application/json\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads the status of the next response.
async fn status(mut stream: TcpStream) -> (String, TcpStream) {
    let mut code = [0; 12];
    stream.read_exact(&mut code).await.unwrap();
    (String::from_utf8_lossy(&code[9..]).into_owned(), stream)
}

#[tokio::test]
async fn dry_runs_of_a_tenant_are_limited_and_abandoned_ones_end() {
    let server = Server::start(BINARY).await;
    let (key, other_key) = (server.tenant_key("acme").await, server.tenant_key("globex").await);
    let mut running = Vec::new();
    for _ in 0..CONCURRENT {
        let (code, stream) = status(start_dry_run(&server, &key).await).await;
        assert_eq!(code, "100");
        running.push(stream);
    }
    // One more than allowed: the last one is refused.
    let mut waiting = Vec::new();
    for _ in 0..=ADMITTED - CONCURRENT {
        waiting.push(Box::pin(status(start_dry_run(&server, &key).await)));
    }
    let ((code, _), _, mut waiting) = select_all(waiting).await;
    assert_eq!(code, "429");
    let body = json!({"event": {"type": "t", "data": 1}, "settings": {"script": "return 1"}});
    Client::new(server.base(), &other_key).post("/plugins/javascript/run", body).await.expect(200);
    // Their bodies have not been sent, so they would use their permits for a long time.
    drop(running);
    for _ in 0..CONCURRENT {
        let ((code, stream), _, others) = select_all(waiting).await;
        assert_eq!(code, "100");
        drop(stream);
        waiting = others;
    }
}
