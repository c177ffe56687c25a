//! Hashes of names.

use crate::domain::TenantId;
use crate::domain::hash::sha256;
use crate::storage::dedup::NameKind;

/// The beginning of a name's SHA-256: long enough that no tenant can find one that equals another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameHash(pub u128);

impl NameHash {
    /// The hash of a tenant's name.
    pub fn of(tenant: TenantId, kind: NameKind, name: &str) -> Self {
        let kind = match kind {
            NameKind::Id => b"i",
            NameKind::IdempotencyKey => b"k",
        };
        let hash = sha256(&[&tenant.0.to_be_bytes(), kind, name.as_bytes()]);
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        Self(u128::from_be_bytes(first))
    }
}
