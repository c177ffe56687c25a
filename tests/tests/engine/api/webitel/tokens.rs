//! Domain tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookwright::vault::Vault;
use hookwright_tests::server::ADMIN_KEY;
use hookwright_tests::{Client, Server};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{DOMAIN, FAR, call, client_with, raw_call, refused, text, webitel};

const HS256: &str = r#"{"typ":"JWT","alg":"HS256"}"#;

/// Signs a token with the engine's key.
fn signed(server: &Server, header: &str, payload: &str) -> String {
    let vault = Vault::open(server.data_dir(), &server.encryption_keys()).unwrap();
    let key = vault.derive("webitel domain tokens");
    sign_with(key.reveal(), header, payload)
}

fn sign_with(key: &[u8], header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn path(domain: &str) -> String {
    format!("/domains/{domain}/settings/token")
}

async fn make(client: &Client, domain: &str) -> (String, String) {
    let made = call(client, "POST", &path(domain), json!({"expire": FAR, "role": "admin"})).await.expect(200);
    let member = |name: &str| made["data"][name].as_str().unwrap().to_owned();
    (member("uuid"), member("token"))
}

async fn info(server: &Server, token: &str) -> String {
    refused(&call(&client_with(server, token), "GET", "/hooks", Value::Null).await, 401)
}

#[tokio::test]
async fn a_token_can_be_created_disabled_enabled_and_deleted_and_is_shown_once() {
    let (server, _, _) = webitel().await;
    let operator = client_with(&server, ADMIN_KEY);
    let response = call(&operator, "POST", &path(DOMAIN), json!({"expire": FAR, "role": "admin"})).await;
    let made = response.expect(200)["data"].clone();
    let (uuid, token) = (made["uuid"].as_str().unwrap(), made["token"].as_str().unwrap());
    let shown = format!(r#""uuid":"{uuid}","role":"admin","enabled":true,"expire":{FAR}"#);
    assert_eq!(text(&response), format!(r#"{{"status":"OK","data":{{{shown},"token":"{token}"}}}}"#));
    assert_eq!(response.headers["cache-control"], "no-store");
    // The format of the published token, with the same header.
    let parts: Vec<_> = token.split('.').collect();
    assert_eq!(parts[0], "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9");
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    assert_eq!(payload, format!(r#"{{"id":"{uuid}","exp":{FAR},"d":"{DOMAIN}","t":"domain","v":2}}"#));
    assert_eq!(token, signed(&server, HS256, &payload));

    let list = text(&call(&operator, "GET", &path(DOMAIN), Value::Null).await);
    assert!(list.ends_with(&format!(r#",{{{shown}}}]}}"#)), "after the client's own token: {list}");

    let client = client_with(&server, token);
    call(&client, "GET", "/hooks", Value::Null).await.expect(200);
    let one = format!("{}/{uuid}", path(DOMAIN));
    let disabled = call(&operator, "PATCH", &one, json!({"state": false})).await;
    let off = shown.replace("true", "false");
    assert_eq!(text(&disabled), format!(r#"{{"status":"OK","data":{{{off}}}}}"#), "without the token");
    assert_eq!(info(&server, token).await, "Not found token");
    call(&operator, "PATCH", &format!("{one}/"), json!({"state": true})).await.expect(200);
    call(&client, "GET", "/hooks", Value::Null).await.expect(200);
    for n in [1, 0] {
        let deleted = call(&operator, "DELETE", &one, Value::Null).await.expect(200);
        assert_eq!(deleted["data"], json!({"ok": 1, "n": n}));
        assert_eq!(info(&server, token).await, "Not found token");
    }
    assert_eq!(
        refused(&call(&operator, "PATCH", &one, json!({"state": true})).await, 404),
        "Not found token"
    );
}

#[tokio::test]
async fn tokens_survive_a_restart_and_disabled_ones_stay_disabled() {
    let (mut server, _, client) = webitel().await;
    let operator = client_with(&server, ADMIN_KEY);
    let (uuid, token) = make(&operator, DOMAIN).await;
    call(&operator, "PATCH", &format!("{}/{uuid}", path(DOMAIN)), json!({"state": false})).await.expect(200);
    server.terminate().await;
    let server = server.restart().await;
    call(&client.at(server.base()), "GET", "/hooks", Value::Null).await.expect(200);
    assert_eq!(info(&server, &token).await, "Not found token");
}

/// Returns invalid tokens with the expected messages, from a valid token and the id of another domain's token.
fn invalid_tokens(
    server: &Server,
    uuid: &str,
    token: &str,
    other: &str,
) -> Vec<(&'static str, String, &'static str)> {
    let with = |id: &str, exp: &str, rest: &str| {
        signed(server, HS256, &format!(r#"{{"id":"{id}","exp":{exp},{rest}}}"#))
    };
    let own = r#""d":"demo.webitel.com","t":"domain","v":2"#;
    let parts: Vec<_> = token.split('.').collect();
    let payload = format!(r#"{{"id":"{uuid}","exp":{FAR},{own}}}"#);
    let altered = URL_SAFE_NO_PAD.encode(payload.replace("demo.webitel.com", "globex"));
    let flipped = parts[2].replacen(&parts[2][..1], if parts[2].starts_with('A') { "B" } else { "A" }, 1);
    let unsigned = |alg: &str| {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"JWT","alg":"{alg}"}}"#));
        format!("{header}.{}.", parts[1])
    };
    vec![
        ("expired", with(uuid, "1501880400000", own), "Token Expired"),
        ("seconds, not milliseconds", with(uuid, &(FAR / 1_000).to_string(), own), "Token Expired"),
        ("expired in 1970", with(uuid, "0", own), "Token Expired"),
        ("expired and unknown", with("none", "1501880400000", own), "Token Expired"),
        ("unknown", with("e26569d5-be26-486c-9d65-c00e61d693c5", &FAR.to_string(), own), "Not found token"),
        ("another domain's", with(other, &FAR.to_string(), own), "Not found token"),
        (
            "for another domain",
            with(uuid, &FAR.to_string(), r#""d":"globex","t":"domain","v":2"#),
            "Not found token",
        ),
        ("for no domain", with(uuid, &FAR.to_string(), r#""d":"","t":"domain","v":2"#), "Not found token"),
        (
            "of another kind",
            with(uuid, &FAR.to_string(), r#""d":"demo.webitel.com","t":"user","v":2"#),
            "Invalid token",
        ),
        (
            "of another version",
            with(uuid, &FAR.to_string(), r#""d":"demo.webitel.com","t":"domain","v":1"#),
            "Invalid token",
        ),
        ("with more in it", with(uuid, &FAR.to_string(), &format!("{own},\"acl\":{{}}")), "Invalid token"),
        ("without an end", signed(server, HS256, &format!(r#"{{"id":"{uuid}",{own}}}"#)), "Invalid token"),
        ("with an end in words", with(uuid, "\"4102444800000\"", own), "Invalid token"),
        ("with a fractional end", with(uuid, "4102444800000.5", own), "Invalid token"),
        ("with an altered domain", format!("{}.{altered}.{}", parts[0], parts[2]), "Invalid token"),
        ("with an altered signature", format!("{}.{}.{flipped}", parts[0], parts[1]), "Invalid token"),
        ("without its signature", format!("{}.{}.", parts[0], parts[1]), "Invalid token"),
        ("in two parts", format!("{}.{}", parts[0], parts[1]), "Invalid token"),
        ("with a fourth part", format!("{token}.x"), "Invalid token"),
        ("alg none", unsigned("none"), "Invalid token"),
        ("alg None", unsigned("None"), "Invalid token"),
        ("alg none, signed", signed(server, r#"{"typ":"JWT","alg":"none"}"#, &payload), "Invalid token"),
        (
            "alg HS512, signed by HS256",
            signed(server, r#"{"typ":"JWT","alg":"HS512"}"#, &payload),
            "Invalid token",
        ),
        ("signed with nothing", sign_with(b"", HS256, &payload), "Invalid token"),
        ("signed with another key", sign_with(b"secret", HS256, &payload), "Invalid token"),
        ("signed with the operator's key", sign_with(ADMIN_KEY.as_bytes(), HS256, &payload), "Invalid token"),
        ("no JSON in it", signed(server, HS256, "nonsense"), "Invalid token"),
        ("an id of a token, not the token", uuid.to_owned(), "Invalid token"),
        ("nonsense", "nonsense".to_owned(), "Invalid token"),
        ("dots", "..".to_owned(), "Invalid token"),
    ]
}

#[tokio::test]
async fn only_valid_tokens_of_this_engine_are_accepted() {
    let (server, _, _) = webitel().await;
    let operator = client_with(&server, ADMIN_KEY);
    let (uuid, token) = make(&operator, DOMAIN).await;
    server.tenant_key("globex").await;
    let (other, _) = make(&operator, "globex").await;
    // Shows that this test signs like the engine, so that the other tokens are refused for the stated reason.
    let payload = format!(r#"{{"id":"{uuid}","exp":{FAR},"d":"{DOMAIN}","t":"domain","v":2}}"#);
    assert_eq!(signed(&server, HS256, &payload), token);
    for (name, token, expected) in invalid_tokens(&server, &uuid, &token, &other) {
        assert_eq!(info(&server, &token).await, expected, "{name}");
    }
    call(&client_with(&server, &token), "GET", "/hooks", Value::Null).await.expect(200);
}

#[tokio::test]
async fn invalid_requests_for_tokens_are_refused_with_the_reason_and_create_nothing() {
    let (server, _, client) = webitel().await;
    let operator = client_with(&server, ADMIN_KEY);
    for (body, expected) in [
        ("", "the body is empty"),
        ("nonsense", "expected"),
        ("[]", "expected an object"),
        ("{}", "expire is required"),
        (r#"{"expire": null}"#, "expire is required"),
        (r#"{"expire": "4102444800000"}"#, "expire must be an integer"),
        (r#"{"expire": 4102444800000.5}"#, "expire must be an integer"),
        (r#"{"expire": true}"#, "expire must be an integer"),
        (r#"{"expire": 1e300}"#, "expire must be an integer"),
        (r#"{"expire": 0}"#, "expire must be a future time"),
        (r#"{"expire": -1}"#, "expire must be a future time"),
        (r#"{"expire": 1501880400000}"#, "expire must be a future time"),
        (r#"{"expire": 4102444800}"#, "expire must be a future time"),
        (r#"{"expire": 253402300800000}"#, "expire must be a future time"),
        (r#"{"expire": 4102444800000, "role": 5}"#, "role must be a string"),
        (r#"{"expire": 4102444800000, "role": {}}"#, "role must be a string"),
        (&format!(r#"{{"expire": 4102444800000, "role": "{}"}}"#, "r".repeat(129)), "role must be at most"),
    ] {
        let info = refused(&raw_call(&operator, "POST", &path(DOMAIN), body).await, 400);
        assert!(info.starts_with("Bad request: ") && info.contains(expected), "{body}: {info}");
    }
    let (uuid, token) = make(&operator, DOMAIN).await;
    let one = format!("{}/{uuid}", path(DOMAIN));
    for (body, expected) in [
        ("", "the body is empty"),
        ("{}", "state is required"),
        (r#"{"state": "false"}"#, "state must be true or false"),
        (r#"{"state": 0}"#, "state must be true or false"),
    ] {
        let info = refused(&raw_call(&operator, "PATCH", &one, body).await, 400);
        assert!(info.contains(expected), "{body}: {info}");
    }
    call(&client_with(&server, &token), "GET", "/hooks", Value::Null).await.expect(200);
    // A token can neither create nor delete tokens.
    for (method, path, body) in [
        ("GET", path(DOMAIN), Value::Null),
        ("POST", path(DOMAIN), json!({"expire": FAR})),
        ("PATCH", one.clone(), json!({"state": false})),
        ("DELETE", one, Value::Null),
    ] {
        assert_eq!(refused(&call(&client, method, &path, body).await, 403), "Permission denied!", "{method}");
    }
    for domain in ["none.example", "%ff", "%20"] {
        let response = call(&operator, "POST", &path(domain), json!({"expire": FAR})).await;
        assert_eq!(refused(&response, 404), "Not found domain", "{domain}");
    }
}
