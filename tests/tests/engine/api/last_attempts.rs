//! The last attempts of listed deliveries.

use hookwright_tests::{Client, Receiver, Reply};
use serde_json::{Value, json};

use super::find_events::all;
use crate::{engine, hook};

/// What a list should show of a delivery: its latest attempt, in short.
fn last_attempt(delivery: &Value) -> Value {
    let Some(last) = delivery["attempts"].as_array().unwrap().last() else { return Value::Null };
    let failure = if last["fault"].is_null() { &last["error"] } else { &last["fault"] };
    let error = failure["message"].as_str().map(|text| match text.len() {
        ..=200 => text.to_owned(),
        _ => format!("{}…", &text[..text.floor_char_boundary(197)]),
    });
    let (number, outcome, status) = (&last["number"], &last["outcome"], &last["response"]["status"]);
    json!({"number": number, "outcome": outcome, "status": status, "error": error})
}

/// Creates a hook for each outcome, and a paused one. Returns the one that gets a 503, and the paused one.
async fn hooks(client: &Client, [good, bad, silent]: [&Receiver; 3]) -> [String; 2] {
    // A port that was just free.
    let closed = Receiver::start().await.url("/");
    let filter = json!([{"plugin": "event-filter", "settings": {"pointer": "/n", "equals": 2}}]);
    let script =
        json!([{"plugin": "javascript", "settings": {"script": "throw new Error(event.data.long);"}}]);
    let mut made = Vec::new();
    for (receiver, more) in [
        (bad, json!({})),
        (good, json!({"paused": true})),
        (good, json!({})),
        (silent, json!({"timeout_ms": 200})),
        (good, json!({"url": closed})),
        (good, json!({"pipeline": filter})),
        (good, json!({"pipeline": script})),
    ] {
        let mut members = json!({"retry": {"schedule_s": []}});
        members.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        made.push(hook(client, receiver, members).await);
    }
    [made.remove(0), made.remove(0)]
}

#[tokio::test]
async fn a_list_shows_the_last_attempts_of_deliveries_if_it_is_asked_to() {
    let (_server, client) = engine().await;
    let good = Receiver::start().await;
    let bad = Receiver::responding(|_| Reply::status(503)).await;
    let silent = Receiver::responding(|_| Reply::Never).await;
    let [unavailable, paused] = hooks(&client, [&good, &bad, &silent]).await;
    let event = client.publish("t", json!({"n": 1, "long": "ü".repeat(150)})).await;
    let is_done = |delivery: &Value, attempts: u64| {
        let is_final = ["succeeded", "exhausted", "dropped"].contains(&delivery["state"].as_str().unwrap());
        let is_attempted = delivery["hook"] != unavailable || delivery["attempt_count"] == attempts;
        delivery["hook"] == paused || (is_final && is_attempted)
    };
    let deliveries = client.deliveries_when(&event, |delivery| is_done(delivery, 1)).await;
    let failed = deliveries.iter().find(|delivery| delivery["hook"] == unavailable).unwrap();
    let path = format!("/deliveries/{}/retry", failed["id"].as_str().unwrap());
    client.post(&path, json!({})).await.expect(202);
    let deliveries = client.deliveries_when(&event, |delivery| is_done(delivery, 2)).await;
    assert_eq!(deliveries.len(), 7);

    let lists = [format!("/deliveries?event={event}&limit=3"), format!("/events/{event}/deliveries?limit=3")];
    for path in &lists {
        assert!(all(&client, path).await.iter().all(|shown| shown.get("last_attempt").is_none()), "{path}");
        let shown = all(&client, &format!("{path}&include=last_attempt")).await;
        let mut outcomes = Vec::new();
        for delivery in &deliveries {
            let shown = shown.iter().find(|shown| shown["id"] == delivery["id"]).unwrap();
            assert_eq!(shown["last_attempt"], last_attempt(delivery), "{path} {delivery:#}");
            outcomes.push(shown["last_attempt"]["outcome"].as_str().unwrap_or("none").to_owned());
        }
        outcomes.sort_unstable();
        let expected = ["dropped", "faulted", "none", "response", "response", "timed-out", "unreachable"];
        assert_eq!(outcomes, expected, "{path}");
        let problem = client.get(&format!("{path}&include=attempts")).await.expect(400);
        assert_eq!(problem["detail"], "expected `last_attempt`", "{problem}");
    }

    client.send("DELETE", &format!("/api/v3/events/{event}"), "", &[]).await.expect(200);
    for path in &lists {
        let shown = all(&client, &format!("{path}&include=last_attempt")).await;
        assert_eq!(shown.len(), 7, "{path}");
        assert!(shown.iter().all(|shown| shown.get("last_attempt").is_none()), "{path}: {shown:#?}");
    }
}
