//! The project web hook API, v1.

mod authentication;
mod deliveries;
mod isolation;
mod parameters;
mod routes;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookwright_tests::{Client, Server};
use serde_json::json;
use sha2::Sha256;

use crate::BINARY;

/// The numbers of the documented examples.
const CLIENT_ID: i64 = 19_817_472;
const PROJECT: i64 = 1_249_918;
const WEB_HOOK: &str = "/api/v1/projects/1249918/web_hook";

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];

/// Creates a tenant with these numbers, and returns its client.
async fn client_of(server: &Server, name: &str, client_id: i64, project: i64) -> Client {
    let operator = server.operator();
    operator.post("/tenants", json!({"name": name, "client_id": client_id})).await.expect(201);
    let operator = operator.with_header("hookwright-tenant", name);
    let key = operator.post("/keys", json!({"name": "test"})).await.expect(201);
    let client = Client::new(server.base(), key["key"].as_str().unwrap());
    client.post("/projects", json!({"id": project})).await.expect(201);
    client
}

/// Starts an engine with the tenant of the documented examples.
async fn engine() -> (Server, Client) {
    let server = Server::start(BINARY).await;
    let client = client_of(&server, "acme", CLIENT_ID, PROJECT).await;
    (server, client)
}

/// Sends a request, checks the status and returns the body as text.
async fn text(client: &Client, method: &str, path: &str, body: &str, status: u16) -> String {
    let response = client.send(method, path, body.to_owned(), if body.is_empty() { &[] } else { JSON }).await;
    response.expect(status);
    String::from_utf8(response.bytes.to_vec()).unwrap()
}

/// Returns the `Authorization` header of a client of the original system.
fn basic(user: &str, secret: &str, timestamp: i64) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("name:{user};timestamp:{timestamp};").as_bytes());
    let password = STANDARD.encode(mac.finalize().into_bytes());
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
