//! What clients of older systems show who they are with, beside API keys.

use super::{Invalid, Scope, SecretText, TenantId, UnixMillis};

/// A login of the project web hook's API: a name, and the secret that its passwords are made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its name, unique within the tenant.
    pub name: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The key of the passwords' HMAC. It cannot be hashed at rest: the engine computes the same password. Empty if what is
    /// stored cannot be decrypted.
    pub secret: SecretText,
    /// When it was created.
    pub created_at: UnixMillis,
}

impl Login {
    /// What a login may do: all that its interface has, and nothing else.
    pub const SCOPES: [Scope; 3] = [Scope::HooksRead, Scope::HooksWrite, Scope::DeliveriesRead];
    /// The greatest length of a name, in bytes.
    pub const MAX_NAME_LEN: usize = 128;
    /// The shortest secret, in bytes.
    pub const MIN_SECRET_LEN: usize = 8;
    /// The longest secret, in bytes.
    pub const MAX_SECRET_LEN: usize = 256;

    /// Whether its stored secret could not be decrypted. No password is right then.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.secret.reveal().is_empty()
    }

    /// # Errors
    /// Where `name` is empty, over 128 bytes, or has a colon, a semicolon, or control characters: the first ends the
    /// name in Basic authentication (RFC 7617, section 2), the second in what is signed.
    pub fn check_name(name: &str) -> Result<(), Invalid> {
        let fits = |c: char| !c.is_control() && !matches!(c, ':' | ';');
        if name.is_empty() || name.len() > Self::MAX_NAME_LEN || !name.chars().all(fits) {
            return Err(Invalid::new(
                "a login's name has 1 to 128 bytes without colons, semicolons and control characters",
            ));
        }
        Ok(())
    }

    /// # Errors
    /// Where `secret` is shorter than 8 or longer than 256 bytes.
    pub fn check_secret(secret: &str) -> Result<(), Invalid> {
        if (Self::MIN_SECRET_LEN..=Self::MAX_SECRET_LEN).contains(&secret.len()) {
            return Ok(());
        }
        Err(Invalid::new("a login's secret has 8 to 256 bytes"))
    }
}

/// A token of Webitel's API, as the engine remembers it; the token itself is signed and not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainToken {
    /// Its id, a UUID as text; unique in the engine.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The role that was asked for; kept and shown.
    pub role: String,
    /// Whether it is taken.
    pub enabled: bool,
    /// When it ends.
    pub expires_at: UnixMillis,
    /// When it was created.
    pub created_at: UnixMillis,
}
