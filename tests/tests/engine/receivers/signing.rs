//! Asymmetric signatures, and names of headers of one's own.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hookwright_tests::{Arrival, Client, Receiver, Reply};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use super::patch;
use crate::{engine, hook};

/// A private key that only this test knows.
const PRIVATE: &str = "whsk_Y3VzdG9tIHNlZWQgb2YgYSB0ZXN0LCAzMiBieXRlcyE=";

/// The number of signatures of an arrival that verify with one of these public keys, and how many there are.
fn verified(arrival: &Arrival, keys: &[Vec<u8>]) -> (usize, usize) {
    let message =
        [arrival.header("webhook-id").as_bytes(), b".", arrival.header("webhook-timestamp").as_bytes(), b"."]
            .concat();
    let message = [&message[..], &arrival.body].concat();
    let signatures =
        arrival.header("webhook-signature").split(' ').filter_map(|one| one.strip_prefix("v1a,"));
    let signatures: Vec<_> = signatures.map(|one| STANDARD.decode(one).unwrap()).collect();
    let verifies = |signature: &&Vec<u8>| {
        keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(&message, signature).is_ok())
    };
    (signatures.iter().filter(verifies).count(), signatures.len())
}

fn public_keys(shown: &Value) -> Vec<Vec<u8>> {
    let key = |key: &Value| {
        let text = key["public_key"].as_str().unwrap();
        STANDARD.decode(text.strip_prefix("whpk_").unwrap()).unwrap()
    };
    shown["keys"].as_array().unwrap().iter().map(key).collect()
}

fn key_ids(set: &Value) -> Vec<String> {
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_hook_signs_with_a_key_pair_whose_public_key_needs_no_authentication() {
    let (mut server, client) = engine().await;
    let receiver = Receiver::start().await;
    let ids = [
        hook(&client, &receiver, json!({"signing": "ed25519", "types": ["a"]})).await,
        hook(&client, &receiver, json!({"signing": "both", "types": ["b"]})).await,
        hook(&client, &receiver, json!({"types": ["c"]})).await,
    ];
    let mut sets = Vec::new();
    for (kind, id, versions) in
        [("a", &ids[0], &["v1a"][..]), ("b", &ids[1], &["v1", "v1a"]), ("c", &ids[2], &["v1"])]
    {
        client.publish(kind, json!({"n": 1})).await;
        let arrival = receiver.next().await;
        let shown = client.get(&format!("/hooks/{id}/signing-keys")).await.expect(200);
        let path = shown["jwks_path"].as_str().unwrap().to_owned();
        let set = client.clone().without_key().send("GET", &path, "", &[]).await;
        let is_asymmetric = versions.contains(&"v1a");
        assert_eq!(set.headers["content-type"], "application/jwk-set+json");
        let set = set.expect(200);
        assert_eq!(key_ids(&set), key_ids(&shown), "{kind}");
        let signatures: Vec<_> = arrival
            .header("webhook-signature")
            .split(' ')
            .map(|one| one.split_once(',').unwrap().0)
            .collect();
        assert_eq!(signatures, versions);
        let count = usize::from(is_asymmetric);
        assert_eq!(verified(&arrival, &public_keys(&shown)), (count, count), "{kind}");
        if is_asymmetric {
            let key = &set["keys"][0];
            let expected = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                "kid": key["kid"], "x": URL_SAFE_NO_PAD.encode(&public_keys(&shown)[0]), "hook": id});
            assert_eq!(key, &expected);
            sets.push(path);
        }
    }
    // All keys of the tenant, the newest hook's first; none of another hook's or an unknown tenant's.
    let all = sets[0].split('?').next().unwrap();
    let outsider = client.clone().without_key();
    let get = |path: String| {
        let outsider = outsider.clone();
        async move { outsider.send("GET", &path, "", &[]).await }
    };
    assert_eq!(get(all.to_owned()).await.expect(200)["keys"].as_array().unwrap().len(), 2);
    let unknown = "/api/v3/tenants/ten_0000000000001/jwks.json".to_owned();
    assert_eq!(get(unknown).await.expect(200), json!({"keys": []}));
    assert_eq!(get("/api/v3/tenants/acme/jwks.json".to_owned()).await.status, 404);
    assert_eq!(get(format!("{all}?hook=x")).await.status, 400);

    // Keys survive a restart, and a change of something else.
    patch(&client, &ids[0], json!({"description": "changed"})).await.expect(200);
    // After a kill, what has arrived and was not recorded would arrive again.
    server.terminate().await;
    let server = server.restart().await;
    let client = client.at(server.base());
    client.publish("a", json!({})).await;
    let shown = client.get(&format!("/hooks/{}/signing-keys", ids[0])).await.expect(200);
    assert_eq!(verified(&receiver.next().await, &public_keys(&shown)), (1, 1));
}

#[tokio::test]
async fn a_key_pair_is_rotated_with_an_overlap_and_the_private_key_is_never_shown_or_stored_in_plain() {
    let (server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"signing": "ed25519"})).await;
    let before = client.get(&format!("/hooks/{id}/signing-keys")).await.expect(200);
    let path = format!("/hooks/{id}/signing-keys/rotate");
    let after = client.post(&path, json!({"key": PRIVATE})).await;
    assert!(!String::from_utf8_lossy(&after.bytes).contains("whsk_"));
    let after = after.expect(200);
    assert_eq!(key_ids(&after)[1], key_ids(&before)[0]);
    assert_eq!(
        (&after["keys"][0]["expires_at"], after["keys"][1]["expires_at"].is_string()),
        (&json!(null), true)
    );
    client.publish("t", json!({})).await;
    let arrival = receiver.next().await;
    assert_eq!(verified(&arrival, &public_keys(&after)), (2, 2));
    assert_eq!(verified(&arrival, &public_keys(&before)), (1, 2), "who knows the old key still verifies");
    for bad in [PRIVATE, "whsk_AAAA"] {
        assert_eq!(client.post(&path, json!({"key": bad})).await.expect(400)["pointer"], "/key");
    }
    assert_eq!(client.post(&path, json!({})).await.expect(200)["keys"].as_array().unwrap().len(), 3);

    let hook = client.get(&format!("/hooks/{id}")).await;
    assert!(!String::from_utf8_lossy(&hook.bytes).contains("whsk_"));
    let seed = PRIVATE.strip_prefix("whsk_").unwrap();
    for bytes in [seed.as_bytes()[..40].to_vec(), STANDARD.decode(seed).unwrap()] {
        assert_eq!(server.stored_with(&bytes).await, Vec::<String>::new());
    }
    patch(&client, &id, json!({"signing": "standard"})).await.expect(200);
    client.post(&path, json!({})).await.expect(409);
    assert_eq!(client.get(&format!("/hooks/{id}/signing-keys")).await.expect(200)["keys"], json!([]));
}

#[tokio::test]
async fn the_signature_can_have_headers_of_other_names() {
    let (server, client) = engine().await;
    let receiver = {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        Receiver::responding(move |_| {
            let first = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            Reply::status(if first { 500 } else { 200 })
        })
        .await
    };
    let script = "request.headers['svix-id'] = 'of a plugin';";
    let names = json!({"id": "Svix-Id", "timestamp": "svix-timestamp", "signature": "svix-signature"});
    let members = json!({"signature_headers": names, "signing": "both", "retry": {"schedule_s": [1]},
        "pipeline": [{"plugin": "javascript", "settings": {"script": script}}]});
    let id = hook(&client, &receiver, members).await;
    let shown = client.get(&format!("/hooks/{id}")).await.expect(200);
    assert_eq!(shown["signature_headers"]["id"], "svix-id");
    let event = client.publish("t", json!({})).await;
    assert_eq!(client.finished(&event).await[0]["state"], "succeeded");
    for arrival in [receiver.next().await, receiver.next().await] {
        let ids: Vec<_> = arrival.headers.get_all("svix-id").iter().collect();
        assert_eq!(ids, [event.as_str()]);
        assert!(arrival.header("svix-signature").starts_with("v1,"), "{arrival:?}");
        assert!(arrival.header("svix-timestamp").parse::<u64>().is_ok());
        assert_eq!(arrival.headers.get("webhook-id"), None);
        assert_eq!(arrival.headers.get("webhook-signature"), None);
    }
    // A key that may not sign sees no signature under these names either.
    let key =
        client.post("/keys", json!({"name": "r", "scopes": ["hooks:read", "events:read"]})).await.expect(201);
    let reader = Client::new(server.base(), key["key"].as_str().unwrap());
    for (who, is_shown) in [(&client, true), (&reader, false)] {
        let preview = who.post(&format!("/hooks/{id}/preview"), json!({"event": event})).await.expect(200);
        let signature = preview["request"]["headers"]["svix-signature"].as_str().unwrap();
        assert_eq!(signature.starts_with("v1,"), is_shown, "{preview}");
    }
    for (id_header, timestamp, pointer) in [
        ("host", "b", "/signature_headers/id"),
        ("content-type", "b", "/signature_headers/id"),
        ("a b", "b", "/signature_headers/id"),
        ("a", "A", "/signature_headers/timestamp"),
    ] {
        let names = json!({"id": id_header, "timestamp": timestamp, "signature": "c"});
        let problem = patch(&client, &id, json!({"signature_headers": names})).await.expect(400);
        assert_eq!(problem["pointer"], pointer, "{problem}");
    }
    let taken = json!({"headers": {"svix-id": "x"}});
    assert_eq!(patch(&client, &id, taken).await.expect(400)["pointer"], "/signature_headers/id");
    patch(&client, &id, json!({"signature_headers": null})).await.expect(200);
    client.publish("t", json!({})).await;
    assert!(receiver.next().await.header("webhook-signature").starts_with("v1,"));
}
