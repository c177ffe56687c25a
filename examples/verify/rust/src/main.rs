//! Verifies a webhook: `v1` by the official library, `v1a` by Ed25519 with the keys of jwks.json.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value;
use standardwebhooks::Webhook;

const MAX_AGE_S: u64 = 5 * 60;

/// Whether one of the signatures `v1` is made with `secret`.
fn is_valid_v1(secret: &str, body: &[u8], headers: &HeaderMap) -> bool {
    Webhook::new(secret).is_ok_and(|webhook| webhook.verify(body, headers).is_ok())
}

/// Whether one of the signatures `v1a` is made with one of the keys.
fn is_valid_v1a(jwks: &Value, body: &[u8], headers: &HeaderMap) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    if timestamp.parse::<u64>().map_or(true, |time| now.abs_diff(time) > MAX_AGE_S) {
        return false;
    }
    let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let keys = jwks["keys"].as_array().into_iter().flatten().filter_map(|key| key["x"].as_str());
    let keys: Vec<Vec<u8>> = keys.filter_map(|key| URL_SAFE_NO_PAD.decode(key).ok()).collect();
    let signatures = header("webhook-signature").split(' ').filter_map(|one| one.strip_prefix("v1a,"));
    signatures.filter_map(|one| STANDARD.decode(one).ok()).any(|signature| {
        keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(&message, &signature).is_ok())
    })
}

/// Verifies the request on standard input, which the check of these examples writes.
fn main() {
    let request: Value = serde_json::from_reader(io::stdin()).expect("a request in JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let (secret, body) = (text(&request["secret"]), text(&request["body"]).into_bytes());
    let mut headers = HeaderMap::new();
    for (name, value) in request["headers"].as_object().expect("headers") {
        let name = HeaderName::try_from(name).expect("the name of a header");
        headers.insert(name, text(value).parse().expect("the value of a header"));
    }
    let v1 = is_valid_v1(&secret, &body, &headers);
    let v1a = is_valid_v1a(&request["jwks"], &body, &headers);
    println!("v1 {v1}, v1a {v1a}");
}
