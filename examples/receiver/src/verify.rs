//! Verifies signatures (Standard Webhooks 1.0, "Verifying webhook authenticity").
//!
//! A request has three headers: `webhook-id`, `webhook-timestamp` (whole seconds since the Unix epoch) and
//! `webhook-signature` (one or more `v1,<base64>` separated by spaces, since the sender may be rotating its secret). The
//! signature covers `id.timestamp.body`, with the body byte for byte: verify first, parse afterwards.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::Sha256;

/// The maximum difference between a timestamp and now, in seconds, in both directions. Prevents replay of old requests.
pub const TOLERANCE_S: u64 = 5 * 60;

/// Verifies requests with the secrets of one hook: one, or two during a rotation.
#[derive(Clone)]
pub struct Verifier {
    keys: Vec<Vec<u8>>,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A header is missing, or not text.
    #[error("the header `{0}` is missing or not text")]
    Missing(&'static str),
    /// The timestamp is not a whole number.
    #[error("`webhook-timestamp` is not a whole number of seconds")]
    BadTimestamp,
    /// The timestamp is too far from now.
    #[error("`webhook-timestamp` is more than five minutes from now")]
    OutsideTolerance,
    /// No signature over this id, timestamp and body was made with any of the secrets.
    #[error("no signature matches")]
    NoMatch,
}

/// A malformed secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a secret is `whsec_` followed by base64")]
pub struct BadSecret;

impl Verifier {
    /// A verifier for requests that are signed with any of `secrets`, each `whsec_` and base64.
    ///
    /// # Errors
    /// Fails if one of them is malformed.
    pub fn new<S: AsRef<str>>(secrets: &[S]) -> Result<Self, BadSecret> {
        let key = |secret: &S| {
            let encoded = secret.as_ref().strip_prefix("whsec_").filter(|rest| !rest.is_empty());
            STANDARD.decode(encoded.ok_or(BadSecret)?).map_err(|_| BadSecret)
        };
        Ok(Self { keys: secrets.iter().map(key).collect::<Result<_, _>>()? })
    }

    /// Checks that the request is genuine and fresh. Returns its `webhook-id`.
    ///
    /// `now_s` is the time in seconds since the Unix epoch.
    ///
    /// # Errors
    /// Says why it is not. Answer such a request with 4xx and ignore it.
    pub fn verify<'h>(&self, headers: &'h HeaderMap, body: &[u8], now_s: u64) -> Result<&'h str, Refused> {
        let id = text(headers, "webhook-id")?;
        let timestamp = text(headers, "webhook-timestamp")?;
        let signatures = text(headers, "webhook-signature")?;
        let sent_at_s: u64 = timestamp.parse().map_err(|_| Refused::BadTimestamp)?;
        if now_s.abs_diff(sent_at_s) > TOLERANCE_S {
            return Err(Refused::OutsideTolerance);
        }
        // The header may also contain signatures of other versions.
        let candidates = signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
        let mut candidates = candidates.filter_map(|encoded| STANDARD.decode(encoded).ok());
        let genuine =
            candidates.any(|code| self.keys.iter().any(|key| fits(key, id, timestamp, body, &code)));
        if genuine { Ok(id) } else { Err(Refused::NoMatch) }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, Refused> {
    headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Refused::Missing(name))
}

/// Compares in constant time, so that timing does not reveal how much of a forged code is right.
fn fits(key: &[u8], id: &str, timestamp: &str, body: &[u8], code: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac.verify_slice(code).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector that Standard Webhooks publishes with its libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SENT_AT: u64 = 1_614_265_330;
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const OTHER_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx";

    fn headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
        let pairs = [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)];
        let kept = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        kept.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn verdict(secrets: &[&str], headers: &HeaderMap, body: &str, now_s: u64) -> Result<String, Refused> {
        Verifier::new(secrets).unwrap().verify(headers, body.as_bytes(), now_s).map(str::to_owned)
    }

    #[test]
    fn the_published_vector_verifies() {
        let headers = headers(ID, &SENT_AT.to_string(), SIGNATURE);
        assert_eq!(verdict(&[SECRET], &headers, BODY, SENT_AT), Ok(ID.to_owned()));
    }

    #[test]
    fn one_matching_signature_or_secret_among_several_is_enough() {
        let foreign = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        for signatures in [
            format!("{foreign} {SIGNATURE}"),
            format!("{SIGNATURE} {foreign}"),
            format!("v1a,unknown v1,!!! {SIGNATURE}"),
        ] {
            let headers = headers(ID, &SENT_AT.to_string(), &signatures);
            assert!(verdict(&[OTHER_SECRET, SECRET], &headers, BODY, SENT_AT).is_ok(), "{signatures}");
        }
    }

    #[test]
    fn a_changed_request_is_refused() {
        let time = SENT_AT.to_string();
        let later = (SENT_AT + 1).to_string();
        let no_match = Err(Refused::NoMatch);
        for (secret, id, timestamp, signature, body) in [
            (OTHER_SECRET, ID, &time, SIGNATURE, BODY),
            (SECRET, "msg_other", &time, SIGNATURE, BODY),
            (SECRET, ID, &later, SIGNATURE, BODY),
            (SECRET, ID, &time, SIGNATURE, r#"{"test":2432232314}"#),
            (SECRET, ID, &time, SIGNATURE, ""),
            (SECRET, ID, &time, &SIGNATURE.replace("v1,", "v2,"), BODY),
            (SECRET, ID, &time, &SIGNATURE.replace("v1,", ""), BODY),
            (SECRET, ID, &time, "v1,", BODY),
            (SECRET, ID, &time, &SIGNATURE[..SIGNATURE.len() - 4], BODY),
        ] {
            let headers = headers(id, timestamp, signature);
            assert_eq!(verdict(&[secret], &headers, body, SENT_AT), no_match, "{id} {timestamp} {signature}");
        }
    }

    #[test]
    fn a_timestamp_more_than_five_minutes_away_is_refused() {
        let headers = headers(ID, &SENT_AT.to_string(), SIGNATURE);
        for (now_s, fresh) in [
            (SENT_AT - 301, false),
            (SENT_AT - 300, true),
            (SENT_AT + 300, true),
            (SENT_AT + 301, false),
            (0, false),
        ] {
            assert_eq!(verdict(&[SECRET], &headers, BODY, now_s).is_ok(), fresh, "{now_s}");
        }
    }

    #[test]
    fn a_header_that_is_missing_or_unreadable_is_named() {
        let time = SENT_AT.to_string();
        for (headers, refused) in [
            (headers("", &time, SIGNATURE), Refused::Missing("webhook-id")),
            (headers(ID, "", SIGNATURE), Refused::Missing("webhook-timestamp")),
            (headers(ID, &time, ""), Refused::Missing("webhook-signature")),
            (headers(ID, "2021-02-25", SIGNATURE), Refused::BadTimestamp),
            (headers(ID, "-1", SIGNATURE), Refused::BadTimestamp),
        ] {
            assert_eq!(verdict(&[SECRET], &headers, BODY, SENT_AT), Err(refused));
        }
    }

    #[test]
    fn secrets_are_base64_after_their_prefix() {
        for secret in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64"] {
            assert_eq!(Verifier::new(&[secret]).err(), Some(BadSecret), "{secret}");
        }
    }
}
