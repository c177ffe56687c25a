//! Signs forwarded requests.

use serde_json::Value;

use crate::cli::exit::BadInput;
use crate::delivery::signing;
use crate::domain::SigningSecret;
use crate::domain::mask::MASK;
use crate::services::new_secret;

/// What signs forwarded requests.
pub(super) enum Signer {
    /// A secret of the listener, and whether it was made for this run.
    Own { secret: SigningSecret, is_new: bool },
    /// The engine, with the hook's secrets.
    Hook,
}

/// The headers of a request by name.
pub(super) type Headers = Vec<(String, String)>;

impl Signer {
    /// The signer for what `--secret` or its variable or file says; a new secret without it.
    ///
    /// # Errors
    /// Fails if the secret is not valid.
    pub(super) fn of(secret: Option<&str>) -> Result<Self, BadInput> {
        match secret {
            None => Ok(Self::Own { secret: new_secret(), is_new: true }),
            Some("hook") => Ok(Self::Hook),
            Some(text) => {
                let secret = text.parse().map_err(|rule| BadInput(format!("--secret: {rule}, or `hook`")))?;
                Ok(Self::Own { secret, is_new: false })
            }
        }
    }

    /// The secret that nobody knows yet.
    pub(super) fn new_secret(&self) -> Option<String> {
        match self {
            Self::Own { secret, is_new: true } => Some(secret.reveal()),
            _ => None,
        }
    }

    /// Signs a request that the engine wrote for `hook`, if the hook signs: replaces the value of its signature.
    ///
    /// # Errors
    /// Says why the request cannot be signed.
    pub(super) fn sign(&self, hook: &Value, headers: &mut Headers, body: &[u8]) -> Result<(), String> {
        let name = |member: &str, standard: &str| {
            hook["signature_headers"][member].as_str().unwrap_or(standard).to_owned()
        };
        let value = |headers: &Headers, wanted: &str| {
            let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.clone())
        };
        let signature = name("signature", signing::SIGNATURE);
        let signed = [name("id", signing::ID), name("timestamp", signing::TIMESTAMP), signature.clone()];
        let [Some(id), Some(timestamp), Some(given)] = signed.map(|name| value(headers, &name)) else {
            return Ok(());
        };
        let value = match self {
            Self::Hook if given == MASK => {
                return Err("the engine masks the signature of this hook: `--secret hook` needs a key with \
                            `hooks:write`"
                    .to_owned());
            }
            Self::Hook => return Ok(()),
            Self::Own { secret, .. } => signing::with_secret(secret, &id, &timestamp, body),
        };
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(&signature));
        headers.push((signature, value));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(names: [&str; 3], signature: &str) -> Headers {
        let values = ["msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", signature];
        names.into_iter().zip(values).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The example of the Standard Webhooks reference libraries.
    #[test]
    fn the_signature_is_that_of_the_given_secret_under_the_hooks_names() {
        let signer = Signer::of(Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let own = json!({"signature_headers": {"id": "a", "timestamp": "b", "signature": "c"}});
        for (hook, names) in
            [(json!({}), ["webhook-id", "webhook-timestamp", "webhook-signature"]), (own, ["a", "b", "c"])]
        {
            for given in [MASK, "v1,of-the-hook"] {
                let mut headers = headers(names, given);
                signer.sign(&hook, &mut headers, br#"{"test": 2432232314}"#).unwrap();
                let signed =
                    (names[2].to_owned(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned());
                assert_eq!(headers.last(), Some(&signed));
                assert_eq!(headers.len(), 3);
            }
        }
    }

    #[test]
    fn a_request_that_its_hook_does_not_sign_stays_unsigned() {
        let mut headers = vec![("a".to_owned(), "b".to_owned())];
        Signer::of(None).unwrap().sign(&json!({}), &mut headers, b"").unwrap();
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn the_hooks_own_signature_is_kept_if_the_engine_shows_it() {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let (mut shown, mut masked) = (headers(names, "v1,x"), headers(names, MASK));
        Signer::Hook.sign(&json!({}), &mut shown, b"").unwrap();
        assert_eq!(shown[2].1, "v1,x");
        assert!(Signer::Hook.sign(&json!({}), &mut masked, b"").unwrap_err().contains("hooks:write"));
    }
}
