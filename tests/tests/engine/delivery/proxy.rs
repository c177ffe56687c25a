//! The operator's proxy and source address.

use std::sync::{Arc, Mutex};

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::{BINARY, hook};

/// A proxy on loopback that notes the heads of its requests. It opens tunnels if `answer` is none.
struct Proxy {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    async fn start(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, answer, Arc::clone(&noted)));
            }
        });
        Self { address, heads, task }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, answer: Option<&'static str>, noted: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    noted.lock().unwrap().push(head);
    if let Some(answer) = answer {
        let _ = client.write_all(answer.as_bytes()).await;
        return;
    }
    let mut receiver = TcpStream::connect(target).await.unwrap();
    client.write_all(b"HTTP/1.1 200 Connection established\r\nx-proxy: 1\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut receiver).await;
}

async fn engine_by(proxy: &str, more: &[(&str, &str)]) -> (Server, Client) {
    let settings = [&[("HOOKWRIGHT_EGRESS_PROXY", proxy)], more].concat();
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    (server, client)
}

#[tokio::test]
async fn requests_go_through_the_proxy_to_the_address_that_was_checked() {
    let proxy = Proxy::start(None).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authority.pem");
    let plain = Receiver::start().await;
    let (secure, authority) = Receiver::tls(|_| Reply::status(200)).await;
    std::fs::write(&file, authority).unwrap();
    let url = format!("http://user:pa%3Ass@{}", proxy.address);
    let allowed = ("HOOKWRIGHT_EGRESS_ALLOW", "127.0.0.0/8,localhost");
    let authority = ("HOOKWRIGHT_EGRESS_CA_FILE", file.to_str().unwrap());
    let (_server, client) = engine_by(&url, &[allowed, authority]).await;

    let named = format!("http://localhost:{}/", plain.address().port());
    for (url, receiver) in [(named, &plain), (format!("https://{}/", secure.address()), &secure)] {
        let id = hook(&client, receiver, json!({"url": url})).await;
        for _ in 0..2 {
            let event = client.publish("t", json!({})).await;
            assert_eq!(client.finished(&event).await[0]["state"], "succeeded", "{url}");
            receiver.next().await;
        }
        client.send("DELETE", &format!("/api/v3/hooks/{id}"), "", &[]).await;
    }
    let heads = proxy.heads();
    assert_eq!(heads.len(), 2, "a tunnel is used again: {heads:?}");
    for (head, receiver) in heads.iter().zip([&plain, &secure]) {
        let port = receiver.address().port();
        assert!(head.starts_with(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains("\r\nProxy-Authorization: Basic dXNlcjpwYTpzcw==\r\n"), "{head}");
    }
}

#[tokio::test]
async fn the_proxy_is_not_asked_for_what_the_policy_refuses_or_what_bypasses_it() {
    let proxy = Proxy::start(None).await;
    let receiver = Receiver::start().await;
    let url = format!("http://{}", proxy.address);
    let refusing = [("HOOKWRIGHT_EGRESS_ALLOW", "")];
    let bypassing = [("HOOKWRIGHT_EGRESS_PROXY_BYPASS", "127.0.0.0/8")];
    for (settings, outcome) in [(refusing, "egress-refused"), (bypassing, "")] {
        let (_server, client) = engine_by(&url, &settings).await;
        hook(&client, &receiver, json!({"retry": {"schedule_s": []}})).await;
        let event = client.publish("t", json!({})).await;
        let attempt = client.finished(&event).await[0]["attempts"][0].clone();
        assert_eq!(attempt["error"]["kind"].as_str().unwrap_or_default(), outcome, "{attempt}");
    }
    assert_eq!((proxy.heads(), receiver.so_far().len()), (Vec::new(), 1));
}

#[tokio::test]
async fn a_target_that_the_proxy_refuses_is_a_failed_attempt() {
    let receiver = Receiver::start().await;
    let proxy = Proxy::start(Some("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")).await;
    let (_server, client) = engine_by(&format!("http://{}", proxy.address), &[]).await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": []}})).await;
    let event = client.publish("t", json!({})).await;
    let error = client.finished(&event).await[0]["attempts"][0]["error"].clone();
    assert_eq!(error["kind"], "connect");
    assert!(error["message"].as_str().unwrap().ends_with("the operator's proxy answered 403"), "{error}");
}

#[tokio::test]
async fn a_failing_proxy_costs_no_attempt() {
    for answer in ["HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "", "220 ready\r\n\r\n"] {
        let receiver = Receiver::start().await;
        let proxy = Proxy::start(Some(answer)).await;
        let (_server, client) = engine_by(&format!("http://{}", proxy.address), &[]).await;
        hook(&client, &receiver, json!({"retry": {"schedule_s": []}})).await;
        let event = client.publish("t", json!({})).await;
        let asked = |delivery: &Value| delivery["state"] == "pending" && !proxy.heads().is_empty();
        let delivery = client.deliveries_when(&event, asked).await.remove(0);
        assert_eq!(delivery["attempts"], json!([]), "{answer:?}");
    }
}

#[tokio::test]
async fn connections_come_from_the_source_address() {
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = receiver.local_addr().unwrap();
    let settings = [("HOOKWRIGHT_EGRESS_SOURCE_ADDRESS", "127.0.0.2")];
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    client.post("/hooks", json!({"url": format!("http://{address}/"), "types": ["*"]})).await.expect(201);
    client.publish("t", json!({})).await;
    let (_connection, peer) = receiver.accept().await.unwrap();
    assert_eq!(peer.ip().to_string(), "127.0.0.2");
}
