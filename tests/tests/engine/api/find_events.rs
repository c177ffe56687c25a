//! Finding events, telling what became of them, and sending them again.

use hookwright_tests::{Client, Receiver};
use serde_json::{Value, json};

use crate::{engine, hook};

/// All pages of a list.
pub(super) async fn all(client: &Client, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}{cursor}")).await.expect(200);
        items.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { return items };
        cursor = format!("&cursor={next}");
    }
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn events_are_found_by_type_project_time_and_id() {
    let (server, client) = engine().await;
    client.post("/projects", json!({"id": 7, "name": "p"})).await.expect(201);
    for (id, event_type, project) in
        [("a", "order.paid", json!(7)), ("b", "order.sent", json!(null)), ("c", "user.made", json!(7))]
    {
        let event = json!({"id": id, "type": event_type, "project": project, "data": {"secret": id}});
        client.post("/events", event).await.expect(202);
    }
    for (query, expected) in [
        ("limit=2", vec!["c", "b", "a"]),
        ("type=order.paid", vec!["a"]),
        ("type=order.*", vec!["b", "a"]),
        ("type=order.*&limit=1", vec!["b", "a"]),
        ("type=*", vec!["c", "b", "a"]),
        ("project=7", vec!["c", "a"]),
        ("project=7&type=user.made", vec!["c"]),
        ("id=b", vec!["b"]),
        ("id=b&type=user.*", vec![]),
        ("id=none", vec![]),
        ("since=2020-01-01T00:00:00Z", vec!["c", "b", "a"]),
        ("until=2020-01-01T00:00:00Z", vec![]),
    ] {
        assert_eq!(ids(&all(&client, &format!("/events?{query}")).await), expected, "{query}");
    }
    let newest = &all(&client, "/events?limit=9").await[0];
    let full = client.get("/events/c").await.expect(200);
    for member in ["id", "engine_id", "type", "project", "occurred_at", "accepted_at"] {
        assert_eq!(newest[member], full[member], "{member}");
    }
    assert_eq!((&newest["deliveries"], newest.get("data")), (&json!({}), None));
    let engine_id = newest["engine_id"].as_str().unwrap();
    assert_eq!(ids(&all(&client, &format!("/events?id={engine_id}")).await), ["c"]);
    for query in ["type=a,b", "project=x", "project=0", "since=now", "state=waiting"] {
        client.get(&format!("/events?{query}")).await.expect(400);
    }
    let other = server.tenant("globex").await;
    for query in ["limit=9", "id=b", &format!("id={engine_id}")] {
        assert!(all(&other, &format!("/events?{query}")).await.is_empty(), "{query}");
    }
}

#[tokio::test]
async fn an_event_shows_the_states_of_its_deliveries_and_why_hooks_do_not_get_it() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let make = async |members: Value| {
        let mut hook = json!({"url": receiver.url("/"), "types": ["order.*"], "retry": {"schedule_s": []}});
        hook.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        client.post("/hooks", hook).await.expect(201)["id"].as_str().unwrap().to_owned()
    };
    client.post("/projects", json!({"id": 7, "name": "p"})).await.expect(201);
    let gets = make(json!({})).await;
    let drops =
        make(json!({"pipeline": [{"plugin": "event-filter", "settings": {"pointer": "/n", "equals": 2}}]}))
            .await;
    let other_type = make(json!({"types": ["user.*"]})).await;
    let other_project = make(json!({"project": 7})).await;
    let disabled = make(json!({"enabled": false})).await;
    let event = client.publish("order.paid", json!({"n": 1})).await;
    client.finished(&event).await;
    let later = make(json!({})).await;

    let listed = client.get("/events?type=order.*").await.expect(200);
    assert_eq!(listed["data"][0]["deliveries"], json!({"succeeded": 1, "dropped": 1}), "{listed}");
    let matches = all(&client, &format!("/events/{event}/matches?limit=2")).await;
    let found: Vec<_> = matches
        .iter()
        .map(|found| {
            let state = found["delivery"]["state"].as_str().unwrap_or("none");
            (found["hook"].as_str().unwrap(), found["matches"] == true, found["why"].clone(), state)
        })
        .collect();
    let expected = [
        (gets.as_str(), true, json!([]), "succeeded"),
        (&drops, true, json!(["dropped"]), "dropped"),
        (&other_type, false, json!(["type"]), "none"),
        (&other_project, false, json!(["project"]), "none"),
        (&disabled, false, json!(["disabled"]), "none"),
        (&later, true, json!(["created_later"]), "none"),
    ];
    assert_eq!(found, expected);

    let deliveries = all(&client, &format!("/deliveries?event={event}&limit=1")).await;
    assert_eq!(deliveries.len(), 2);
    let of_drops = all(&client, &format!("/deliveries?event={event}&hook={drops}&state=dropped")).await;
    assert_eq!(of_drops.len(), 1);
    for (query, count) in [
        ("state=dropped,succeeded", 2),
        ("state=dropped,succeeded&limit=1", 2),
        ("state=dropped,waiting", 1),
        ("state=waiting,exhausted", 0),
        ("type=order.*", 2),
        ("type=order.paid&state=succeeded", 1),
        ("type=user.*", 0),
        ("event=none", 0),
    ] {
        assert_eq!(all(&client, &format!("/deliveries?{query}")).await.len(), count, "{query}");
    }
    client.get("/deliveries?state=dropped,other").await.expect(400);
}

#[tokio::test]
async fn a_stored_event_is_sent_to_a_hook_that_does_not_subscribe_to_it() {
    let (server, client) = engine().await;
    let receiver = Receiver::start().await;
    let other_receiver = Receiver::start().await;
    let subscribed = hook(&client, &receiver, json!({})).await;
    let unsubscribed = hook(&client, &other_receiver, json!({"types": ["user.*"]})).await;
    let event = json!({"id": "own", "type": "order.paid", "data": {"n": 1}});
    let event = client.post("/events", event).await.expect(202)["engine_id"].as_str().unwrap().to_owned();
    let first = receiver.next().await;
    for (hook, receiver) in [(&unsubscribed, &other_receiver), (&subscribed, &receiver)] {
        let made = client.post("/events/own/deliveries", json!({"hook": hook})).await.expect(202);
        assert_eq!(
            (&made["hook"], &made["event"], &made["event_id"]),
            (&json!(hook), &json!(event), &json!("own"))
        );
        assert_eq!(made["trigger"], "replay");
        let arrival = receiver.next().await;
        assert_eq!((arrival.header("webhook-id"), &arrival.body), ("own", &first.body));
    }
    let deliveries = client.finished(&event).await;
    let triggers: Vec<_> = deliveries.iter().map(|delivery| &delivery["trigger"]).collect();
    assert_eq!(triggers, ["event", "replay", "replay"]);

    let merge = [("content-type", "application/merge-patch+json")];
    let path = format!("/api/v3/hooks/{unsubscribed}");
    client.send("PATCH", &path, json!({"enabled": false}).to_string(), &merge).await.expect(200);
    let send =
        async |event: &str, body: Value| client.post(&format!("/events/{event}/deliveries"), body).await;
    send("own", json!({"hook": unsubscribed})).await.expect(409);
    send("none", json!({"hook": subscribed})).await.expect(404);
    for body in [json!({}), json!({"hook": 1}), json!({"hook": "x"}), json!({"hook": "hook_0000000000001"})] {
        send("own", body).await.expect(400);
    }
    let other = server.tenant("globex").await;
    other.post(&format!("/events/{event}/deliveries"), json!({"hook": subscribed})).await.expect(404);
    assert_eq!(receiver.so_far().len() + other_receiver.so_far().len(), 0);
}
