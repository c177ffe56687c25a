//! Plugins: names, versions, digests, roles.

use std::fmt;
use std::str::FromStr;

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
                "a plugin's name has 1 to 64 of a-z, 0-9, `-`, `_` and `.`, and begins with a letter or a digit",
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

/// SHA-256 of a plugin's Wasm as it was uploaded, written `sha256:<64 hexadecimal digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `wasm`.
    #[must_use]
    pub fn of(wasm: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(wasm).into())
    }

    /// The 64 hexadecimal digits alone, as in file names.
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
            .ok_or_else(|| Invalid::new("a digest is `sha256:` and 64 hexadecimal digits in lower case"))?;
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

/// What a plugin can do in a pipeline: the interfaces that its component exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Decides whether an event is delivered at all.
    Filter,
    /// Reshapes the event's data.
    Mapper,
    /// Writes the HTTP request.
    Transformer,
}

impl Role {
    /// In the order in which a step runs them.
    pub const ALL: [Self; 3] = [Self::Filter, Self::Mapper, Self::Transformer];

    /// The text: also the name of the WIT interface.
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
        role.ok_or_else(|| Invalid::new("a role is filter, mapper or transformer"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The roles of one plugin, in the order in which a step runs them.
pub type Roles = Vec<Role>;

/// What is known of one immutable upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginVersion {
    /// Whose it is; none for a standard plugin.
    pub tenant: Option<TenantId>,
    /// The plugin's name.
    pub name: PluginName,
    /// Counts from 1 within the name.
    pub version: u32,
    /// SHA-256 of the bytes as uploaded.
    pub digest: Digest,
    /// What it exports.
    pub roles: Roles,
    /// The interfaces that it imports, such as `hookwright:plugin/log@1.0.0`.
    pub imports: Vec<String>,
    /// The size of the upload.
    pub size_bytes: u64,
    /// When it was uploaded.
    pub created_at: UnixMillis,
}
