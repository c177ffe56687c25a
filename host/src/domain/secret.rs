//! Secrets: those of Standard Webhooks' signatures, and texts that must not be shown.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Invalid, UnixMillis};

/// The key of a hook's signatures: 24 to 64 bytes, written as `whsec_` and base64.
///
/// Standard Webhooks, "Symmetric signatures": between 24 bytes (192 bits) and 64 bytes (512 bits).
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret {
    key: Zeroizing<Vec<u8>>,
    /// Until when it signs beside its successor; none for the current one.
    pub expires_at: Option<UnixMillis>,
}

impl SigningSecret {
    /// What the text begins with.
    pub const PREFIX: &'static str = "whsec_";

    /// # Errors
    /// Where the key is shorter than 24 or longer than 64 bytes.
    pub fn from_bytes(key: Vec<u8>) -> Result<Self, Invalid> {
        if !(24..=64).contains(&key.len()) {
            return Err(Invalid::new("a signing secret has 24 to 64 bytes"));
        }
        Ok(Self { key: Zeroizing::new(key), expires_at: None })
    }

    /// A new one: 256 random bits.
    #[must_use]
    pub fn generate() -> Self {
        Self { key: Zeroizing::new(rand::random::<[u8; 32]>().to_vec()), expires_at: None }
    }

    /// The bytes of the key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The text that the receiver is given. Named so that a secret is never shown by accident.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{}{}", Self::PREFIX, STANDARD.encode(&*self.key))
    }

    /// The same secret, signing until `end` beside its successor.
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
        let rule = || Invalid::new("a signing secret is `whsec_` followed by 24 to 64 bytes in base64");
        let encoded = text.strip_prefix(Self::PREFIX).ok_or_else(rule)?;
        Self::from_bytes(STANDARD.decode(encoded).map_err(|_| rule())?).map_err(|_| rule())
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// Text that must not be shown: encrypted at rest, wiped from memory, and never in a debug print.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Keeps `text` from view.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text. Named so that it is never shown by accident.
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
