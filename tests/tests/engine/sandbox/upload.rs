//! What is refused at the door, in which words.

use hookwright_tests::guest;

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

#[tokio::test]
async fn what_takes_gigabytes_to_compile_is_refused_and_the_engine_goes_on() {
    let (_server, client) = engine().await;
    // Each branch hands each variable on: some 250 KB of code, and 25 million values for the compiler.
    let counted = |count: usize| {
        (0..count)
            .map(|it| format!("(local.set {it} (i32.add (local.get {it}) (i32.const 1)))"))
            .collect::<String>()
    };
    let (locals, branches) = (5_000, 5_000);
    let text = format!(
        r#"(component (core module (func (local {}) {} {} {})) (instance $role)
            (export "hookwright:plugin/filter@1.0.0" (instance $role)))"#,
        "i32 ".repeat(locals),
        counted(locals),
        "(if (local.get 0) (then (nop)))".repeat(branches),
        counted(locals),
    );
    let problem =
        client.send("PUT", "/api/v3/plugins/mine", wat::parse_str(&text).unwrap(), &[]).await.expect(400);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("to compile it takes more than 1,536 MiB of memory"), "{detail}");
    client.get("/plugins/mine").await.expect(404);
    client.upload("mine", guest::filter("", "(i32.const 0)")).await;
}
