//! New versions of plugins that hooks use by name.

use std::io::Write as _;
use std::process::Command;

use hookwright::directory::STANDARD_PLUGINS;
use hookwright_tests::{Client, guest};
use serde_json::{Value, json};

use crate::{BINARY, engine};

/// The bytes of a standard plugin, for an upload under another name.
fn standard(name: &str) -> Vec<u8> {
    STANDARD_PLUGINS.iter().find(|plugin| plugin.name == name).unwrap().wasm.to_vec()
}

async fn put(client: &Client, query: &str, wasm: Vec<u8>) -> hookwright_tests::Response {
    client.send("PUT", &format!("/api/v3/plugins/mine{query}"), wasm, &[]).await
}

/// Creates a hook whose pipeline has one step, and returns its id.
async fn hook(client: &Client, plugin: &str, settings: Value) -> String {
    let pipeline = json!([{"plugin": plugin, "settings": settings}]);
    let hook = json!({"url": "http://127.0.0.1:9/", "types": ["*"], "pipeline": pipeline});
    client.post("/hooks", hook).await.expect(201)["id"].as_str().unwrap().to_owned()
}

async fn newest(client: &Client) -> Value {
    client.get("/plugins/mine").await.expect(200)["version"].clone()
}

#[tokio::test]
async fn a_version_without_a_role_that_hooks_need_is_refused_with_their_ids() {
    let (_server, client) = engine().await;
    put(&client, "", standard("body-template")).await.expect(201);
    let template = json!({"template": "{{ data.n }}"});
    let id = hook(&client, "mine", template.clone()).await;
    for query in ["", "?force=true"] {
        let problem = put(&client, query, standard("event-filter")).await.expect(409);
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains(&id) && detail.contains("transformer") && detail.contains("filter"),
            "{detail}"
        );
        assert_eq!(newest(&client).await, 1, "nothing was stored");
    }
    client.send("DELETE", &format!("/api/v3/hooks/{id}"), "", &[]).await.expect(204);
    // A hook with a fixed version does not change.
    hook(&client, "mine@1", template).await;
    let taken = put(&client, "", standard("event-filter")).await.expect(201);
    assert_eq!(taken["hooks"], json!({"count": 0, "ids": []}));
}

#[tokio::test]
async fn a_version_that_refuses_the_settings_of_hooks_is_refused_unless_forced() {
    let (_server, client) = engine().await;
    put(&client, "", standard("body-template")).await.expect(201);
    let template = json!({"template": "{{ data.n }}"});
    let first = hook(&client, "mine", template.clone()).await;
    let second = hook(&client, "mine", template).await;
    let problem = put(&client, "", standard("cloudevents")).await.expect(409);
    let detail = problem["detail"].as_str().unwrap();
    assert!([&first, &second].iter().all(|id| detail.contains(*id)), "{detail}");
    assert!(detail.contains("template") && detail.contains("force=true"), "{detail}");
    assert_eq!(newest(&client).await, 1, "nothing was stored");
    put(&client, "?force=perhaps", standard("cloudevents")).await.expect(400);

    let forced = put(&client, "?force=true", standard("cloudevents")).await.expect(201);
    assert_eq!(forced["hooks"], json!({"count": 2, "ids": [first, second]}));
    let warning = forced["warnings"][0].as_str().unwrap();
    assert!(warning.contains("rejects the settings of") && warning.contains(&first), "{warning}");
    // Hooks that the current version already breaks do not prevent a fixed version.
    let fixed = put(&client, "", standard("body-template")).await.expect(201);
    assert_eq!((&fixed["version"], &fixed["warnings"]), (&json!(3), &json!([])));
    let again = put(&client, "", standard("body-template")).await.expect(200);
    assert_eq!(again["hooks"]["count"], 2);
}

#[tokio::test]
async fn the_response_warns_of_a_plugin_that_always_fails() {
    let (_server, client) = engine().await;
    let good = client.upload("good", guest::filter("", "(i32.const 0)")).await;
    assert_eq!(good["warnings"], json!([]));
    let bad = client.upload("bad", guest::filter("", "(unreachable)")).await;
    let warning = bad["warnings"][0].as_str().unwrap();
    assert!(warning.contains("` (trap)"), "{warning}");
}

/// Runs `plugin check` for a file, and returns whether it succeeds and its output.
fn check(name: &str, content: &[u8]) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(content).unwrap();
    let output = Command::new(BINARY).args(["plugin", "check"]).arg(&path).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn checking_a_plugin_calls_it_once() {
    for (name, content, is_good, says) in [
        ("good.wasm", guest::filter("", "(i32.const 0)"), true, "accepted"),
        ("bad.wasm", guest::filter("", "(unreachable)"), true, "` (trap)"),
        ("broken.js", b"export function handle(event {".to_vec(), false, "rejected"),
        ("good.js", b"return { body: event.data }".to_vec(), true, "Scripts are not uploaded"),
    ] {
        let (succeeded, output_text) = check(name, &content);
        assert!(succeeded == is_good && output_text.contains(says), "{name}: {output_text}");
        assert_eq!(output_text.contains("warning"), name == "bad.wasm", "{name}: {output_text}");
    }
}
