//! What a disabled hook has missed can be found and recovered.

use hookwright_tests::Receiver;
use serde_json::json;

use crate::start::patch_hook;
use crate::{engine, hook};

#[tokio::test]
async fn what_was_missed_is_listed_and_recovered_once() {
    let (server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"types": ["order.*"]})).await;
    client.finished(&client.publish("order.paid", json!("before")).await).await;
    let disabled = patch_hook(&client, &id, json!({"enabled": false})).await;
    let since = disabled["state"]["since"].as_str().unwrap().to_owned();
    let mut missed = Vec::new();
    for number in 0..5 {
        missed.push(client.publish("order.paid", json!(number)).await);
        client.publish("other", json!(number)).await;
    }
    let path = format!("/hooks/{id}/missed");
    let listed = |page: &serde_json::Value| -> Vec<String> {
        let data = page["data"].as_array().unwrap();
        data.iter().map(|one| one["event"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&client.get(&path).await.expect(200)), missed);
    let first = client.get(&format!("{path}?limit=2")).await.expect(200);
    let next = first["next"].as_str().unwrap();
    let second = client.get(&format!("{path}?limit=3&cursor={next}")).await.expect(200);
    assert_eq!([listed(&first), listed(&second)].concat(), missed);
    assert_eq!(second["next"], json!(null));

    let recover = format!("/hooks/{id}/recover");
    let refused = client.post(&recover, json!({"since": since})).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("enable it first"), "{refused}");
    patch_hook(&client, &id, json!({"enabled": true})).await;
    client.get(&path).await.expect(400);
    let refused = client.post(&recover, json!({})).await.expect(400);
    assert_eq!(refused["pointer"], "/since");
    let key = client.post("/keys", json!({"name": "k", "scopes": ["hooks:write"]})).await.expect(201);
    let writer = hookwright_tests::Client::new(server.base(), key["key"].as_str().unwrap());
    writer.post(&recover, json!({"since": since})).await.expect(403);
    for expected in [5, 0] {
        let recovered = client.post(&recover, json!({"since": since})).await.expect(200);
        assert_eq!(recovered, json!({"deliveries": expected, "next": null}));
    }
    for (number, event) in missed.iter().enumerate() {
        let delivery = client.finished(event).await.remove(0);
        assert_eq!(
            (&delivery["state"], &delivery["trigger"]),
            (&json!("succeeded"), &json!("replay")),
            "{number}"
        );
    }
    assert_eq!(receiver.so_far().len(), 6);
    assert_eq!(listed(&client.get(&format!("{path}?since={since}")).await.expect(200)), [""; 0]);
}

#[tokio::test]
async fn a_paused_hook_misses_nothing_and_holds_what_is_recovered() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let event = client.publish("t", json!("before the hook")).await;
    let id = hook(&client, &receiver, json!({"paused": true})).await;
    client.publish("t", json!("held")).await;
    let path = format!("/hooks/{id}/missed?since=2020-01-01T00:00:00Z");
    let missed = client.get(&path).await.expect(200);
    assert_eq!((&missed["data"][0]["event"], &missed["data"][1]), (&json!(event), &json!(null)));
    let recover = json!({"since": "2020-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"});
    let recovered = client.post(&format!("/hooks/{id}/recover"), recover).await.expect(200);
    assert_eq!(recovered["deliveries"], 1);
    assert_eq!(client.get(&format!("/hooks/{id}")).await.expect(200)["held"], 2);
    patch_hook(&client, &id, json!({"paused": false})).await;
    client.finished(&event).await;
}
