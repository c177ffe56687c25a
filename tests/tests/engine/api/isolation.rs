//! Isolation between tenants.

use hookwright_tests::{Receiver, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{BINARY, engine, hook};

/// Requests for resources of a tenant: method, path, body.
fn requests(hook: &str, event: &str, delivery: &str, key: &str) -> Vec<(&'static str, String, String)> {
    let other_hook = r#"{"url": "https://example.com/", "types": ["*"]}"#;
    let preview = format!(r#"{{"event": "{event}"}}"#);
    let requests = vec![
        ("GET", format!("/hooks/{hook}"), ""),
        ("PUT", format!("/hooks/{hook}"), other_hook),
        ("PATCH", format!("/hooks/{hook}"), r#"{"enabled": false}"#),
        ("DELETE", format!("/hooks/{hook}"), ""),
        ("GET", format!("/hooks/{hook}/secret"), ""),
        ("POST", format!("/hooks/{hook}/secret/rotate"), "{}"),
        ("POST", format!("/hooks/{hook}/test"), "{}"),
        ("GET", format!("/hooks/{hook}/stats"), ""),
        ("POST", format!("/hooks/{hook}/replays"), r#"{"since": "2020-01-01T00:00:00Z"}"#),
        ("POST", format!("/hooks/{hook}/preview"), r#"{"event": {"type": "t", "data": 1}}"#),
        ("POST", format!("/hooks/{hook}/compare"), r#"{"pipeline": []}"#),
        ("GET", format!("/events/{event}"), ""),
        ("GET", format!("/events/{event}/deliveries"), ""),
        ("GET", format!("/events/{event}/matches"), ""),
        ("POST", format!("/events/{event}/deliveries"), r#"{"hook": "hook_0000000000001"}"#),
        ("GET", "/events/own-id".to_owned(), ""),
        ("GET", "/events/own-id/deliveries".to_owned(), ""),
        ("GET", format!("/deliveries/{delivery}"), ""),
        ("POST", format!("/deliveries/{delivery}/retry"), "{}"),
        ("POST", format!("/deliveries/{delivery}/cancel"), "{}"),
        ("GET", "/plugins/mine".to_owned(), ""),
        ("GET", "/plugins/mine/versions".to_owned(), ""),
        ("GET", "/plugins/mine/wasm".to_owned(), ""),
        ("DELETE", "/plugins/mine".to_owned(), ""),
        ("POST", "/plugins/mine/run".to_owned(), r#"{"event": {"type": "t", "data": 1}}"#),
        ("POST", "/plugins/field-map/run".to_owned(), preview.as_str()),
        ("DELETE", format!("/keys/{key}"), ""),
        ("DELETE", "/projects/7".to_owned(), ""),
    ];
    requests.into_iter().map(|(method, path, body)| (method, path, body.to_owned())).collect()
}

#[tokio::test]
async fn resources_of_another_tenant_look_like_missing_ones() {
    let (server, owner) = engine().await;
    let other_tenant = server.tenant("globex").await;
    let receiver = Receiver::start().await;
    let standard = owner.get("/plugins/field-map/wasm").await.bytes.to_vec();
    owner.upload("mine", standard).await;
    let hook = hook(&owner, &receiver, json!({"pipeline": [{"plugin": "mine"}]})).await;
    let event = owner.publish("t", json!({"secret": true})).await;
    let own = owner.post("/events", json!({"id": "own-id", "type": "t", "data": 1})).await.expect(202);
    let delivery = owner.finished(&event).await[0]["id"].as_str().unwrap().to_owned();
    owner.finished(own["id"].as_str().unwrap()).await;
    let key = owner.post("/keys", json!({"name": "k"})).await.expect(201)["id"].as_str().unwrap().to_owned();
    owner.post("/projects", json!({"id": 7, "name": "p"})).await.expect(201);
    let _ = receiver.so_far();

    let cases = requests(&hook, &event, &delivery, &key);
    for (method, path, body) in &cases {
        let foreign = other_tenant.send(method, &format!("/api/v3{path}"), body.clone(), &[]).await;
        // The same requests with ids that do not exist.
        let missing_path = path
            .replace(&hook, "hook_0000000000001")
            .replace(&event, "evt_0000000000001")
            .replace(&delivery, "dlv_0000000000001")
            .replace(&key, "key_0000000000001")
            .replace("own-id", "no-id")
            .replace("mine", "none")
            .replace("/7", "/8");
        let body = body.replace(&event, "evt_0000000000001");
        let none = other_tenant.send(method, &format!("/api/v3{missing_path}"), body, &[]).await;
        assert_eq!(foreign.status, none.status, "{method} {path}: {}", foreign.json());
        assert!((400..500).contains(&foreign.status), "{method} {path}: {}", foreign.json());
        assert_eq!(foreign.json()["title"], none.json()["title"], "{method} {path}");
    }
    for path in ["/hooks", "/deliveries", "/events", "/keys", "/projects"] {
        let list = other_tenant.get(path).await.expect(200);
        let expected = usize::from(path == "/keys");
        assert_eq!(list["data"].as_array().unwrap().len(), expected, "{path}: {list}");
    }
    let foreign = json!({"url": receiver.url("/"), "types": ["*"], "pipeline": [{"plugin": "mine"}]});
    other_tenant.post("/hooks", foreign).await.expect(400);
    other_tenant.post("/events", json!({"type": "t", "data": 1, "project": 7})).await.expect(400);
    let list = other_tenant.get(&format!("/deliveries?hook={hook}")).await.expect(200);
    assert_eq!(list["data"], json!([]));
    // The same id identifies another event of another tenant.
    let same =
        other_tenant.post("/events", json!({"id": "own-id", "type": "t", "data": 2})).await.expect(202);
    assert_eq!((&same["duplicate"], &same["deliveries"]), (&json!(false), &json!(0)));
    let named = other_tenant.clone().with_header("hookwright-tenant", "acme");
    named.get("/hooks").await.expect(403);
    assert_eq!(receiver.so_far().len(), 0);
    assert_eq!(owner.get(&format!("/hooks/{hook}")).await.expect(200)["enabled"], true);
}

/// Starts an upload without sending its body.
async fn start_upload(server: &Server, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.base().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "PUT /api/v3/plugins/mine HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
        content-type: application/wasm\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Waits until the engine asks for the body.
async fn wait_for_continue(stream: &mut TcpStream) {
    let mut received = [0; 25];
    stream.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[tokio::test]
async fn a_tenant_uploads_one_plugin_at_a_time_and_does_not_delay_others() {
    let server = Server::start(BINARY).await;
    let (key, other_tenant) = (server.tenant_key("acme").await, server.tenant_key("globex").await);
    let mut first = start_upload(&server, &key).await;
    wait_for_continue(&mut first).await;
    let mut second = start_upload(&server, &key).await;
    let others = async {
        wait_for_continue(&mut start_upload(&server, &other_tenant).await).await;
        server.tenant_key("initech").await
    };
    tokio::select! {
        biased;
        () = wait_for_continue(&mut second) => panic!("two uploads of a tenant run at the same time"),
        _ = others => {}
    }
    first.write_all(b"no plugin").await.unwrap();
    wait_for_continue(&mut second).await;
}
