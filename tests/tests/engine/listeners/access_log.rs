//! The access log, and the ids of requests.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use hookwright_tests::{Receiver, Reply, Server, server::ADMIN_KEY};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::log_lines::LogLines;
use crate::{BINARY, hook};

const SETTINGS: [(&str, &str); 3] =
    [("HOOKWRIGHT_ACCESS_LOG", "true"), ("HOOKWRIGHT_LOG_FORMAT", "json"), ("HOOKWRIGHT_LOG", "warn")];

fn request_id(response: &hookwright_tests::Response, header: &str) -> String {
    response.headers.get(header).expect(header).to_str().unwrap().to_owned()
}

/// The line of the request with this id.
async fn line(log: &mut LogLines, id: &str) -> Value {
    serde_json::from_str(log.until(id).await.last().unwrap()).unwrap()
}

#[tokio::test]
async fn each_request_has_a_line_with_its_tenant_and_id_and_without_its_query() {
    let (server, mut log) = LogLines::of(BINARY, &SETTINGS).await;
    let client = server.tenant("acme").await;
    let event = json!({"type": "t", "data": 1}).to_string();
    let accepted = client.send("POST", "/api/v3/events", event, &[("x-request-id", "mine-1")]).await;
    accepted.expect(202);
    assert_eq!(request_id(&accepted, "x-request-id"), "mine-1");
    let said = line(&mut log, "mine-1").await;
    for (name, value) in [
        ("method", json!("POST")),
        ("path", json!("/api/v3/events")),
        ("status", json!(202)),
        ("bytes", json!(accepted.bytes.len())),
        ("client", json!("127.0.0.1")),
        ("message", json!("request")),
        ("target", json!("access")),
    ] {
        assert_eq!(said[name], value, "{name}: {said}");
    }
    assert!(said["duration_ms"].as_f64().unwrap() > 0.0, "{said}");
    assert!(said["tenant"].as_str().unwrap().starts_with("ten_"), "{said}");

    // A key in the query is not written, and the name of the header is the client's.
    let path = "/api/v2/hooks?access_token=very-secret";
    let refused = client.clone().without_key().send("GET", path, "", &[("request-id", "mine-2")]).await;
    assert_eq!(request_id(&refused, "request-id"), "mine-2");
    let said = line(&mut log, "mine-2").await;
    assert_eq!((&said["path"], &said["tenant"]), (&json!("/api/v2/hooks"), &Value::Null), "{said}");
    assert!(!said.to_string().contains("secret"), "{said}");
}

#[tokio::test]
async fn a_request_without_a_usable_id_gets_one_that_the_audit_log_has_too() {
    let (server, mut log) = LogLines::of(BINARY, &SETTINGS).await;
    let client = server.tenant("acme").await;
    let mut made = Vec::new();
    for given in [None, Some("x".repeat(129)), Some("a b".to_owned())] {
        let given: Vec<_> = given.iter().map(|id| ("x-request-id", id.as_str())).collect();
        let hook = json!({"url": "https://example.com/", "types": ["t"]}).to_string();
        let created = client.send("POST", "/api/v3/hooks", hook, &given).await;
        created.expect(201);
        let id = request_id(&created, "x-request-id");
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert_eq!(line(&mut log, &id).await["status"], 201);
        let entries = client.get("/audit-log?action=hook.created").await.expect(200);
        assert_eq!(entries["data"][0]["request_id"], json!(id), "{entries}");
        made.push(id);
    }
    made.dedup();
    assert_eq!(made.len(), 3);
}

#[tokio::test]
async fn a_request_whose_client_gives_up_has_a_line_without_a_status() {
    let (server, mut log) = LogLines::of(BINARY, &SETTINGS).await;
    let key = server.tenant_key("acme").await;
    let client = hookwright_tests::Client::new(server.base(), &key);
    // The engine asks at once, and again when the client wants it to.
    let asked = AtomicUsize::new(0);
    let receiver = Receiver::responding(move |_| match asked.fetch_add(1, SeqCst) {
        0 => Reply::status(405),
        _ => Reply::Never,
    })
    .await;
    let id = hook(&client, &receiver, json!({"handshake": "cloudevents"})).await;
    receiver.next().await;
    let mut impatient = TcpStream::connect(server.base().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /api/v3/hooks/{id}/handshake HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\
         X-Request-Id: gave-up\r\nContent-Length: 0\r\n\r\n"
    );
    impatient.write_all(head.as_bytes()).await.unwrap();
    receiver.next().await;
    drop(impatient);
    let said = line(&mut log, "gave-up").await;
    assert_eq!((&said["status"], &said["error_type"]), (&Value::Null, &json!("disconnected")), "{said}");
    assert!(said["tenant"].as_str().unwrap().starts_with("ten_"), "{said}");
}

#[tokio::test]
async fn a_method_that_a_client_makes_up_is_cut() {
    let (server, mut log) = LogLines::of(BINARY, &SETTINGS).await;
    let client = server.tenant("acme").await;
    client.send(&"M".repeat(5_000), "/api/v3/hooks", "", &[("x-request-id", "long")]).await.expect(405);
    assert_eq!(line(&mut log, "long").await["method"], json!("M".repeat(32)));
}

#[tokio::test]
async fn probes_have_no_line_and_without_the_setting_nothing_has() {
    let (server, mut log) = LogLines::of(BINARY, &SETTINGS).await;
    let operator = server.operator();
    operator.send("GET", "/health", "", &[]).await.expect(200);
    operator.clone().at(server.admin().unwrap()).send("GET", "/readyz", "", &[]).await;
    operator.send("GET", "/api/v3/tenants", "", &[("x-request-id", "the-end")]).await.expect(200);
    let lines = log.until("the-end").await;
    assert_eq!(lines.len(), 1, "{lines:#?}");

    let server = Server::start(BINARY).await;
    let operator = hookwright_tests::Client::new(server.base(), ADMIN_KEY);
    let response = operator.send("GET", "/api/v3/tenants", "", &[("x-request-id", "x")]).await;
    assert_eq!((response.status, response.headers.get("x-request-id")), (200, None));
}
