//! Hostile plugins fail within their limits, with the right fault, and do not affect other tenants.

use hookwright_tests::{Receiver, Server, guest};
use serde_json::json;

use crate::{BINARY, hook};

/// Name, fields of the module, body of `accept`, kind of the fault.
const GUESTS: &[(&str, &str, &str, &str)] = &[
    ("endless-loop", "", "(loop $again (br $again)) (unreachable)", "out-of-fuel"),
    (
        "endless-loop-in-start",
        "(func $start (loop $again (br $again))) (start $start)",
        "(i32.const 0)",
        "out-of-fuel",
    ),
    ("trap-in-start", "(func $start (unreachable)) (start $start)", "(i32.const 0)", "trap"),
    ("unreachable", "", "(unreachable)", "trap"),
    (
        "deep-recursion",
        "(func $down (param i32) (result i32) (i32.add (i32.const 1) (call $down (local.get 0))))",
        "(call $down (i32.const 0))",
        "trap",
    ),
    ("divide-by-zero", "", "(i32.div_u (i32.const 1) (i32.const 0))", "trap"),
    (
        "memory-growth",
        "",
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) (unreachable)",
        "out-of-memory",
    ),
    ("result-outside-memory", "", "(i32.const -8)", "invalid-output"),
    (
        "huge-message",
        "",
        "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store (i32.const 68) (i32.const 0)) (i32.store (i32.const 72) (i32.const 4)) (i32.store (i32.const 76) (i32.const 1024)) (i32.store (i32.const 80) (i32.const 60000)) (i32.const 64)",
        "failure",
    ),
    (
        "message-outside-memory",
        "",
        "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store (i32.const 80) (i32.const 0x7fffffff)) (i32.const 64)",
        "invalid-output",
    ),
    (
        "memory-fill",
        "",
        "(loop $again (memory.fill (i32.const 0) (i32.const 0) (i32.const 131072)) (br $again)) (unreachable)",
        "out-of-fuel",
    ),
];

#[tokio::test]
async fn each_hostile_plugin_ends_with_its_fault_and_does_not_affect_others() {
    let server = Server::start(BINARY).await;
    let (attacker, neighbour) = (server.tenant("attacker").await, server.tenant("acme").await);
    let receiver = Receiver::start().await;
    hook(&neighbour, &receiver, json!({"pipeline": [{"plugin": "field-map", "settings": {}}]})).await;
    for (name, fields, body, kind) in GUESTS {
        let wasm = guest::filter(fields, body);
        let uploaded = attacker.send("PUT", &format!("/api/v3/plugins/{name}"), wasm, &[]).await;
        if uploaded.status == 400 {
            // The upload may be refused if the plugin fails at instantiation.
            assert!(fields.contains("start"), "{name}: {}", uploaded.json());
            continue;
        }
        uploaded.expect(201);
        let hook = json!({"url": receiver.url("/attacker"), "types": [name], "pipeline": [{"plugin": name}], "retry": {"schedule_s": []}});
        attacker.post("/hooks", hook).await.expect(201);
        let attacks: Vec<String> = (0..40).map(|n| json!({"type": name, "data": n}).to_string()).collect();
        let ndjson = [("content-type", "application/x-ndjson")];
        let batch =
            attacker.send("POST", "/api/v3/events/batch", attacks.join("\n"), &ndjson).await.expect(202);

        let event = neighbour.publish("t", json!({"still": "served"})).await;
        assert_eq!(neighbour.finished(&event).await[0]["state"], "succeeded", "beside {name}");
        assert_eq!(receiver.next().await.path, "/");

        let event = batch["ids"][0].as_str().unwrap();
        let delivery = attacker.finished(event).await.remove(0);
        assert_eq!(delivery["state"], "exhausted", "{name}");
        let attempt = &delivery["attempts"][0];
        let fault = &attempt["steps"][0]["fault"];
        assert_eq!(fault["kind"], *kind, "{name}: {attempt:#}");
        assert!(fault["message"].as_str().unwrap().len() <= 8_192, "{name}");
    }
    assert!(receiver.so_far().iter().all(|arrival| arrival.path == "/"));
}

#[tokio::test]
async fn a_well_behaved_guest_of_the_same_kind_is_accepted() {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    let uploaded = client.upload("accepts", guest::filter("", "(i32.const 0)")).await;
    assert_eq!(uploaded["roles"], json!(["filter"]));
    let run =
        client.post("/plugins/accepts/run", json!({"event": {"type": "t", "data": 1}})).await.expect(200);
    assert_eq!(run["verdict"], "keep", "{run:#}");
}
