//! Named keys of operators, beside the one of the settings.

use std::sync::Arc;

use super::cache::Directory;
use super::editor::ConfigEditor;
use super::error::DirectoryError;
use super::key_text::{NewKeyText, new_key};
use super::locks::{read, write};
use super::quotas::{Quotas, check_count};
use crate::domain::audit::operator_key_changes;
use crate::domain::{
    ActorKind, AuditAction, AuditObject, OperatorKey, OperatorKeyId, OperatorRole, UnixMillis,
};

/// What to change of an operator's key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorKeyChange {
    /// Its name.
    pub name: Option<String>,
    /// What it allows.
    pub role: Option<OperatorRole>,
    /// When it expires, or that it does not.
    pub expires_at: Option<Option<UnixMillis>>,
}

impl Directory {
    /// The operators' keys, oldest first.
    pub fn operator_keys(&self) -> Vec<Arc<OperatorKey>> {
        read(&self.operator_keys).by_id.values().cloned().collect()
    }

    /// One of them.
    pub fn operator_key(&self, id: OperatorKeyId) -> Option<Arc<OperatorKey>> {
        read(&self.operator_keys).by_id.get(&id).cloned()
    }
}

impl ConfigEditor<'_> {
    /// Creates an operator's key. Returns it with its text, which is not stored.
    ///
    /// # Errors
    /// If the name is taken, there are 100 already, or storage fails.
    pub async fn create_operator_key(
        &self,
        name: String,
        role: OperatorRole,
        expires_at: Option<UnixMillis>,
    ) -> Result<(Arc<OperatorKey>, String), DirectoryError> {
        let mut revision = self.mutation.lock().await;
        let used = read(&self.operator_keys).by_id.len();
        check_count(
            "operators' keys",
            used as u64,
            Quotas::MAX_OPERATOR_KEYS,
            "delete keys that nobody uses",
        )?;
        let (NewKeyText { text, hash, prefix }, now) = (new_key(), self.clock.now());
        let id = OperatorKeyId::generate(&self.ids, now);
        let key = Arc::new(OperatorKey { id, name, role, hash, prefix, expires_at, created_at: now });
        let object = AuditObject::operator_key(id, &key.name);
        let changes = operator_key_changes(None, Some(&*key));
        let entry = self.entry(None, AuditAction::OperatorKeyCreated, object, changes);
        let change = self.storage.keys.insert_operator_key(&key, &entry).await?;
        self.committed(&mut revision, change).await?;
        write(&self.operator_keys).put(Arc::clone(&key));
        Ok((key, text))
    }

    /// Changes an operator's key; `None` if there is none. `is_admin_key_set` says whether the settings have a key.
    ///
    /// # Errors
    /// If the name is taken, no operator's key would be left, or storage fails.
    pub async fn change_operator_key(
        &self,
        id: OperatorKeyId,
        change: OperatorKeyChange,
        is_admin_key_set: bool,
    ) -> Result<Option<Arc<OperatorKey>>, DirectoryError> {
        let mut revision = self.mutation.lock().await;
        let Some(current) = self.operator_key(id) else { return Ok(None) };
        let mut key = OperatorKey::clone(&current);
        key.name = change.name.unwrap_or(key.name);
        key.role = change.role.unwrap_or(key.role);
        key.expires_at = change.expires_at.unwrap_or(key.expires_at);
        let changes = operator_key_changes(Some(&*current), Some(&key));
        if changes.is_empty() {
            return self.unchanged(&mut revision, current, || self.operator_key(id)).await.map(Some);
        }
        if !is_usable(&key, self.clock.now()) {
            self.check_another_is_left(id, is_admin_key_set)?;
        }
        let object = AuditObject::operator_key(id, &key.name);
        let entry = self.entry(None, AuditAction::OperatorKeyUpdated, object, changes);
        let key = Arc::new(key);
        let change = self.storage.keys.update_operator_key(&key, *revision, &entry).await?;
        if !self.committed(&mut revision, change).await? {
            return Ok(None);
        }
        write(&self.operator_keys).put(Arc::clone(&key));
        Ok(Some(key))
    }

    /// Deletes an operator's key; false if there was none. It is refused from then on.
    ///
    /// # Errors
    /// If no operator's key would be left, or storage fails.
    pub async fn delete_operator_key(
        &self,
        id: OperatorKeyId,
        is_admin_key_set: bool,
    ) -> Result<bool, DirectoryError> {
        let mut revision = self.mutation.lock().await;
        let Some(current) = self.operator_key(id) else { return Ok(false) };
        self.check_another_is_left(id, is_admin_key_set)?;
        let object = AuditObject::operator_key(id, &current.name);
        let changes = operator_key_changes(Some(&*current), None);
        let entry = self.entry(None, AuditAction::OperatorKeyDeleted, object, changes);
        let change = self.storage.keys.delete_operator_key(id, *revision, &entry).await?;
        let existed = self.committed(&mut revision, change).await?;
        write(&self.operator_keys).remove(id);
        Ok(existed)
    }

    /// Whether an operator's key is left without `id`: one of the settings, another one, or that of the request itself.
    /// A generated key does not count, because its text may be lost.
    fn check_another_is_left(&self, id: OperatorKeyId, is_admin_key_set: bool) -> Result<(), DirectoryError> {
        let actor = self.actor();
        let is_own = actor.kind == ActorKind::OperatorKey && actor.id == Some(id.to_string());
        let now = self.clock.now();
        let is_other = |key: &Arc<OperatorKey>| key.id != id && is_usable(key, now);
        if is_admin_key_set || !is_own || self.operator_keys().iter().any(is_other) {
            return Ok(());
        }
        Err(DirectoryError::InUse(
            "this is the last operator's key that allows changes; create another one first, and make the request with \
             that"
                .to_owned(),
        ))
    }
}

/// Whether an operator can make changes with it.
fn is_usable(key: &OperatorKey, now: UnixMillis) -> bool {
    key.role == OperatorRole::Operator && !key.is_expired(now)
}
