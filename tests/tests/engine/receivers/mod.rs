//! What receivers need beyond a signed request.

mod handshake;
mod oauth;
mod signing;
mod tls;

use hookwright_tests::{Client, Response};
use serde_json::Value;

/// Changes a hook by a merge patch.
async fn patch(client: &Client, hook: &str, members: Value) -> Response {
    let headers = [("content-type", "application/merge-patch+json")];
    client.send("PATCH", &format!("/api/v3/hooks/{hook}"), members.to_string(), &headers).await
}
