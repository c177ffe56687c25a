//! Webitel's hook API, v2.

mod auth;
mod bad_input;
mod calls;
mod deliveries;
mod isolation;
mod lists;
mod plugins;
mod published;
mod rates;
mod tokens;
mod translation;

use hookwright_tests::{Client, Response, Server};
use serde_json::{Value, json};

use crate::BINARY;

/// The domain of the published token.
const DOMAIN: &str = "demo.webitel.com";
/// 2100-01-01T00:00:00Z, in milliseconds.
const FAR: i64 = 4_102_444_800_000;

/// Starts an engine with one domain. Returns a client with its API key and one with a domain token.
async fn webitel() -> (Server, Client, Client) {
    let server = Server::start(BINARY).await;
    let key = server.tenant_key(DOMAIN).await;
    let token = new_token(&client_with(&server, &key), DOMAIN).await;
    let (engine, webitel) = (Client::new(server.base(), &key), client_with(&server, &token));
    (server, engine, webitel)
}

/// Creates a client with `token`, which may be a key.
fn client_with(server: &Server, token: &str) -> Client {
    Client::new(server.base(), "").without_key().with_header("x-access-token", token)
}

/// Creates a token of `domain` with `client`.
async fn new_token(client: &Client, domain: &str) -> String {
    let path = format!("/domains/{domain}/settings/token");
    let made = call(client, "POST", &path, json!({"expire": FAR, "role": "admin"})).await.expect(200);
    made["data"]["token"].as_str().expect("a new token is shown").to_owned()
}

/// Sends JSON to `path` under `/api/v2`. Null means no body.
async fn call(client: &Client, method: &str, path: &str, body: Value) -> Response {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    raw_call(client, method, path, text).await
}

/// Sends a raw body to `path` under `/api/v2`.
async fn raw_call(client: &Client, method: &str, path: &str, body: impl Into<Vec<u8>>) -> Response {
    let headers = [("content-type", "application/json")];
    client.send(method, &format!("/api/v2{path}"), body.into(), &headers).await
}

/// The body as text.
fn text(response: &Response) -> String {
    String::from_utf8(response.bytes.to_vec()).expect("responses are UTF-8")
}

/// Checks the status and the format of a refusal, and returns its message.
fn refused(response: &Response, status: u16) -> String {
    let body = response.expect(status);
    assert_eq!(body["status"], "error", "{body}");
    assert_eq!(response.headers["content-type"], "application/json", "{body}");
    body["info"].as_str().unwrap_or_else(|| panic!("{body} has no message")).to_owned()
}

/// A hook for `event` at `url`. The members of `more` are added or replace others.
fn hook(event: &str, url: &str, more: Value) -> Value {
    let mut hook =
        json!({"event": event, "enable": true, "action": {"type": "web", "method": "POST", "url": url}});
    for (name, value) in more.as_object().into_iter().flatten() {
        hook[name] = value.clone();
    }
    hook
}

/// Creates a hook and returns its id.
async fn create(client: &Client, hook: Value) -> String {
    let made = call(client, "POST", "/hooks", hook).await.expect(200);
    made["data"]["insertedIds"][0].as_str().expect("a new hook has an id").to_owned()
}
