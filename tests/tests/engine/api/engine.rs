//! What operators see of the whole engine.

use hookwright_tests::{Client, Receiver, TIMEOUT};
use serde_json::{Value, json};

use crate::{BINARY, engine, hook};

/// The figures when `are_there` accepts them.
async fn figures_when(operator: &Client, are_there: impl Fn(&Value) -> bool) -> Value {
    let began = std::time::Instant::now();
    loop {
        let figures = operator.get("/engine/figures").await.expect(200);
        if are_there(&figures) {
            return figures;
        }
        assert!(began.elapsed() < TIMEOUT, "{figures}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_operator_sees_how_a_node_is_doing() {
    let (server, client) = engine().await;
    client.get("/engine/figures").await.expect(403);
    let operator = server.operator();
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let event = client.publish("order.paid", json!({})).await;
    client.finished(&event).await;
    let figures = figures_when(&operator, |figures| figures["hooks"]["ok"] == 1).await;
    assert!(figures["sampled_at"].is_string() && figures["node"].is_u64(), "{figures}");
    for times in ["commits", "arrivals"] {
        let times = &figures[times];
        assert!(times["count"].as_u64() >= Some(1) && times["over_s"].is_u64(), "{figures}");
        assert!(times["p50_ms"].as_f64() > Some(0.0), "{figures}");
        assert!(times["p99_ms"].as_f64() >= times["p50_ms"].as_f64(), "{figures}");
    }
    let storage = &figures["storage"];
    for size in ["database_bytes", "disk_free_bytes", "disk_size_bytes"] {
        assert!(storage[size].as_u64() > Some(0), "{size}: {figures}");
    }
    assert_eq!(storage["wal_bytes"].is_u64(), !BINARY.is_on_postgres(), "{figures}");
    assert_eq!((&figures["oldest_due_s"], &figures["deliveries"]["pending"]), (&json!(0.0), &json!(0)));
    assert!(figures["in_flight_limit"].as_u64() > Some(0), "{figures}");
}
