//! The console: its page, its sessions, and links to it.

mod demo;
mod links;
mod page;
mod sessions;
mod stream;

use hookwright_tests::{Client, Response, Server};
use serde_json::Value;

/// A client without a key.
fn anonymous(server: &Server) -> Client {
    server.operator().without_key()
}

/// Signs in with a key or a link, as `body` says.
async fn sign_in(server: &Server, body: Value) -> Response {
    anonymous(server).send("POST", "/console/session", body.to_string(), &[]).await
}

/// The cookie that a response sets, without its attributes.
fn cookie_of(response: &Response) -> String {
    let set = response.headers["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

/// A page that has signed in: its client has the cookie, and the token that requests repeat.
async fn signed_in(server: &Server, body: Value) -> Client {
    let response = sign_in(server, body).await;
    let session = response.expect(200);
    let token = session["csrf_token"].as_str().unwrap();
    anonymous(server).with_header("cookie", &cookie_of(&response)).with_header("x-csrf-token", token)
}
