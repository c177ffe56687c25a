//! Forwarding to a local address.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookwright_tests::{Arrival, Receiver, Reply};
use serde_json::{Value, json};
use sha2::Sha256;

use super::Listener;
use crate::{engine, hook};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Whether the arrival is signed with this secret, according to Standard Webhooks.
pub(super) fn is_signed(arrival: &Arrival, secret: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    for part in [arrival.header("webhook-id"), ".", arrival.header("webhook-timestamp"), "."] {
        mac.update(part.as_bytes());
    }
    mac.update(&arrival.body);
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    arrival.header("webhook-signature").split(' ').any(|one| one == signature)
}

async fn key(client: &hookwright_tests::Client, scopes: Value) -> String {
    let made = client.post("/keys", json!({"name": "k", "scopes": scopes})).await.expect(201);
    made["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_delivery_arrives_once_at_the_local_address_as_its_hook_would_send_it() {
    let (server, client) = engine().await;
    let remote = Receiver::start().await;
    let rule = |arrival: &Arrival| {
        Reply::Status(200, Vec::new(), format!("got {}", arrival.json()["n"]).into_bytes())
    };
    let local = Receiver::responding(rule).await;
    let script = "if (event.data.n === 2) return null; if (event.data.n === 3) throw new Error('no'); \
                  request.method = 'PUT'; request.headers['x-n'] = String(event.data.n);";
    let more = json!({"headers": {"x-own": "of the hook"}, "retry": {"schedule_s": []},
                      "pipeline": [{"plugin": "javascript", "settings": {"script": script}}]});
    hook(&client, &remote, more).await;
    let before = client.publish("order.paid", json!({"n": 0})).await;
    client.finished(&before).await;
    let key = key(&client, json!(["deliveries:read", "hooks:read", "events:read"])).await;
    let target = local.url("/hook?a=b");
    let options = ["--json", "--forward", &target, "--secret", SECRET];
    let mut listener = Listener::start(server.base(), &key, &options).await;
    for n in [1, 2, 3, 4] {
        let event = client.publish("order.paid", json!({"n": n})).await;
        let forwarded = listener.object("forwarded").await;
        assert_eq!((&forwarded["event_id"], &forwarded["type"]), (&json!(event), &json!("order.paid")));
        let outcome = &forwarded["outcome"];
        match n {
            2 => assert_eq!(outcome, "dropped"),
            3 => {
                assert_eq!(outcome, "faulted");
                assert!(forwarded["error"].as_str().unwrap().contains("no"), "{forwarded}");
            }
            _ => {
                assert_eq!((outcome, &forwarded["status"]), (&json!("response"), &json!(200)));
                assert_eq!(forwarded["body"], format!("got {n}"));
                let arrival = local.next().await;
                assert_eq!((arrival.method.as_str(), arrival.path.as_str()), ("PUT", "/hook?a=b"));
                assert!(is_signed(&arrival, SECRET), "{arrival:?}");
                assert_eq!((arrival.header("webhook-id"), arrival.header("x-own")), (&*event, "of the hook"));
                assert_eq!(arrival.header("x-n"), n.to_string());
                let sent = client.finished(&event).await;
                assert_eq!(sent[0]["state"], "succeeded");
                let real =
                    remote.so_far().into_iter().rfind(|real| real.header("webhook-id") == event).unwrap();
                assert_eq!((&arrival.method, &arrival.body), (&real.method, &real.body));
                for name in ["content-type", "user-agent", "hookwright-event-type"] {
                    assert_eq!(arrival.header(name), real.header(name), "{name}");
                }
            }
        }
    }
    assert_eq!(local.so_far().len(), 0, "each once, and nothing from before");
}

#[tokio::test]
async fn deliveries_of_a_paused_hook_are_forwarded_with_a_secret_that_is_printed() {
    let (server, client) = engine().await;
    let (remote, local) = (Receiver::start().await, Receiver::start().await);
    hook(&client, &remote, json!({"paused": true})).await;
    let key = key(&client, json!(["deliveries:read", "hooks:read", "events:read"])).await;
    let target = local.url("/");
    let mut listener = Listener::spawn(server.base(), &key, &["--forward", &target]);
    let line = listener.line_with("signed with whsec_").await;
    let secret = line.split_once("signed with ").unwrap().1.trim();
    listener.line_with("connected").await;
    client.publish("order.paid", json!({"n": 1})).await;
    let arrival = local.next().await;
    assert!(is_signed(&arrival, secret));
    let line = listener.line_with("forwarded").await;
    assert!(line.contains("200 in "), "{line}");
    assert_eq!(remote.so_far().len(), 0);
}

#[tokio::test]
async fn the_hooks_own_signature_needs_a_key_that_may_write_hooks() {
    let (server, client) = engine().await;
    let (remote, local) = (Receiver::start().await, Receiver::start().await);
    let id = hook(&client, &remote, json!({"paused": true})).await;
    let secret = client.get(&format!("/hooks/{id}/secret")).await.expect(200)["secret"].clone();
    let target = local.url("/");
    for (write, outcome) in [(false, "failed"), (true, "response")] {
        let mut scopes = vec!["deliveries:read", "hooks:read", "events:read"];
        scopes.extend(write.then_some("hooks:write"));
        let key = key(&client, json!(scopes)).await;
        let options = ["--json", "--forward", &target, "--secret", "hook"];
        let mut listener = Listener::start(server.base(), &key, &options).await;
        client.publish("order.paid", json!({})).await;
        let forwarded = listener.object("forwarded").await;
        assert_eq!(forwarded["outcome"], outcome, "{forwarded}");
        if write {
            assert!(is_signed(&local.next().await, secret.as_str().unwrap()));
        } else {
            assert!(forwarded["error"].as_str().unwrap().contains("hooks:write"), "{forwarded}");
        }
    }
    assert_eq!(local.so_far().len(), 0);
}

#[tokio::test]
async fn a_local_receiver_that_is_not_there_is_told_and_nothing_is_repeated() {
    let (server, client) = engine().await;
    let remote = Receiver::start().await;
    hook(&client, &remote, json!({})).await;
    let unused = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port().to_string()
    };
    let key = key(&client, json!(["deliveries:read", "hooks:read", "events:read"])).await;
    let mut listener = Listener::start(server.base(), &key, &["--json", "--forward", &unused]).await;
    client.publish("order.paid", json!({})).await;
    let forwarded = listener.object("forwarded").await;
    assert_eq!(forwarded["outcome"], "failed");
    assert!(forwarded["error"].as_str().unwrap().contains("refused"), "{forwarded}");
    client.publish("order.paid", json!({})).await;
    let other = listener.object("forwarded").await;
    assert_ne!(forwarded["delivery"], other["delivery"]);
}
