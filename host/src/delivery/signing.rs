//! Standard Webhooks 1.0 signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::hash::hmac_sha256;
use crate::domain::{SigningSecret, UnixMillis};

/// The names of the headers.
pub const ID: &str = "webhook-id";
/// As [`ID`].
pub const TIMESTAMP: &str = "webhook-timestamp";
/// As [`ID`].
pub const SIGNATURE: &str = "webhook-signature";

/// The value of `webhook-signature`: one `v1,<base64>` for each live secret, separated by spaces, over
/// `<id>.<timestamp>.<body>` (Standard Webhooks, "Signature scheme").
#[must_use]
pub fn sign(secrets: &[SigningSecret], id: &str, now: UnixMillis, body: &[u8]) -> String {
    let timestamp = now.unix_seconds().to_string();
    let mut value = String::with_capacity(48);
    for secret in secrets.iter().filter(|secret| secret.is_live(now)) {
        let digest = hmac_sha256(secret.key(), &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str("v1,");
        STANDARD.encode_string(digest, &mut value);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks reference libraries.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let secret: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let now = UnixMillis(1_614_265_330_000);
        let signed = sign(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", now, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_live_secret_signs_and_no_other() {
        let current: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let now = UnixMillis(1_614_265_330_000);
        let until = |end| current.clone().expiring_at(UnixMillis(end));
        let signed = sign(&[current.clone(), until(now.0 + 1), until(now.0)], "id", now, b"");
        assert_eq!(signed.split(' ').count(), 2);
    }
}
