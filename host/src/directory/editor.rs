//! Changes of configuration, each made by somebody: the audit log names who it was.

use std::ops::Deref;

use super::cache::{Directory, MAX_CHANGES};
use super::error::DirectoryError;
use crate::domain::audit::MemberChange;
use crate::domain::{Actor, AuditAction, AuditEntry, AuditId, AuditObject, TenantId};

/// Changes the configuration on behalf of an actor. Each change is stored together with its entry in the audit log.
#[derive(Clone, Copy)]
pub struct ConfigEditor<'a> {
    directory: &'a Directory,
    actor: &'a Actor,
}

impl Directory {
    /// Changes on behalf of `actor`.
    #[must_use]
    pub fn by<'a>(&'a self, actor: &'a Actor) -> ConfigEditor<'a> {
        ConfigEditor { directory: self, actor }
    }
}

impl Deref for ConfigEditor<'_> {
    type Target = Directory;

    fn deref(&self) -> &Directory {
        self.directory
    }
}

impl ConfigEditor<'_> {
    /// Who makes the changes.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        self.actor
    }

    /// The entry of a change that is made now. `tenant` is the one whose configuration it is.
    #[must_use]
    pub fn entry(
        &self,
        tenant: Option<TenantId>,
        action: AuditAction,
        object: AuditObject,
        changes: Vec<MemberChange>,
    ) -> AuditEntry {
        AuditEntry {
            id: AuditId::generate(&self.ids, self.clock.now()),
            tenant,
            actor: self.actor.clone(),
            action: action.as_str().to_owned(),
            object,
            changes,
        }
    }

    /// Adds an entry about something of `tenant`, or of the engine, that changes no configuration, such as the reading of a secret. Do it only
    /// after this: what is not in the log must not happen.
    ///
    /// # Errors
    /// If too many changes of the tenant wait, or storage fails.
    pub async fn note(
        &self,
        tenant: impl Into<Option<TenantId>>,
        action: AuditAction,
        object: AuditObject,
        changes: Vec<MemberChange>,
    ) -> Result<(), DirectoryError> {
        let tenant = tenant.into();
        let _permit = match tenant {
            Some(tenant) => {
                let permit = self.changes.acquire_unless_full(tenant, MAX_CHANGES).await;
                Some(permit.ok_or(DirectoryError::TooManyChanges)?)
            }
            None => None,
        };
        let entry = self.entry(tenant, action, object, changes);
        Ok(self.storage.audit.append(&entry).await?)
    }
}
