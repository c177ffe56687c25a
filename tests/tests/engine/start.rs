//! What the tests begin with. The targets `engine` and `engine_on_postgres` share it.

use hookwright_tests::{Client, Receiver, Server};
use serde_json::{Value, json};

use crate::BINARY;

/// Starts an engine with one tenant.
pub async fn engine() -> (Server, Client) {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    (server, client)
}

/// Creates a hook at `receiver` for all events, with the additional members of `more`, and returns its id.
pub async fn hook(client: &Client, receiver: &Receiver, more: Value) -> String {
    let mut body = json!({"url": receiver.url("/"), "types": ["*"]});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let hook = client.post("/hooks", body).await.expect(201);
    hook["id"].as_str().expect("a hook has an id").to_owned()
}

/// Changes a hook by a merge patch, and returns it.
pub async fn patch_hook(client: &Client, hook: &str, patch: Value) -> Value {
    let headers = [("content-type", "application/merge-patch+json")];
    client
        .send_again("PATCH", &format!("/api/v3/hooks/{hook}"), patch.to_string(), &headers)
        .await
        .expect(200)
}

/// Waits until a hook is as `wanted`, and returns it.
pub async fn hook_when(client: &Client, hook: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = std::time::Instant::now();
    loop {
        let shown = client.get_again(&format!("/hooks/{hook}")).await.expect(200);
        if wanted(&shown) {
            return shown;
        }
        assert!(began.elapsed() < hookwright_tests::TIMEOUT, "still {shown:#}");
        tokio::task::yield_now().await;
    }
}
