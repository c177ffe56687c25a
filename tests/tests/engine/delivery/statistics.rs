//! Statistics of hooks and tenants.

use hookwright_tests::{Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::{BINARY, engine, hook};

/// Asks until the statistics are stored.
async fn when(client: &hookwright_tests::Client, path: &str, attempts: u64) -> Value {
    let began = std::time::Instant::now();
    loop {
        let stats = client.get(path).await.expect(200);
        if stats["total"]["attempts"].as_u64().unwrap() >= attempts {
            return stats;
        }
        assert!(began.elapsed() < hookwright_tests::TIMEOUT, "still {stats:#}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn attempts_are_counted_by_how_they_end() {
    let (server, client) = engine().await;
    let receiver = Receiver::responding(|arrival| {
        let status = if arrival.path == "/fails" { 500 } else { 200 };
        Reply::Status(status, vec![], vec![])
    })
    .await;
    let once = json!({"schedule_s": []});
    let works = hook(&client, &receiver, json!({"retry": once})).await;
    let fails = hook(&client, &receiver, json!({"retry": once, "url": receiver.url("/fails")})).await;
    let filter = json!([{"plugin": "event-filter", "settings": {"pointer": "/n", "equals": 0}}]);
    let drops = hook(&client, &receiver, json!({"pipeline": filter})).await;
    for number in 1..=3 {
        let event = client.publish("t", json!({"n": number})).await;
        client.finished(&event).await;
    }
    for (hook, outcome, rate) in [
        (&works, "succeeded", json!(1.0)),
        (&fails, "rejected", json!(0.0)),
        (&drops, "dropped", json!(null)),
    ] {
        let stats = when(&client, &format!("/hooks/{hook}/stats"), 3).await;
        let total = &stats["total"];
        for (name, count) in total["outcomes"].as_object().unwrap() {
            assert_eq!(count, if name == outcome { 3 } else { 0 }, "{hook} {name}");
        }
        assert_eq!((&total["attempts"], &total["success_rate"]), (&json!(3), &rate));
        let p50 = total["latency_ms"]["p50"].as_f64();
        assert_eq!(p50.is_some_and(|p50| p50 > 0.0), outcome != "dropped", "{stats}");
        assert!(p50 <= total["latency_ms"]["p99"].as_f64());
        let hours = stats["hours"].as_array().unwrap();
        assert_eq!(hours.iter().map(|hour| hour["attempts"].as_u64().unwrap()).sum::<u64>(), 3);
    }
    let of_tenant = when(&client, "/tenants/acme/stats", 9).await;
    let expected = json!({
        "succeeded": 3, "rejected": 3, "timed_out": 0, "unreachable": 0, "faulted": 0, "dropped": 3
    });
    assert_eq!(
        (&of_tenant["total"]["outcomes"], &of_tenant["total"]["success_rate"]),
        (&expected, &json!(0.5))
    );
    let other = server.tenant("globex").await;
    other.get(&format!("/hooks/{works}/stats")).await.expect(404);
    other.get("/tenants/acme/stats").await.expect(404);
    assert_eq!(other.get("/tenants/globex/stats").await.expect(200)["total"]["attempts"], 0);
    for query in
        ["since=2020-01-01T00:00:00Z", "until=2020-01-01T00:00:00Z&since=2021-01-01T00:00:00Z", "x=1"]
    {
        client.get(&format!("/hooks/{works}/stats?{query}")).await.expect(400);
    }
}

#[tokio::test]
async fn a_shutdown_stores_what_was_counted() {
    let mut server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    let receiver = Receiver::start().await;
    let hook = hook(&client, &receiver, json!({})).await;
    let event = client.publish("t", json!({})).await;
    client.finished(&event).await;
    assert_eq!(server.terminate().await, Some(0));
    let server = server.restart().await;
    let client = client.at(server.base());
    let stats = client.get(&format!("/hooks/{hook}/stats")).await.expect(200);
    assert_eq!(stats["total"]["attempts"], 1);
}
