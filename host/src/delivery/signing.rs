//! Standard Webhooks 1.0 signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::hash::hmac_sha256;
use crate::domain::{Hook, Signing, SigningSecret, UnixMillis};

/// The names of the headers.
pub const ID: &str = "webhook-id";
/// As [`ID`].
pub const TIMESTAMP: &str = "webhook-timestamp";
/// As [`ID`].
pub const SIGNATURE: &str = "webhook-signature";

/// The value of `webhook-signature`: one `v1,<base64>` for each live secret and one `v1a,<base64>` for each live key pair, as
/// the hook signs, separated by spaces, over `<id>.<timestamp>.<body>` (Standard Webhooks, "Signature scheme").
#[must_use]
pub fn sign(hook: &Hook, id: &str, now: UnixMillis, body: &[u8]) -> String {
    let timestamp = now.unix_seconds().to_string();
    let parts = parts(id, &timestamp, body);
    let mut value = String::with_capacity(48);
    if matches!(hook.signing, Signing::Standard | Signing::Both) {
        for secret in hook.secrets.iter().filter(|secret| secret.is_live(now)) {
            add_v1(&mut value, secret, &parts);
        }
    }
    if hook.signs_asymmetrically() {
        let message = parts.concat();
        for key in hook.signing_keys().iter().filter(|key| key.is_live(now)) {
            add(&mut value, "v1a,", &key.sign(&message));
        }
    }
    value
}

/// The value with the signature by one secret.
#[must_use]
pub fn with_secret(secret: &SigningSecret, id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut value = String::with_capacity(48);
    add_v1(&mut value, secret, &parts(id, timestamp, body));
    value
}

/// What is signed.
fn parts<'a>(id: &'a str, timestamp: &'a str, body: &'a [u8]) -> [&'a [u8]; 5] {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body]
}

fn add_v1(value: &mut String, secret: &SigningSecret, parts: &[&[u8]]) {
    add(value, "v1,", &hmac_sha256(secret.key(), parts));
}

fn add(value: &mut String, version: &str, signature: &[u8]) {
    if !value.is_empty() {
        value.push(' ');
    }
    value.push_str(version);
    STANDARD.encode_string(signature, value);
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;
    use crate::domain::receiver_options::ReceiverOptions;
    use crate::domain::signing_key::SigningKey;
    use crate::domain::testing;

    const NOW: UnixMillis = UnixMillis(1_614_265_330_000);

    fn hook(secrets: Vec<SigningSecret>) -> Hook {
        Hook { secrets, ..testing::hook("https://example.com/") }
    }

    /// The example of the Standard Webhooks reference libraries.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let hook = hook(vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()]);
        let signed = sign(&hook, "msg_p5jXN8AQM9LWM0D4loKWxJek", NOW, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_live_secret_signs_and_no_other() {
        let current: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let until = |end| current.clone().expiring_at(UnixMillis(end));
        let hook = hook(vec![current.clone(), until(NOW.0 + 1), until(NOW.0)]);
        assert_eq!(sign(&hook, "id", NOW, b"").split(' ').count(), 2);
    }

    #[test]
    fn a_hook_signs_with_its_secrets_its_key_pairs_or_both() {
        let pair = |seed, end| SigningKey::from_seed([seed; 32]).unwrap().expiring_at(end);
        let signing_keys =
            vec![pair(1, None), pair(2, Some(UnixMillis(NOW.0 + 1))), pair(3, Some(UnixMillis(NOW.0)))];
        let mut hook = hook(vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()]);
        hook.options.receiver =
            Some(Box::new(ReceiverOptions { signing_keys, ..ReceiverOptions::default() }));
        for (signing, expected) in [
            (Signing::Standard, &["v1"][..]),
            (Signing::Ed25519, &["v1a", "v1a"]),
            (Signing::Both, &["v1", "v1a", "v1a"]),
        ] {
            hook.signing = signing;
            let value = sign(&hook, "id", NOW, b"body");
            let signatures: Vec<_> = value.split(' ').map(|one| one.split_once(',').unwrap()).collect();
            assert_eq!(signatures.iter().map(|(version, _)| *version).collect::<Vec<_>>(), expected);
            let asymmetric = signatures.iter().filter(|(version, _)| *version == "v1a");
            for ((_, signature), key) in asymmetric.zip(hook.signing_keys()) {
                let public = STANDARD.decode(key.public().strip_prefix("whpk_").unwrap()).unwrap();
                let signature = STANDARD.decode(signature).unwrap();
                let verified =
                    UnparsedPublicKey::new(&ED25519, public).verify(b"id.1614265330.body", &signature);
                assert!(verified.is_ok());
            }
        }
    }
}
