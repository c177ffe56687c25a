//! Pauses and circuits hold over all nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::start::{hook_when, patch_hook};
use crate::{BINARY, hook};

/// Three nodes on one database, and a client of a tenant for each.
async fn three_nodes(settings: &[(&str, &str)]) -> ([Server; 3], [Client; 3]) {
    let first = Server::start_with(BINARY, settings).await;
    let client = first.tenant("acme").await;
    let nodes = [first.another_node().await, first.another_node().await];
    let clients = [client.clone(), client.clone().at(nodes[0].base()), client.at(nodes[1].base())];
    let [second, third] = nodes;
    ([first, second, third], clients)
}

/// Waits until all nodes show the hook as `wanted`.
async fn all_show(clients: &[Client; 3], hook: &str, wanted: impl Fn(&Value) -> bool) {
    for client in clients {
        let known = async || client.get(&format!("/hooks/{hook}")).await.status == 200;
        while !known().await {
            tokio::task::yield_now().await;
        }
        hook_when(client, hook, &wanted).await;
    }
}

/// Publishes through all nodes in turn. A node that has just joined may refuse for a moment.
async fn publish(clients: &[Client; 3], count: usize) -> Vec<String> {
    let mut events = Vec::new();
    while events.len() < count {
        let body = json!({"type": "t", "data": events.len()});
        let response = clients[events.len() % 3].post("/events", body).await;
        if response.status != 503 {
            events.push(response.expect(202)["id"].as_str().unwrap().to_owned());
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_through_one_node_is_held_by_all_and_resumed_through_another() {
    let (nodes, clients) = three_nodes(&[]).await;
    let receiver = Receiver::start().await;
    let id = hook(&clients[0], &receiver, json!({})).await;
    let merge = [("content-type", "application/merge-patch+json")];
    let of_hook = format!("/api/v3/hooks/{id}");
    for (what, path) in
        [("hook", of_hook.as_str()), ("tenant", "/api/v3/tenants/acme"), ("engine", "/api/v3/engine")]
    {
        let who = |node: usize| if what == "hook" { clients[node].clone() } else { nodes[node].operator() };
        who(0).send("PATCH", path, r#"{"paused": true}"#, &merge).await.expect(200);
        all_show(&clients, &id, |hook| hook["state"]["paused"] == what).await;
        let events = publish(&clients, 9).await;
        hook_when(&clients[1], &id, |hook| hook["held"] == 9).await;
        assert_eq!(receiver.so_far().len(), 0, "{what}");
        who(2).send("PATCH", path, r#"{"paused": false}"#, &merge).await.expect(200);
        for event in &events {
            assert_eq!(clients[1].finished(event).await[0]["state"], "succeeded", "{what}");
        }
        assert_eq!(receiver.so_far().len(), 9, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_circuit_costs_one_probe_over_all_nodes() {
    let settings = [
        ("HOOKWRIGHT_MAX_IN_FLIGHT_PER_HOOK", "1"),
        ("HOOKWRIGHT_CIRCUIT_ATTEMPTS", "5"),
        ("HOOKWRIGHT_CIRCUIT_OPEN_MS", "86400000"),
        ("HOOKWRIGHT_CIRCUIT_MAX_OPEN_MS", "86400000"),
    ];
    let (_nodes, clients) = three_nodes(&settings).await;
    let status = Arc::new(AtomicU16::new(500));
    let answer = Arc::clone(&status);
    let receiver = Receiver::responding(move |_| Reply::status(answer.load(SeqCst))).await;
    let id = hook(&clients[0], &receiver, json!({"retry": {"schedule_s": vec![1; 50]}})).await;
    all_show(&clients, &id, |hook| hook["state"]["name"] == "ok").await;
    let mut events = publish(&clients, 12).await;
    let is_open = |hook: &Value| hook["state"]["name"] == "circuit_open";
    all_show(&clients, &id, is_open).await;
    assert!(!receiver.so_far().is_empty());
    events.extend(publish(&clients, 12).await);
    hook_when(&clients[2], &id, |hook| hook["held"] == 24).await;
    let until = hook_when(&clients[0], &id, is_open).await["state"]["until"].as_str().unwrap().to_owned();

    patch_hook(&clients[1], &id, json!({"description": "probe it"})).await;
    all_show(&clients, &id, |hook| is_open(hook) && hook["state"]["until"].as_str() > Some(&until)).await;
    assert_eq!(receiver.so_far().len(), 1);

    status.store(200, SeqCst);
    patch_hook(&clients[2], &id, json!({"description": "mended"})).await;
    for event in &events {
        assert_eq!(clients[0].finished(event).await[0]["state"], "succeeded");
    }
    assert_eq!(receiver.so_far().len(), 24);
    all_show(&clients, &id, |hook| hook["state"] == json!({"name": "ok"})).await;
}
