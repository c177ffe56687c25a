//! Many client connections do not affect other clients and deliveries.

use std::net::SocketAddr;

use hookwright_tests::{Program, Receiver, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::{BINARY, hook};

/// Writes a script to `dir` that starts the engine with at most `files` open files.
fn with_open_files(dir: &tempfile::TempDir, files: u32) -> Program {
    let script = dir.path().join("limited");
    let text = format!("#!/bin/sh\nulimit -n {files}\nexec {BINARY} \"$@\"\n");
    std::fs::write(&script, text).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&script, executable).unwrap();
    BINARY.started_by(script)
}

fn address(server: &Server) -> SocketAddr {
    server.base().strip_prefix("http://").unwrap().parse().unwrap()
}

/// Connects from `source` and sends `sent`.
async fn connection(server: &Server, source: &str, sent: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(address(server)).await.unwrap();
    // A refused connection may already be closed.
    let _ = stream.write_all(sent.as_bytes()).await;
    stream
}

/// Sends a request on `stream` and returns the status of the response; `None` if the connection has ended.
async fn status(stream: &mut TcpStream) -> Option<String> {
    stream.write_all(b"GET /api/v3/health HTTP/1.1\r\nHost: a\r\n\r\n").await.ok()?;
    let mut response = [0; 12];
    stream.read_exact(&mut response).await.ok()?;
    let mut rest = vec![0; 64 * 1024];
    let _ = stream.read(&mut rest).await.ok()?;
    Some(String::from_utf8_lossy(&response[9..]).into_owned())
}

#[tokio::test]
async fn more_idle_connections_than_files_stop_neither_deliveries_nor_requests() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(with_open_files(&dir, 256), &[("HOOKWRIGHT_LOG", "error")]).await;
    let client = server.tenant("acme").await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let mut held = Vec::new();
    for n in 0..400 {
        held.push(connection(&server, "127.0.0.1", ["", "GET / HTTP/1.1\r\nHos"][n % 2]).await);
    }
    // All connections are new, also to the receiver.
    for n in 0..40 {
        let client = client.clone().at(server.base());
        let event = client.publish("t", json!(n)).await;
        let delivery = client.finished(&event).await.remove(0);
        assert_eq!(delivery["state"], "succeeded");
        assert_eq!(delivery["attempts"].as_array().map(Vec::len), Some(1), "{delivery}");
    }
}

#[tokio::test]
async fn connections_of_one_address_do_not_end_those_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let binary = with_open_files(&dir, 256);
    let settings = [("HOOKWRIGHT_TRUSTED_PROXIES", "192.0.2.1"), ("HOOKWRIGHT_LOG", "error")];
    let server = Server::start_with(binary, &settings).await;
    let mut idle = connection(&server, "127.0.0.2", "").await;
    assert_eq!(status(&mut idle).await.as_deref(), Some("200"));
    let mut held = Vec::new();
    for _ in 0..400 {
        held.push(connection(&server, "127.0.0.3", "").await);
    }
    // A flood is refused while its own connections end. After that, the address is served again.
    while status(&mut connection(&server, "127.0.0.3", "").await).await.as_deref() != Some("200") {}
    assert_eq!(status(&mut held[0]).await, None, "the oldest connection of the address with too many");
    assert_eq!(status(&mut idle).await.as_deref(), Some("200"), "an older connection of another address");
}

#[tokio::test]
async fn one_tenant_does_not_keep_all_connections_busy() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(with_open_files(&dir, 256), &[("HOOKWRIGHT_LOG", "error")]).await;
    let key = server.tenant_key("acme").await;
    let other = server.tenant("other").await;
    let events = "/api/v3/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json";
    let unfinished = format!("POST {events}\r\nAuthorization: Bearer {key}\r\nContent-Length: 100\r\n\r\n{{");
    let mut held = Vec::new();
    let mut refused = 0;
    // There may be 42 connections.
    for _ in 0..40 {
        held.push(connection(&server, "127.0.0.1", &unfinished).await);
        // The response to another tenant shows that the request before it has been read.
        let event = other.clone().at(server.base()).publish("t", json!({})).await;
        assert!(event.starts_with("evt_"), "{event}");
    }
    // The operator can still act for the tenant, to stop it.
    let operator = server.operator().with_header("Hookwright-Tenant", "acme");
    operator.get("/hooks").await.expect(200);
    for stream in &mut held {
        let mut answer = [0; 12];
        if let Ok(Ok(_)) =
            tokio::time::timeout(std::time::Duration::from_millis(1), stream.read_exact(&mut answer)).await
        {
            assert!(answer.ends_with(b"429"), "{}", String::from_utf8_lossy(&answer));
            refused += 1;
        }
    }
    assert!(refused > 0, "one tenant keeps all connections busy");
}

#[tokio::test]
async fn many_unknown_senders_at_one_address_lock_out_no_other() {
    let settings = [("HOOKWRIGHT_TRUSTED_PROXIES", "192.0.2.1"), ("HOOKWRIGHT_LOG", "error")];
    let server = Server::start_with(BINARY, &settings).await;
    let body = json!({"access_token": server.tenant_key("acme").await}).to_string();
    let head =
        "POST /api/v2/hooks HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close";
    let (first, last) = body.split_at(body.len() / 2);
    let begun = format!("{head}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n", body.len());
    let mut slow = connection(&server, "127.0.0.2", &begun).await;
    let mut start = [0; 25];
    // The engine tells it to go on once it reads the body.
    slow.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 100 Continue\r\n\r\n");
    slow.write_all(first.as_bytes()).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut stream = connection(&server, "127.0.0.3", &begun).await;
        stream.read_exact(&mut start).await.unwrap();
        held.push(stream);
    }
    slow.write_all(last.as_bytes()).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    // The key is known, and then the hook has no name.
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}
