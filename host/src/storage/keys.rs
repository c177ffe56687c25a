//! Keys of operators, and when keys were last used.

use async_trait::async_trait;

use super::directory::{ConfigChange, Revision};
use super::error::StorageError;
use crate::domain::{AuditEntry, KeyId, OperatorKey, OperatorKeyId, TenantId, UnixMillis};

/// See the module's head. Others of a tenant's keys are in [`TenantStore`](super::TenantStore).
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// All keys of operators.
    async fn load_operator_keys(&self) -> Result<Vec<OperatorKey>, StorageError>;
    /// Adds a key. [`StorageError::Taken`] for a name that is taken.
    async fn insert_operator_key(
        &self,
        key: &OperatorKey,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Replaces name, role and end of a key. [`StorageError::Taken`] for a name that is taken.
    async fn update_operator_key(
        &self,
        key: &OperatorKey,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Removes a key.
    async fn delete_operator_key(
        &self,
        id: OperatorKeyId,
        basis: Revision,
        entry: &AuditEntry,
    ) -> Result<ConfigChange, StorageError>;
    /// Notes that these keys were used until `now`.
    async fn note_uses(&self, used: &UsedKeys, now: UnixMillis) -> Result<(), StorageError>;
    /// When the keys of a tenant were last used, as far as it was noted. A key that was not used is left out.
    async fn key_uses(&self, tenant: TenantId) -> Result<Vec<(KeyId, UnixMillis)>, StorageError>;
    /// The same of the operators' keys.
    async fn operator_key_uses(&self) -> Result<Vec<(OperatorKeyId, UnixMillis)>, StorageError>;
}

/// Keys that were used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsedKeys {
    /// Those of tenants.
    pub keys: Vec<KeyId>,
    /// Those of operators.
    pub operator_keys: Vec<OperatorKeyId>,
}

impl UsedKeys {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.operator_keys.is_empty()
    }
}
