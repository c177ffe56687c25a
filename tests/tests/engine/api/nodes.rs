//! `GET /nodes`.

use serde_json::Value;

use crate::engine;

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_the_nodes_and_what_they_do() {
    let (server, client) = engine().await;
    client.get("/nodes").await.expect(403);
    client.clone().without_key().get("/nodes").await.expect(401);
    let began = std::time::Instant::now();
    loop {
        let nodes = server.operator().get("/nodes").await.expect(200);
        let [node] = nodes["data"].as_array().unwrap().as_slice() else { panic!("one node: {nodes}") };
        assert_eq!(node["state"], "alive", "{node}");
        assert!(node["started_at"].is_string() && node["last_beat_at"].is_string(), "{node}");
        // The first report comes soon after the start.
        if node["deliveries_in_memory"] != Value::Null {
            assert_eq!(node["deliveries_in_memory"], 0, "{node}");
            assert_eq!(node["owned_hooks"], 0, "{node}");
            return;
        }
        assert!(began.elapsed() < hookwright_tests::TIMEOUT, "{node}");
    }
}
