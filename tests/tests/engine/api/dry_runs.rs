//! How many dry runs there may be.

use futures_util::future::select_all;
use hookwright_tests::{Client, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::BINARY;

/// What a tenant may have at once, and with those that wait.
const AT_ONCE: usize = 4;
const HERE: usize = 20;

/// A dry run whose body is sent when the engine asks for it.
async fn begun(server: &Server, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.base().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /api/v3/plugins/javascript/run HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
        content-type: application/json\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// The status of what the engine says next.
async fn status(mut stream: TcpStream) -> (String, TcpStream) {
    let mut said = [0; 12];
    stream.read_exact(&mut said).await.unwrap();
    (String::from_utf8_lossy(&said[9..]).into_owned(), stream)
}

#[tokio::test]
async fn a_tenant_has_few_dry_runs_at_once_and_those_whose_clients_are_gone_end() {
    let server = Server::start(BINARY).await;
    let (key, stranger) = (server.tenant_key("acme").await, server.tenant_key("globex").await);
    let mut running = Vec::new();
    for _ in 0..AT_ONCE {
        let (said, stream) = status(begun(&server, &key).await).await;
        assert_eq!(said, "100");
        running.push(stream);
    }
    // One more than may wait: whichever comes last is refused.
    let mut waiting = Vec::new();
    for _ in 0..=HERE - AT_ONCE {
        waiting.push(Box::pin(status(begun(&server, &key).await)));
    }
    let ((said, _), _, mut waiting) = select_all(waiting).await;
    assert_eq!(said, "429");
    let body = json!({"event": {"type": "t", "data": 1}, "settings": {"script": "return 1"}});
    Client::new(server.base(), &stranger).post("/plugins/javascript/run", body).await.expect(200);
    // Their bodies have not been sent, so they would hold their places for long.
    drop(running);
    for _ in 0..AT_ONCE {
        let ((said, stream), _, others) = select_all(waiting).await;
        assert_eq!(said, "100");
        drop(stream);
        waiting = others;
    }
}
