//! Whose key a request has, and when keys were last used.
//!
//! A key that is used is only marked. About once a minute the marks are stored, with the time: so a request costs neither a
//! write nor a look at the clock.

use std::collections::HashMap;
use std::sync::Arc;

use super::cache::Directory;
use super::locks::read;
use crate::domain::{ApiKey, KeyId, OperatorKey, OperatorKeyId, TenantId, UnixMillis};
use crate::storage::{StorageError, UsedKeys};

/// Whose key it is.
#[derive(Debug, Clone)]
pub enum KnownKey {
    /// A tenant's.
    Tenant(Arc<ApiKey>),
    /// An operator's.
    Operator(Arc<OperatorKey>),
}

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRefusal {
    /// Nobody has it.
    Unknown,
    /// It expired.
    Expired(UnixMillis),
}

impl Directory {
    /// The key whose text hashes to `hash`, if it is accepted now.
    ///
    /// # Errors
    /// If there is none, or it expired.
    pub fn authenticate(&self, hash: &[u8; 32]) -> Result<KnownKey, KeyRefusal> {
        if let Some(known) = read(&self.tenants).keys.get(hash) {
            self.check_end(known.key.expires_at)?;
            known.mark.set();
            return Ok(KnownKey::Tenant(Arc::clone(&known.key)));
        }
        let index = read(&self.operator_keys);
        let known = index.by_hash.get(hash).ok_or(KeyRefusal::Unknown)?;
        self.check_end(known.key.expires_at)?;
        known.mark.set();
        Ok(KnownKey::Operator(Arc::clone(&known.key)))
    }

    /// Most keys do not expire: for those the clock is not read.
    fn check_end(&self, expires_at: Option<UnixMillis>) -> Result<(), KeyRefusal> {
        match expires_at {
            Some(end) if end <= self.clock.now() => Err(KeyRefusal::Expired(end)),
            _ => Ok(()),
        }
    }

    /// Stores which keys were used since the last call.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn store_key_uses(&self) -> Result<(), StorageError> {
        let used = UsedKeys {
            keys: read(&self.tenants)
                .keys
                .values()
                .filter(|known| known.mark.take())
                .map(|known| known.key.id)
                .collect(),
            operator_keys: read(&self.operator_keys)
                .by_hash
                .values()
                .filter(|known| known.mark.take())
                .map(|known| known.key.id)
                .collect(),
        };
        if used.is_empty() {
            return Ok(());
        }
        self.storage.keys.note_uses(&used, self.clock.now()).await
    }

    /// When the keys of `tenant` were last used, to the minute. A key that was not used is left out.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn key_uses(&self, tenant: TenantId) -> Result<HashMap<KeyId, UnixMillis>, StorageError> {
        let mut uses: HashMap<_, _> = self.storage.keys.key_uses(tenant).await?.into_iter().collect();
        let now = self.clock.now();
        let index = read(&self.tenants);
        let marked = index.keys_of.get(&tenant).into_iter().flatten();
        let is_marked = |key: &&Arc<ApiKey>| index.keys.get(&key.hash).is_some_and(|it| it.mark.is_set());
        uses.extend(marked.map(|(_, key)| key).filter(is_marked).map(|key| (key.id, now)));
        Ok(uses)
    }

    /// When the operators' keys were last used, to the minute. A key that was not used is left out.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn operator_key_uses(&self) -> Result<HashMap<OperatorKeyId, UnixMillis>, StorageError> {
        let mut uses: HashMap<_, _> = self.storage.keys.operator_key_uses().await?.into_iter().collect();
        let now = self.clock.now();
        let index = read(&self.operator_keys);
        let marked = index.by_hash.values().filter(|known| known.mark.is_set());
        uses.extend(marked.map(|known| (known.key.id, now)));
        Ok(uses)
    }
}
