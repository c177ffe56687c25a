//! End-to-end tests: the real binary, real sockets, the HTTP API.

mod api;
mod delivery;
mod sandbox;
mod storage;

use std::path::{Path, PathBuf};

use hookwright_tests::{Client, Receiver, Server};
use serde_json::{Value, json};

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_hookwright-under-test");

/// Starts an engine with one tenant.
async fn engine() -> (Server, Client) {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    (server, client)
}

/// Creates a hook at `receiver` for all events, with the additional members of `more`, and returns its id.
async fn hook(client: &Client, receiver: &Receiver, more: Value) -> String {
    let mut body = json!({"url": receiver.url("/"), "types": ["*"]});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let hook = client.post("/hooks", body).await.expect(201);
    hook["id"].as_str().expect("a hook has an id").to_owned()
}

/// Returns the files of a data directory that contain these bytes.
fn files_with(dir: &Path, bytes: &[u8]) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let holds = |path: &PathBuf| {
        std::fs::read(path).is_ok_and(|content| content.windows(bytes.len()).any(|window| window == bytes))
    };
    // The reserve file contains only zeroes.
    let files = files.filter(|path| !path.ends_with("hookwright.reserve"));
    files.filter(holds).map(|path| path.display().to_string()).collect()
}
