//! Client certificates (mTLS), and authorities of a hook's own.

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::{Value, json};

use super::patch;
use crate::{BINARY, engine, hook};

async fn attempt(client: &Client, kind: &str) -> Value {
    let event = client.publish(kind, json!({})).await;
    client.finished(&event).await[0]["attempts"][0].clone()
}

#[tokio::test]
async fn each_hook_shows_its_own_certificate_over_its_own_connections() {
    let (receiver, authority, issue) = Receiver::mutual_tls(|_| Reply::status(200)).await;
    let (mut server, client) = engine().await;
    let url = format!("https://{}/", receiver.address());
    let mut keys = Vec::new();
    for (kind, name) in [("a", "first.example"), ("b", "second.example"), ("none", "")] {
        let (certificate, key) = issue(name);
        let mut members =
            json!({"url": url, "types": [kind], "ca_certificates": authority, "retry": {"schedule_s": []}});
        if kind != "none" {
            members["client_certificate"] = json!({"certificate": certificate, "private_key": key});
        }
        let id = hook(&client, &receiver, members).await;
        keys.push((id, certificate, key));
    }
    for _ in 0..2 {
        let mut shown = Vec::new();
        for kind in ["a", "b"] {
            assert_eq!(attempt(&client, kind).await["response"]["status"], 200, "{kind}");
            shown.push(receiver.next().await.certificate.unwrap());
        }
        for (certificate, (_, pem, _)) in shown.iter().zip(&keys) {
            assert_eq!(certificate, &der(pem));
        }
        assert_eq!(receiver.connections(), 2, "connections are used again");
    }
    assert_eq!(attempt(&client, "none").await["error"]["kind"], "tls", "it requires a certificate");

    let (id, pem, key) = &keys[0];
    let view = client.get(&format!("/hooks/{id}")).await.expect(200);
    let certificate = &view["client_certificate"];
    assert_eq!((&certificate["subject"], certificate.get("private_key")), (&json!("CN=first.example"), None));
    assert_eq!(certificate["fingerprint"].as_str().unwrap().len(), 64);
    assert!(certificate["expires_at"].as_str().unwrap() > "2027");
    assert_eq!(view["ca_certificates"], authority.as_str());
    let secret: String = key.lines().nth(1).unwrap().chars().take(40).collect();
    assert_eq!(server.stored_with(secret.as_bytes()).await, Vec::<String>::new());

    // The key stays as long as the certificate does, also when the hook is sent back as it was read.
    client.send("PUT", &format!("/api/v3/hooks/{id}"), view.to_string(), &[]).await.expect(200);
    patch(&client, id, json!({"description": "changed"})).await.expect(200);
    server.kill().await;
    let server = server.restart().await;
    let client = client.at(server.base());
    assert_eq!(attempt(&client, "a").await["response"]["status"], 200);
    assert_eq!(receiver.next().await.certificate.unwrap(), der(pem));
    let (other, _) = issue("other.example");
    for (members, pointer) in [
        (json!({"client_certificate": {"certificate": other}}), "/client_certificate/private_key"),
        (json!({"client_certificate": {"certificate": other, "private_key": key}}), "/client_certificate"),
        (json!({"client_certificate": {"certificate": pem, "private_key": "x"}}), "/client_certificate"),
        (json!({"client_certificate": {"certificate": "x"}}), "/client_certificate/certificate"),
        (json!({"ca_certificates": "x"}), "/ca_certificates"),
        (json!({"url": "http://a.example/"}), "/client_certificate"),
    ] {
        let problem = patch(&client, id, members).await.expect(400);
        assert_eq!(problem["pointer"], pointer, "{problem}");
        assert!(!problem.to_string().contains(&secret));
    }
    patch(&client, id, json!({"client_certificate": null})).await.expect(200);
    assert_eq!(attempt(&client, "a").await["error"]["kind"], "tls");
}

/// The bytes of a certificate in PEM.
fn der(pem: &str) -> Vec<u8> {
    use base64::Engine as _;
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[tokio::test]
async fn a_hooks_authorities_are_trusted_instead_of_the_operators() {
    let (receiver, authority) = Receiver::tls(|_| Reply::status(200)).await;
    let (_, other) = Receiver::tls(|_| Reply::status(200)).await;
    let (own, itself) = Receiver::self_signed(&["127.0.0.1"], |_| Reply::status(200)).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("operator.pem");
    std::fs::write(&file, &authority).unwrap();
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_EGRESS_CA_FILE", file.to_str().unwrap())]).await;
    let client = server.tenant("acme").await;
    for (kind, receiver, authorities, goes) in [
        ("operators", &receiver, None, true),
        ("own", &receiver, Some(&authority), true),
        ("another", &receiver, Some(&other), false),
        ("itself", &own, Some(&itself), true),
        ("unknown", &own, None, false),
    ] {
        let url = format!("https://{}/", receiver.address());
        let members =
            json!({"url": url, "types": [kind], "ca_certificates": authorities, "retry": {"schedule_s": []}});
        hook(&client, receiver, members).await;
        let attempt = attempt(&client, kind).await;
        match goes {
            true => assert_eq!(attempt["response"]["status"], 200, "{kind}: {attempt}"),
            false => assert_eq!(attempt["error"]["kind"], "tls", "{kind}: {attempt}"),
        }
    }
}
