//! Refused uploads and their messages.

use std::path::{Path, PathBuf};

use hookwright_tests::{Client, Server, TIMEOUT, guest};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::{BINARY, engine};

/// The upload as WebAssembly text, and part of the message.
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
async fn an_upload_that_is_not_a_plugin_is_refused_with_the_reason() {
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
async fn an_upload_that_takes_gigabytes_to_compile_is_refused() {
    let (_server, client) = engine().await;
    let wasm = guest::values_over_branches(5_000, 5_000, 1);
    let problem = client.send("PUT", "/api/v3/plugins/mine", wasm, &[]).await.expect(400);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("compiling it takes more than 1,536 MiB of memory"), "{detail}");
    client.get("/plugins/mine").await.expect(404);
    client.upload("mine", guest::filter("", "(i32.const 0)")).await;
}

/// Uploads components of a few hundred kilobytes that would take gigabytes or many seconds to validate.
#[tokio::test]
async fn a_component_that_multiplies_entries_is_refused_without_using_the_engines_memory() {
    let (server, client) = engine().await;
    client.upload("mine", guest::filter("", "(i32.const 0)")).await;
    let before = peak_memory_kb(&server);
    for wasm in [guest::instances_of_exports(10_000, 900), guest::imports_of_a_type(40_000, 400, 5)] {
        assert!(wasm.len() < 1 << 20, "it is small: {}", wasm.len());
        let problem = client.send("PUT", "/api/v3/plugins/mine", wasm, &[]).await.expect(400);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("counted once per use; the limit is 500,000"), "{detail}");
    }
    let more = peak_memory_kb(&server) - before;
    assert!(more < 32 << 10, "the engine took {more} KB for two uploads of less than a megabyte");
    client.upload("mine", guest::filter("(func)", "(i32.const 0)")).await;
}

/// Peak resident memory of the process, in kilobytes.
fn peak_memory_kb(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process_id().unwrap())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_client_that_disconnects_ends_its_compiler_process() {
    let server = Server::start(BINARY).await;
    let key = server.tenant_key("acme").await;
    let client = Client::new(server.base(), &key);
    // Compiling takes a minute of CPU time, longer than the test waits.
    let wasm = guest::values_over_branches(2_000, 2_000, 120);
    let address = server.base().trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT /api/v3/plugins/mine HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/wasm\r\ncontent-length: {}\r\n\r\n",
        wasm.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&wasm).await.unwrap();
    let engine = server.process_id().unwrap();
    poll_until(&client, || !children(engine).is_empty()).await;
    let compiling = children(engine);
    drop(connection);
    poll_until(&client, || !children(engine).iter().any(|child| compiling.contains(child))).await;
    // Its permit is released too.
    client.upload("mine", guest::filter("", "(i32.const 0)")).await;
}

#[tokio::test]
async fn plugins_of_hooks_are_compiled_again_before_a_delivery_needs_them() {
    let (mut server, client) = engine().await;
    client.upload("used", guest::filter("", "(i32.const 0)")).await;
    client.upload("unused", guest::filter("(func)", "(i32.const 0)")).await;
    let hook = json!({"url": "http://127.0.0.1:9/", "types": ["*"], "pipeline": [{"plugin": "used"}]});
    client.post("/hooks", hook).await.expect(201);
    assert_eq!(server.terminate().await, Some(0));
    // Simulate an upgrade, which invalidates all compiled code.
    let compiled = server.data_dir().join("compiled");
    assert_eq!(code_in(&compiled).len(), 2);
    code_in(&compiled).into_iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let server = server.restart().await;
    poll_until(&client.at(server.base()), || !code_in(&compiled).is_empty()).await;
    assert_eq!(code_in(&compiled).len(), 1, "plugins without hooks are not compiled");
}

fn code_in(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "cwasm")).collect()
}

/// Sends small requests poll_until `condition` holds.
async fn poll_until(client: &Client, condition: impl Fn() -> bool) {
    let asking = async {
        while !condition() {
            client.get("/plugins").await.expect(200);
        }
    };
    tokio::time::timeout(TIMEOUT, asking).await.expect("the condition holds in time");
}

/// Running child processes of `parent`.
fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let id: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let is_dead = status.lines().any(|line| line.starts_with("State:") && line.contains('Z'));
        let parent_id: u32 =
            status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
        (parent_id == parent && !is_dead).then_some(id)
    });
    processes.collect()
}
