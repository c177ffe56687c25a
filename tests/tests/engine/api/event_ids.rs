//! An event with a sender's id has two ids. Responses contain both.

use hookwright_tests::Receiver;
use serde_json::{Value, json};

use crate::{engine, hook};

/// Returns the id that receivers see and the engine's id, by their names in this kind of response.
fn ids<'v>(response: &'v Value, names: [&str; 2]) -> [&'v str; 2] {
    names.map(|name| response[name].as_str().unwrap_or_else(|| panic!("`{name}` in {response:#}")))
}

const OF_EVENT: [&str; 2] = ["id", "engine_id"];
const OF_DELIVERY: [&str; 2] = ["event_id", "event"];

#[tokio::test]
async fn responses_contain_both_ids_of_an_event_and_both_identify_it() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let hook = hook(&client, &receiver, json!({})).await;
    let event = json!({"type": "push", "data": 1, "id": "gh-40"});
    let receipt = client.post("/events", event.clone()).await.expect(202);
    let [id, engine_id] = ids(&receipt, OF_EVENT);
    assert_eq!(id, "gh-40");
    assert!(engine_id.starts_with("evt_"), "{engine_id}");
    assert_eq!(receiver.next().await.header("webhook-id"), id);

    let again = client.post("/events", event).await.expect(200);
    assert_eq!(ids(&again, OF_EVENT), [id, engine_id]);
    for path_id in [id, engine_id] {
        let shown = client.get(&format!("/events/{path_id}")).await.expect(200);
        assert_eq!(ids(&shown, OF_EVENT), [id, engine_id], "by {path_id}");
        let finished = client.finished(path_id).await;
        assert_eq!(ids(&finished[0], OF_DELIVERY), [id, engine_id], "one delivery, by {path_id}");
        let list = client.get(&format!("/events/{path_id}/deliveries")).await.expect(200);
        assert_eq!(ids(&list["data"][0], OF_DELIVERY), [id, engine_id], "deliveries of the event");
    }
    let list = client.get("/deliveries").await.expect(200);
    assert_eq!(ids(&list["data"][0], OF_DELIVERY), [id, engine_id], "deliveries");
    let delivery = list["data"][0]["id"].as_str().unwrap();
    let retried = client.post(&format!("/deliveries/{delivery}/retry"), json!({})).await.expect(202);
    assert_eq!(ids(&retried, OF_DELIVERY), [id, engine_id], "retried");

    let lines = "{\"type\":\"push\",\"data\":2}\n{\"type\":\"push\",\"data\":3,\"id\":\"gh-41\"}";
    let ndjson = [("content-type", "application/x-ndjson")];
    let batch = client.send("POST", "/api/v3/events/batch", lines, &ndjson).await.expect(202);
    assert_eq!(batch["ids"][0], batch["engine_ids"][0], "an event without a sender's id has one id");
    assert_eq!(batch["ids"][1], "gh-41");
    let shown =
        client.get(&format!("/events/{}", batch["engine_ids"][1].as_str().unwrap())).await.expect(200);
    assert_eq!(shown["id"], "gh-41");

    let test = client.post(&format!("/hooks/{hook}/test"), json!({})).await.expect(202);
    let [event_id, event] = ids(&test, OF_DELIVERY);
    assert_eq!(event_id, event);
}

#[tokio::test]
async fn a_list_contains_the_ids_of_many_events() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let lines: Vec<String> = (0..20)
        .map(|number| match number % 2 {
            0 => json!({"type": "push", "data": number, "id": format!("own-{number}")}).to_string(),
            _ => json!({"type": "push", "data": number}).to_string(),
        })
        .collect();
    let ndjson = [("content-type", "application/x-ndjson")];
    let batch = client.send("POST", "/api/v3/events/batch", lines.join("\n"), &ndjson).await.expect(202);
    let list = client.get("/deliveries?limit=250").await.expect(200);
    let mut shown: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|one| ids(one, OF_DELIVERY)).collect();
    shown.sort_by_key(|[_, engine_id]| (*engine_id).to_owned());
    let sent: Vec<_> =
        batch["ids"].as_array().unwrap().iter().zip(batch["engine_ids"].as_array().unwrap()).collect();
    let sent: Vec<_> = sent.iter().map(|(id, own)| [id.as_str().unwrap(), own.as_str().unwrap()]).collect();
    assert_eq!(shown, sent);
}
