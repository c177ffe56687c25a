//! The egress policy.

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::{BINARY, hook};

#[tokio::test]
async fn requests_to_loopback_are_refused_by_default() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_EGRESS_ALLOW", "")]).await;
    let client = server.tenant("acme").await;
    let receiver = Receiver::start().await;
    let port = receiver.url("/").rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
    ] {
        let body = json!({"url": format!("http://{host}:{port}/"), "types": [format!("to.{}", host.len())], "retry": {"schedule_s": []}});
        let id = client.post("/hooks", body).await.expect(201)["id"].as_str().unwrap().to_owned();
        let event = client.publish(&format!("to.{}", host.len()), json!({})).await;
        let delivery = client.finished(&event).await.remove(0);
        let attempt = &delivery["attempts"][0];
        assert_eq!(attempt["error"]["kind"], "egress-refused", "{host}: {delivery}");
        client.send("DELETE", &format!("/api/v3/hooks/{id}"), "", &[]).await;
    }
    assert_eq!(receiver.so_far().len(), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    let elsewhere = Receiver::start().await;
    let location = elsewhere.url("/secret");
    let receiver = Receiver::responding(move |_| {
        hookwright_tests::Reply::Status(307, vec![("location", location.clone())], vec![])
    })
    .await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": []}})).await;
    let event = client.publish("t", json!({})).await;
    assert_eq!(client.finished(&event).await[0]["state"], "exhausted");
    assert_eq!(elsewhere.so_far().len(), 0);
}

/// Returns the only attempt of an event for a hook with this URL.
async fn attempt(client: &Client, url: &str) -> Value {
    let members = json!({"url": url, "types": ["t"], "retry": {"schedule_s": []}});
    let id = client.post("/hooks", members).await.expect(201)["id"].as_str().unwrap().to_owned();
    let event = client.publish("t", json!({})).await;
    let attempt = client.finished(&event).await[0]["attempts"][0].clone();
    client.send("DELETE", &format!("/api/v3/hooks/{id}"), "", &[]).await;
    attempt
}

#[tokio::test]
async fn the_operator_can_allow_a_port_a_name_or_one_tenant() {
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let (port, other_port) = (receiver.address().port(), other.address().port());
    for (allowed, tenant, url, goes) in [
        (format!("127.0.0.1:{port}"), "acme", format!("http://127.0.0.1:{port}/"), true),
        (format!("127.0.0.1:{port}"), "acme", format!("http://127.0.0.1:{other_port}/"), false),
        (format!("localhost:{port}"), "acme", format!("http://localhost:{port}/"), true),
        (format!("localhost:{port}"), "acme", format!("http://127.0.0.1:{port}/"), false),
        ("acme=127.0.0.0/8,::1".to_owned(), "acme", format!("http://127.0.0.1:{port}/"), true),
        ("acme=127.0.0.0/8,::1".to_owned(), "other", format!("http://127.0.0.1:{port}/"), false),
    ] {
        let server = Server::start_with(BINARY, &[("HOOKWRIGHT_EGRESS_ALLOW", &allowed)]).await;
        let attempt = attempt(&server.tenant(tenant).await, &url).await;
        match goes {
            true => assert_eq!(attempt["response"]["status"], 200, "{allowed} {tenant} {url}: {attempt}"),
            false => {
                assert_eq!(attempt["error"]["kind"], "egress-refused", "{allowed} {tenant} {url}: {attempt}")
            }
        }
    }
    assert_eq!(other.so_far().len(), 0);
}

#[tokio::test]
async fn requests_to_the_engine_itself_are_refused() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_EGRESS_ALLOW", "0.0.0.0/0,::/0,localhost")]).await;
    let client = server.tenant("acme").await;
    let port = server.base().rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"] {
        let attempt = attempt(&client, &format!("http://{host}:{port}/api/v3/health")).await;
        assert_eq!(attempt["error"]["kind"], "egress-refused", "{host}: {attempt}");
    }
}

/// Names are resolved in the operator's network, so messages must not contain their addresses.
#[tokio::test]
async fn a_refusal_does_not_reveal_the_address_of_a_name() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_EGRESS_ALLOW", "")]).await;
    let client = server.tenant("acme").await;
    let attempt = attempt(&client, "http://localhost:1/").await;
    let expected = "localhost has no address that the operator's egress policy allows";
    assert_eq!(attempt["error"], json!({"kind": "egress-refused", "message": expected}));
}

#[tokio::test]
async fn a_self_signed_certificate_is_accepted_only_from_the_operators_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("receivers.pem");
    let (named, of_named) = Receiver::self_signed(&["127.0.0.1"], |_| Reply::status(200)).await;
    let (nameless, of_nameless) = Receiver::self_signed(&[], |_| Reply::status(200)).await;
    let (elsewhere, of_elsewhere) = Receiver::self_signed(&["b.example"], |_| Reply::status(200)).await;
    // The same name with another key.
    let (other_receiver, _) = Receiver::self_signed(&["127.0.0.1"], |_| Reply::status(200)).await;
    std::fs::write(&file, [of_named, of_nameless, of_elsewhere].concat()).unwrap();
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_EGRESS_CA_FILE", file.to_str().unwrap())]).await;
    let client = server.tenant("acme").await;
    for (receiver, taken) in
        [(&named, true), (&nameless, true), (&elsewhere, false), (&other_receiver, false)]
    {
        let attempt = attempt(&client, &format!("https://{}/", receiver.address())).await;
        match taken {
            true => assert_eq!(attempt["response"]["status"], 200, "{attempt}"),
            false => assert_eq!(attempt["error"]["kind"], "tls", "{attempt}"),
        }
    }
}

/// A raw receiver that reads some data, sends this text and closes the connection.
async fn raw_receiver(what: &'static [u8]) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let playing = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(what).await;
        }
    });
    (address, playing)
}

#[tokio::test]
async fn an_aborted_handshake_is_a_tls_failure() {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    for what in [&b""[..], b"\x16\x03\x03\x00\x7a", b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let (address, playing) = raw_receiver(what).await;
        let attempt = attempt(&client, &format!("https://{address}/")).await;
        assert_eq!(attempt["error"]["kind"], "tls", "{what:?}: {attempt}");
        playing.abort();
    }
}
