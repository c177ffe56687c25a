//! Messages about scripts that have no effect, return an invalid request, or never end.

use hookwright_tests::{Receiver, Server};
use serde_json::{Value, json};

use crate::{BINARY, engine};

fn hook_of(receiver: &Receiver, script: &str) -> Value {
    let pipeline = json!([{"plugin": "javascript", "settings": {"script": script}}]);
    json!({"url": receiver.url("/"), "types": ["*"], "pipeline": pipeline, "retry": {"schedule_s": []}})
}

#[tokio::test]
async fn a_hook_with_a_script_without_effect_is_refused() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    for (script, expected) in [
        ("function handler(event) { return {body: {}}; }", "`handler`"),
        ("(() => { function handle(event, request) { return {body: {}}; } })();", "no effect"),
        ("export default (event, request) => ({body: {}});", "declare `function handle(event, request)`"),
        ("module.exports = (event, request) => ({body: {}});", "declare `function handle(event, request)`"),
        ("", "no effect"),
    ] {
        let refused = client.post("/hooks", hook_of(&receiver, script)).await.expect(400);
        assert_eq!(refused["pointer"], "/pipeline/0/settings", "{script}: {refused:#}");
        assert!(refused.to_string().contains(expected), "{script}: {refused:#}");
    }
    let filter = "if (event.data.action !== 'opened') return null;";
    client.post("/hooks", hook_of(&receiver, filter)).await.expect(201);
    let event = client.publish("t", json!({"action": "opened"})).await;
    assert_eq!(client.finished(&event).await[0]["state"], "succeeded");
}

#[tokio::test]
async fn an_invalid_request_is_not_sent_and_is_described() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    for (script, expected) in [
        ("return {text: event.data.secret};", "`text`"),
        ("return {...request, bdoy: {}};", "`bdoy`"),
        ("request.Body = {};", "`Body`"),
        ("return [1, 2];", "an array"),
    ] {
        let created = client.post("/hooks", hook_of(&receiver, script)).await.expect(201);
        let event = client.publish("t", json!({"secret": "raw"})).await;
        let delivery = client.finished(&event).await.remove(0);
        assert_eq!(delivery["state"], "exhausted", "{script}: {delivery:#}");
        let fault = &delivery["attempts"][0]["steps"][0]["fault"];
        assert_eq!(fault["code"], "bad-result", "{script}: {delivery:#}");
        assert!(fault["message"].as_str().unwrap().contains(expected), "{script}: {fault}");
        let path = format!("/api/v3/hooks/{}", created["id"].as_str().unwrap());
        client.send("DELETE", &path, "", &[]).await.expect(204);
    }
    assert_eq!(receiver.so_far().len(), 0);
}

#[tokio::test]
async fn a_script_that_runs_out_of_fuel_reports_its_line() {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    for (script, line) in [
        ("const a = 1;\n\nfor (;;);", "line 3"),
        ("function handle(event, request) {\n  let n = 0;\n  while (true) {\n    n += 1;\n  }\n}", "line "),
        ("const text = 'a'.repeat(5000);\nfor (;;)\n  JSON.parse(JSON.stringify([text]));", "line 3"),
        ("request.body = 1;\n/^(a+)+$/.test('a'.repeat(40) + 'b');", "line 2"),
    ] {
        let body = json!({"event": {"type": "t", "data": 1}, "settings": {"script": script}});
        let run = client.post("/plugins/javascript/run", body).await.expect(200);
        let fault = &run["steps"][0]["fault"];
        assert_eq!(fault["kind"], "out-of-fuel", "{script}: {run:#}");
        let message = fault["message"].as_str().unwrap();
        assert!(message.contains(" units of fuel at ") && message.contains(line), "{script}: {message}");
    }
}
