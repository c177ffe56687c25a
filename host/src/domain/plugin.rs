//! Plugins: names, versions, digests, roles.

use std::fmt;
use std::str::FromStr;

use super::hash::sha256;
use super::{Invalid, TenantId, UnixMillis};

/// A plugin's name within its tenant, or a standard plugin's: 1 to 64 of `a-z`, `0-9`, `-`, `_`, `.`,
/// beginning with a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginName(String);

impl PluginName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PluginName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !starts || text.len() > 64 || !text.bytes().all(fits) {
            return Err(Invalid::new(
                "a plugin's name must have 1 to 64 characters from a-z, 0-9, `-`, `_` and `.`, and begin with a letter or a digit",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 digest of a plugin's Wasm as uploaded, written `sha256:<64 hexadecimal digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Computes the digest of `wasm`.
    #[must_use]
    pub fn of(wasm: &[u8]) -> Self {
        Self(sha256(&[wasm]))
    }

    /// The 64 hexadecimal digits without prefix, as in file names.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for Digest {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; 32];
        text.strip_prefix("sha256:")
            .filter(|digits| !digits.bytes().any(|b| b.is_ascii_uppercase()))
            .and_then(|digits| hex::decode_to_slice(digits, &mut bytes).ok())
            .ok_or_else(|| {
                Invalid::new("a digest must be `sha256:` followed by 64 hexadecimal digits in lower case")
            })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A function of a plugin in a pipeline: an interface that its component exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Decides whether an event is delivered.
    Filter,
    /// Changes the event's data.
    Mapper,
    /// Writes the HTTP request.
    Transformer,
}

impl Role {
    /// All roles, in the order in which a step runs them.
    pub const ALL: [Self; 3] = [Self::Filter, Self::Mapper, Self::Transformer];

    /// The name, which is also the name of the WIT interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Mapper => "mapper",
            Self::Transformer => "transformer",
        }
    }
}

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| Invalid::new("a role must be `filter`, `mapper` or `transformer`"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The roles of one plugin, in the order in which a step runs them.
pub type Roles = Vec<Role>;

/// An immutable version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginVersion {
    /// The tenant that owns it; `None` for a standard plugin.
    pub tenant: Option<TenantId>,
    /// The plugin's name.
    pub name: PluginName,
    /// Number within the name, from 1.
    pub version: u32,
    /// SHA-256 of the bytes as uploaded.
    pub digest: Digest,
    /// The roles that it exports.
    pub roles: Roles,
    /// The interfaces that it imports, such as `hookwright:plugin/log@1.0.0`.
    pub imports: Vec<String>,
    /// Size of the upload.
    pub size_bytes: u64,
    /// When it was uploaded.
    pub created_at: UnixMillis,
}
