//! Secrets: signing secrets of Standard Webhooks, and text that must not be shown.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Invalid, UnixMillis};

/// The key of a hook's signatures: 24 to 64 bytes, written as `whsec_` followed by base64.
///
/// Standard Webhooks, "Symmetric signatures", requires 24 to 64 bytes (192 to 512 bits).
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret {
    key: Zeroizing<Vec<u8>>,
    /// Until when it signs together with its successor; `None` for the current secret.
    pub expires_at: Option<UnixMillis>,
}

impl SigningSecret {
    /// Prefix of the text.
    pub const PREFIX: &'static str = "whsec_";

    /// Creates a secret from a key.
    ///
    /// # Errors
    /// If the key is shorter than 24 or longer than 64 bytes.
    pub fn from_bytes(key: Vec<u8>) -> Result<Self, Invalid> {
        if !(24..=64).contains(&key.len()) {
            return Err(Invalid::new("a signing secret must have 24 to 64 bytes"));
        }
        Ok(Self { key: Zeroizing::new(key), expires_at: None })
    }

    /// Makes a secret from a key of 256 random bits.
    #[must_use]
    pub fn from_key(key: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(key.to_vec()), expires_at: None }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The text for the receiver. The name makes accidental use visible.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{}{}", Self::PREFIX, STANDARD.encode(&*self.key))
    }

    /// Sets the time until which it signs together with its successor.
    #[must_use]
    pub fn expiring_at(self, end: UnixMillis) -> Self {
        Self { expires_at: Some(end), ..self }
    }

    /// Whether it signs at `now`.
    #[must_use]
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

impl FromStr for SigningSecret {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rule = || Invalid::new("a signing secret must be `whsec_` followed by 24 to 64 bytes in base64");
        let encoded = text.strip_prefix(Self::PREFIX).ok_or_else(rule)?;
        Self::from_bytes(STANDARD.decode(encoded).map_err(|_| rule())?).map_err(|_| rule())
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// Text that must not be shown. It is encrypted at rest, zeroed when dropped, and omitted from debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text. The name makes accidental use visible.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}
