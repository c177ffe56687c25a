//! Credentials besides tenants' API keys: those of compatibility APIs, and those of operators.

use std::fmt;
use std::str::FromStr;

use super::attempt::named_enum;
use super::{Invalid, OperatorKeyId, Scope, Scopes, SecretText, TenantId, UnixMillis};

/// A login of the project web hook API: a name, and the secret from which its passwords are computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its name, unique within the tenant.
    pub name: String,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// HMAC key of its passwords. It is not stored as a hash because the engine computes the password. Empty if the
    /// stored secret cannot be decrypted.
    pub secret: SecretText,
    /// When it was created.
    pub created_at: UnixMillis,
}

impl Login {
    /// Scopes of a login: exactly what its API offers.
    pub const SCOPES: [Scope; 3] = [Scope::HooksRead, Scope::HooksWrite, Scope::DeliveriesRead];
    /// Maximum length of a name, in bytes.
    pub const MAX_NAME_LEN: usize = 128;
    /// Minimum length of a secret, in bytes.
    pub const MIN_SECRET_LEN: usize = 8;
    /// Maximum length of a secret, in bytes.
    pub const MAX_SECRET_LEN: usize = 256;

    /// Whether the stored secret cannot be decrypted. No password is accepted then.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.secret.reveal().is_empty()
    }

    /// Checks a login's name.
    ///
    /// # Errors
    /// If `name` is empty, longer than 128 bytes, or has a colon, a semicolon or control characters. A colon ends the name
    /// in Basic authentication (RFC 7617, section 2), a semicolon in the signed text.
    pub fn check_name(name: &str) -> Result<(), Invalid> {
        let fits = |c: char| !c.is_control() && !matches!(c, ':' | ';');
        if name.is_empty() || name.len() > Self::MAX_NAME_LEN || !name.chars().all(fits) {
            return Err(Invalid::new(
                "a login's name must have 1 to 128 bytes, without colons, semicolons or control characters",
            ));
        }
        Ok(())
    }

    /// Checks a login's secret.
    ///
    /// # Errors
    /// If `secret` is shorter than 8 or longer than 256 bytes.
    pub fn check_secret(secret: &str) -> Result<(), Invalid> {
        if (Self::MIN_SECRET_LEN..=Self::MAX_SECRET_LEN).contains(&secret.len()) {
            return Ok(());
        }
        Err(Invalid::new("a login's secret must have 8 to 256 bytes"))
    }
}

/// The record of a token of the Webitel API. The token itself is signed and not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainToken {
    /// Its id, a UUID as text; unique in the engine.
    pub id: String,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// The requested role. It is stored and shown, and has no effect.
    pub role: String,
    /// Whether it is accepted.
    pub enabled: bool,
    /// When it expires.
    pub expires_at: UnixMillis,
    /// When it was created.
    pub created_at: UnixMillis,
}

named_enum! {
    /// What an operator's key allows.
    OperatorRole {
        /// Everything, for every tenant.
        Operator = "operator",
        /// To read what the engine and the tenants have, secrets excepted.
        Read = "read",
    }
}

impl OperatorRole {
    /// The scopes that it has in every tenant.
    #[must_use]
    pub fn scopes(self) -> Scopes {
        match self {
            Self::Operator => Scopes::all(),
            Self::Read => Scopes::reading(),
        }
    }
}

/// The record of a named key of an operator. Only the hash of the key is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorKey {
    /// Its id.
    pub id: OperatorKeyId,
    /// A name for people, unique.
    pub name: String,
    /// What it allows.
    pub role: OperatorRole,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// The first characters of the key, by which people recognize it.
    pub prefix: String,
    /// When it expires, if it does.
    pub expires_at: Option<UnixMillis>,
    /// When it was created.
    pub created_at: UnixMillis,
}

impl OperatorKey {
    /// Whether it is refused at `now`.
    #[must_use]
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}
