//! OAuth 2.0 client credentials (RFC 6749, section 4.4), with which a hook gets access tokens for its receiver.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::attempt::named_enum;
use super::hash::sha256;
use super::target_url::parse_target_url;
use super::{Invalid, SecretText};

/// How a hook gets access tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthClient {
    /// Where tokens are requested.
    pub token_url: Url,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: SecretText,
    /// The scopes that are requested.
    pub scopes: Vec<String>,
    /// Further parameters of the request, such as `audience` or `resource`.
    pub parameters: Vec<(String, String)>,
    /// Where the request has the client's id and secret.
    pub authentication: OAuthAuthentication,
}

named_enum! {
    /// Where the request for a token has the client's id and secret (RFC 6749, section 2.3.1).
    OAuthAuthentication {
        /// In the `Authorization` header, as every server must accept.
        Basic = "basic",
        /// In the body.
        Post = "post",
    }
}

impl OAuthClient {
    /// Maximum size of the id, the secret and of a parameter's name or value, in bytes.
    pub const MAX_TEXT_LEN: usize = 1_024;
    /// Maximum number of scopes.
    pub const MAX_SCOPES: usize = 50;
    /// Maximum number of parameters.
    pub const MAX_PARAMETERS: usize = 10;

    /// Checks a token URL.
    ///
    /// # Errors
    /// If it is not a URL to which requests can go.
    pub fn parse_url(text: &str) -> Result<Url, Invalid> {
        parse_target_url("a token URL", text)
    }

    /// Checks an id, a secret, or a parameter's value.
    ///
    /// # Errors
    /// If it is empty, too long, or has control characters.
    pub fn check_text(text: &str) -> Result<(), Invalid> {
        if text.is_empty() || text.len() > Self::MAX_TEXT_LEN || text.chars().any(char::is_control) {
            return Err(Invalid::new("expected 1 to 1,024 bytes without control characters"));
        }
        Ok(())
    }

    /// Checks a scope.
    ///
    /// # Errors
    /// If it is not a scope token (RFC 6749, section 3.3), or has more than 256 bytes.
    pub fn check_scope(text: &str) -> Result<(), Invalid> {
        let fits = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if text.is_empty() || text.len() > 256 || !text.bytes().all(fits) {
            return Err(Invalid::new(
                "a scope has 1 to 256 visible ASCII characters without quotation marks and backslashes",
            ));
        }
        Ok(())
    }

    /// Checks the name of a parameter.
    ///
    /// # Errors
    /// If it is not usable, or the engine sets the parameter itself.
    pub fn check_parameter(name: &str) -> Result<(), Invalid> {
        const OWN: [&str; 4] = ["grant_type", "client_id", "client_secret", "scope"];
        Self::check_text(name)?;
        if OWN.contains(&name) {
            return Err(Invalid::new(format!("the parameter `{name}` is set by the engine")));
        }
        Ok(())
    }

    /// What distinguishes it from what the hook had before: a hash of everything.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let pairs = self.parameters.iter().flat_map(|(name, value)| [name.as_str(), value]);
        let texts = [self.token_url.as_str(), &self.client_id, self.client_secret.reveal()].into_iter();
        let texts = texts.chain([self.authentication.as_str()]);
        let texts = texts.chain(self.scopes.iter().map(String::as_str)).chain(["\0"]).chain(pairs);
        let parts: Vec<_> = texts.flat_map(|text| [text.as_bytes(), b"\0"]).collect();
        sha256(&parts)
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = self.scopes.iter().map(String::len).sum::<usize>();
        let pairs = self.parameters.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let ids = self.client_id.len() + self.client_secret.reveal().len();
        self.token_url.as_str().len() + ids + texts + pairs + 48 * (self.scopes.len() + self.parameters.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_and_parameters_have_rules() {
        for (scope, fits) in [
            ("read", true),
            ("https://a.example/b", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("é", false),
        ] {
            assert_eq!(OAuthClient::check_scope(scope).is_ok(), fits, "{scope}");
        }
        for (name, fits) in [("audience", true), ("grant_type", false), ("client_secret", false), ("", false)]
        {
            assert_eq!(OAuthClient::check_parameter(name).is_ok(), fits, "{name}");
        }
        assert!(
            OAuthClient::parse_url("ftp://a.example").unwrap_err().to_string().starts_with("a token URL")
        );
    }
}
