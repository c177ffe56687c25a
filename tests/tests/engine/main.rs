//! The engine from outside: the real binary, real sockets, its HTTP API.

mod api;
mod delivery;
mod sandbox;
mod storage;

use std::path::{Path, PathBuf};

use hookwright_tests::{Client, Receiver, Server};
use serde_json::{Value, json};

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_hookwright-under-test");

/// An engine with one tenant.
async fn engine() -> (Server, Client) {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    (server, client)
}

/// A hook of `client` at `receiver` for all events, with the members of `more` beside; its id.
async fn hook(client: &Client, receiver: &Receiver, more: Value) -> String {
    let mut body = json!({"url": receiver.url("/"), "types": ["*"]});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let hook = client.post("/hooks", body).await.expect(201);
    hook["id"].as_str().expect("a hook has an id").to_owned()
}

/// The files of a data directory that hold these bytes as they are.
fn files_with(dir: &Path, bytes: &[u8]) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let holds = |path: &PathBuf| {
        std::fs::read(path).is_ok_and(|content| content.windows(bytes.len()).any(|window| window == bytes))
    };
    // The reserve is some megabytes of nothing.
    let files = files.filter(|path| !path.ends_with("hookwright.reserve"));
    files.filter(holds).map(|path| path.display().to_string()).collect()
}
