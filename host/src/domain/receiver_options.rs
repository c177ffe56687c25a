//! What a hook's receiver needs beyond a signed request: options that most hooks leave at their defaults.

use std::fmt;
use std::str::FromStr;

use super::attempt::named_enum;
use super::header::{check_header_name, is_framing_header};
use super::hook_tls::HookTls;
use super::oauth::OAuthClient;
use super::signing_key::SigningKey;
use super::{Invalid, UnixMillis};

/// See the module's head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiverOptions {
    /// The current key pair of `v1a` signatures, then previous ones that still sign too.
    pub signing_keys: Vec<SigningKey>,
    /// The names of the signature's headers, if not those of Standard Webhooks.
    pub signature_headers: Option<SignatureHeaders>,
    /// Certificates of its own.
    pub tls: Option<HookTls>,
    /// How it gets access tokens.
    pub oauth: Option<OAuthClient>,
    /// The handshake that its receiver must have answered.
    pub handshake: Option<Handshake>,
}

/// The names of the signature's headers, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeaders {
    /// Of the event's id.
    pub id: String,
    /// Of the attempt's time.
    pub timestamp: String,
    /// Of the signatures.
    pub signature: String,
}

impl SignatureHeaders {
    /// Maximum length of a name, in bytes.
    pub const MAX_NAME_LEN: usize = 64;

    /// Checks a name and returns it in lower case.
    ///
    /// # Errors
    /// If it is no header name, too long, or a header that has another meaning.
    pub fn check_name(name: &str) -> Result<String, Invalid> {
        const TAKEN: [&str; 10] = [
            "accept",
            "accept-encoding",
            "authorization",
            "content-encoding",
            "content-type",
            "cookie",
            "expect",
            "hookwright-event-type",
            "user-agent",
            "webhook-request-origin",
        ];
        let name = check_header_name(name)?.as_str().to_owned();
        if name.len() > Self::MAX_NAME_LEN {
            return Err(Invalid::new("the name of a signature header must have at most 64 bytes"));
        }
        if is_framing_header(&name) || TAKEN.contains(&name.as_str()) {
            return Err(Invalid::new(format!(
                "the header `{name}` has another meaning; choose a different name"
            )));
        }
        Ok(name)
    }

    /// Whether `name` is one of them.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        [&self.id, &self.timestamp, &self.signature].iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// The handshake of CloudEvents' HTTP Web Hooks for Event Delivery, section 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The rate that is asked for, in requests per minute.
    pub requested_rate: Option<u32>,
    /// What has come of it.
    pub state: HandshakeState,
    /// Since when.
    pub since: UnixMillis,
    /// The rate that the receiver allows, in requests per minute; `None`: any rate.
    pub allowed_rate: Option<u32>,
    /// The origin that the receiver was asked to allow. Each delivery names it, too.
    pub origin: String,
    /// Why it was not allowed.
    pub reason: Option<String>,
}

named_enum! {
    /// What has come of a handshake.
    HandshakeState {
        /// The receiver has not been asked yet, or has not answered.
        Pending = "pending",
        /// The receiver allows deliveries.
        Allowed = "allowed",
        /// The receiver does not allow deliveries, or could not be asked.
        Refused = "refused",
    }
}

impl Handshake {
    /// The highest rate that can be asked for.
    pub const MAX_RATE: u32 = 1_000_000;

    /// A handshake that is still to be made.
    #[must_use]
    pub fn pending(requested_rate: Option<u32>, since: UnixMillis) -> Self {
        let state = HandshakeState::Pending;
        Self { requested_rate, state, since, allowed_rate: None, origin: String::new(), reason: None }
    }

    /// Whether requests may be sent.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.state == HandshakeState::Allowed
    }
}

impl ReceiverOptions {
    /// About how many bytes of memory they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let tls = self.tls.as_ref().map_or(0, HookTls::bytes);
        let oauth = self.oauth.as_ref().map_or(0, OAuthClient::bytes);
        size_of::<Self>() + 512 * self.signing_keys.len() + tls + oauth
    }
}

/// Whether the name consists of labels of letters, digits and hyphens (RFC 1123, section 2.1).
#[must_use]
pub fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_dns_name() {
        for (name, is_one) in [
            ("shop.example", true),
            ("hookwright", true),
            ("", false),
            ("a..b", false),
            ("-a.b", false),
            ("a_b.example", false),
            ("ümlaut.example", false),
            (&"a".repeat(64), false),
        ] {
            assert_eq!(is_dns_name(name), is_one, "{name}");
        }
    }

    #[test]
    fn a_name_of_a_signature_header_must_not_have_another_meaning() {
        assert_eq!(SignatureHeaders::check_name("Svix-Id").unwrap(), "svix-id");
        assert!(SignatureHeaders::check_name("webhook-id").is_ok());
        for name in ["", "a b", "Host", "content-length", "Authorization", "content-type", &"x".repeat(65)] {
            assert!(SignatureHeaders::check_name(name).is_err(), "{name}");
        }
    }
}
