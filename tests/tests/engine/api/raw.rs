//! Raw requests that ordinary clients do not send.

use std::time::Duration;

use hookwright_tests::{Server, TIMEOUT, guest};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::BINARY;

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.base().strip_prefix("http://").unwrap()).await.unwrap()
}

/// Sends `sent` and reads until the connection ends or a whole response has arrived.
async fn exchange(stream: &mut TcpStream, sent: &[u8]) -> String {
    // The engine may respond and close the connection before everything is sent.
    let _ = stream.write_all(sent).await;
    let mut received = Vec::new();
    let reading = async {
        let mut part = vec![0; 16 * 1024];
        loop {
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(len) => received.extend_from_slice(&part[..len]),
            }
            let text = String::from_utf8_lossy(&received).to_ascii_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if length.is_some_and(|length| length.parse() == Ok(body.len())) {
                return;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, reading).await.expect("there is a response");
    String::from_utf8_lossy(&received).into_owned()
}

fn status(response: &str) -> &str {
    response.split(' ').nth(1).unwrap_or("none")
}

#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let server = Server::start(BINARY).await;
    let long = format!("GET /api/v3/health HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(17_000));
    let fits = format!("GET /api/v3/health HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(15_000));
    for (sent, expected) in [
        ("GET /api/v3/health HTTP/1.1\r\nHost: a\r\n\r\n", "200"),
        ("GET /api/v3/health HTTP/1.0\r\n\r\n", "200"),
        (fits.as_str(), "200"),
        (long.as_str(), "431"),
        ("GET /api/v3/health HTTP/1.1\r\n\r\n", "400"),
        ("GET /api/v3/health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
        ("GET /api/v3/health HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
        ("GET /api/v3/health HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
        ("GET /api/v3/health HTTP/1.1\nHost: a\n\n", "400"),
        ("GET /api/v3/health HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", "400"),
        (
            "POST /api/v3/events HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "POST /api/v3/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "POST /api/v3/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "POST /api/v3/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        ("POST /api/v3/events HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        // Valid framing, but without a key.
        ("POST /api/v3/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "401"),
    ] {
        let mut stream = connect(&server).await;
        let response = exchange(&mut stream, sent.as_bytes()).await;
        assert_eq!(status(&response), expected, "{:?}: {response}", &sent[..sent.len().min(200)]);
    }
}

#[tokio::test]
async fn a_chunk_size_with_too_many_leading_zeros_is_refused() {
    let server = Server::start(BINARY).await;
    let key = server.tenant_key("acme").await;
    let event = r#"{"type":"t","data":1}"#;
    for (zeros, expected) in [(40, "202"), (64, "400"), (1_000, "400")] {
        let sent = format!(
            "POST /api/v3/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{}{:x}\r\n{event}\r\n0\r\n\r\n",
            "0".repeat(zeros),
            event.len()
        );
        let response = exchange(&mut connect(&server).await, sent.as_bytes()).await;
        assert_eq!(status(&response), expected, "{zeros}: {response}");
    }
}

#[tokio::test]
async fn a_content_length_above_the_limit_is_refused_before_the_body_arrives() {
    let server = Server::start(BINARY).await;
    let key = server.tenant_key("acme").await;
    let mut stream = connect(&server).await;
    let head = format!(
        "POST /api/v3/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: 900000000\r\n\r\n"
    );
    let exchange = exchange(&mut stream, head.as_bytes());
    // Much less than the time during which the engine drains a refused body.
    let response =
        tokio::time::timeout(Duration::from_secs(8), exchange).await.expect("it is refused at once");
    assert_eq!(status(&response), "413", "{response}");
}

#[tokio::test]
async fn a_body_must_be_declared_as_json_in_utf_8() {
    let server = Server::start(BINARY).await;
    let key = server.tenant_key("acme").await;
    let body = r#"{"type":"t","data":1}"#;
    for (content_type, expected) in [
        ("Content-Type: application/json\r\n", "202"),
        ("Content-Type: application/json; charset=utf-8\r\n", "202"),
        ("", "415"),
        ("Content-Type: application/json; charset=utf-16\r\n", "415"),
    ] {
        let sent = format!(
            "POST /api/v3/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n{content_type}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = exchange(&mut connect(&server).await, sent.as_bytes()).await;
        assert_eq!(status(&response), expected, "{content_type:?}: {response}");
        assert_eq!(response.contains(r#""parameter":"Content-Type""#), expected == "415", "{response}");
    }
}

#[tokio::test]
async fn a_path_of_v3_may_end_with_a_slash() {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    assert_eq!(client.get("/hooks/").await.expect(200), client.get("/hooks").await.expect(200));
    client.post("/events/", json!({"type": "t", "data": 1})).await.expect(202);
    client.get("/hooks/?limit=1").await.expect(200);
    client.get("/nothing/").await.expect(404);
    client.get("/hooks//").await.expect(404);
}

/// Connections that send half of a batch, and their effect on others.
#[tokio::test]
async fn unfinished_bodies_are_limited_for_each_tenant() {
    let server = Server::start(BINARY).await;
    let key = server.tenant_key("acme").await;
    let head = format!(
        "POST /api/v3/events/batch HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Type: application/x-ndjson\r\nContent-Length: 15000000\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut held = Vec::new();
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let mut stream = connect(&server).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut response = vec![0; 4096];
        let len = stream.read(&mut response).await.unwrap();
        let response = String::from_utf8_lossy(&response[..len]).into_owned();
        statuses.push(status(&response).to_owned());
        if status(&response) == "503" {
            assert!(response.to_ascii_lowercase().contains("retry-after: "), "{response}");
        }
        held.push(stream);
    }
    // `100 Continue`, or a refusal before the body is sent.
    assert_eq!(statuses[..3], ["100", "100", "503"], "{statuses:?}");
    assert!(statuses[2..].iter().all(|status| status == "503"), "{statuses:?}");
    let other = server.tenant("other").await;
    other.publish("t", json!("x".repeat(900_000))).await;
    let lines = format!("{{\"type\":\"t\",\"data\":\"{}\"}}\n", "x".repeat(500_000)).repeat(10);
    let headers = [("content-type", "application/x-ndjson")];
    other.send("POST", "/api/v3/events/batch", lines, &headers).await.expect(202);
    drop(held);
}

/// A plugin of exactly the maximum size of an upload.
fn largest_plugin() -> Vec<u8> {
    const MAX: usize = 32 * 1024 * 1024;
    let mut wasm = guest::filter("", "i32.const 0");
    // The rest is a custom section without a name: its id, its length in five bytes, and zeros.
    let len = MAX - wasm.len() - 1 - 5;
    wasm.push(0);
    wasm.extend((0..5).map(|n| (len >> (7 * n)) as u8 & 0x7f | if n < 4 { 0x80 } else { 0 }));
    wasm.resize(MAX, 0);
    wasm
}

#[tokio::test]
async fn the_largest_upload_succeeds_while_other_tenants_hold_memory() {
    let server = Server::start(BINARY).await;
    let mut held = Vec::new();
    for name in ["one", "two"] {
        let key = server.tenant_key(name).await;
        let head = format!(
            "POST /api/v3/events/batch HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Type: application/x-ndjson\r\nContent-Length: 15000000\r\nExpect: 100-continue\r\n\r\n"
        );
        let mut stream = connect(&server).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert!(start.ends_with(b"100"));
        held.push(stream);
    }
    let key = server.tenant_key("acme").await;
    let wasm = largest_plugin();
    let len = wasm.len();
    let chunks = [format!("{len:x}\r\n").into_bytes(), wasm.clone(), b"\r\n0\r\n\r\n".to_vec()].concat();
    for (framing, body) in
        [(format!("Content-Length: {len}"), wasm), ("Transfer-Encoding: chunked".to_owned(), chunks)]
    {
        let head = format!(
            "PUT /api/v3/plugins/large HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Type: application/wasm\r\n{framing}\r\n\r\n"
        );
        let sent = [head.into_bytes(), body].concat();
        let response = exchange(&mut connect(&server).await, &sent).await;
        assert!(["200", "201"].contains(&status(&response)), "{framing}: {response}");
    }
    drop(held);
}

#[tokio::test]
async fn failed_logins_end_the_connection_are_throttled_and_logged_in_few_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = std::fs::File::create(&path).unwrap();
    let mut server = Server::start_logging_to(BINARY, &[("HOOKWRIGHT_LOG", "warn")], log).await;
    let client = server.tenant("acme").await;
    let wrong = b"GET /api/v3/hooks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hwk_nobodys\r\n\r\n";
    let mut responses = Vec::new();
    for _ in 0..10 {
        let mut stream = connect(&server).await;
        let mut on_this = 0;
        loop {
            let response = exchange(&mut stream, wrong).await;
            if response.is_empty() {
                break;
            }
            on_this += 1;
            responses.push(response);
        }
        assert_eq!(on_this, 20, "a connection ends after this number of failures");
    }
    assert!(responses[19].to_ascii_lowercase().contains("connection: close"), "{}", responses[19]);
    assert_eq!((status(&responses[0]), status(&responses[199])), ("401", "429"));
    assert!(responses[199].to_ascii_lowercase().contains("retry-after: "), "{}", responses[199]);
    // A client with a valid key is served although other logins from its address fail.
    client.get("/hooks").await.expect(200);
    server.operator().get("/tenants").await.expect(200);
    // The log is complete after the engine has ended.
    assert_eq!(server.terminate().await, Some(0));
    let log = std::fs::read_to_string(path).unwrap();
    let lines = log.lines().filter(|line| line.contains("failed logins")).count();
    assert!((1..=3).contains(&lines), "{log}");
}
