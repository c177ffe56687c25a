//! What is refused at the door, in which words.

use crate::engine;

/// What is uploaded, as WebAssembly text; what the answer says.
const REFUSED: &[(&str, &str)] = &[
    ("(module)", "component type"),
    (
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#,
        "component type",
    ),
    ("(component)", "filter"),
    (r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance)))"#, "network"),
    (r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance)))"#, "network"),
    (r#"(component (import "acme:secret/door" (instance)))"#, "acme:secret/door"),
];

#[tokio::test]
async fn what_cannot_be_a_plugin_is_refused_with_what_to_do_instead() {
    let (_server, client) = engine().await;
    for (text, says) in REFUSED {
        let wasm = wat::parse_str(text).unwrap();
        let problem = client.send("PUT", "/api/v3/plugins/mine", wasm, &[]).await.expect(400);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{text}: {detail}");
    }
    client.get("/plugins/mine").await.expect(404);
}
