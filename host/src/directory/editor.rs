//! Changes of configuration, each made by somebody: the audit log names who it was.

use std::ops::Deref;

use super::cache::{ChangePermit, Directory, MAX_CHANGES};
use super::error::DirectoryError;
use crate::clock;
use crate::domain::audit::MemberChange;
use crate::domain::{Actor, ActorKind, AuditAction, AuditEntry, AuditId, AuditObject, Limit, TenantId};

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

    /// Counts a change that `tenant` is about to make. Those of operators and of the engine do not count.
    ///
    /// # Errors
    /// If the tenant has made too many.
    pub fn count_change(&self, tenant: TenantId) -> Result<(), DirectoryError> {
        if matches!(self.actor.kind, ActorKind::OperatorKey | ActorKind::Engine) {
            return Ok(());
        }
        let Some(limit) = self.limit(tenant, Limit::ChangesPerDay) else { return Ok(()) };
        let taken = self.change_budgets.take(tenant, limit, clock::monotonic());
        taken.map_err(|wait_s| DirectoryError::TooManyInADay { limit, wait_s })
    }

    /// As [`Directory::permit_change`], and counts the change.
    pub(super) async fn permit_change(&self, tenant: TenantId) -> Result<ChangePermit<'_>, DirectoryError> {
        self.count_change(tenant)?;
        self.directory.permit_change(tenant).await
    }

    /// Adds an entry about something of `tenant`, or of the engine, that changes no configuration, such as the reading of a secret. Do it only
    /// after this: what is not in the log must not happen.
    ///
    /// # Errors
    /// If too many changes of the tenant wait, it has made too many, or storage fails.
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
                self.count_change(tenant)?;
                let permit = self.changes.acquire_unless_full(tenant, MAX_CHANGES).await;
                Some(permit.ok_or(DirectoryError::TooManyChanges)?)
            }
            None => None,
        };
        let entry = self.entry(tenant, action, object, changes);
        Ok(self.storage.audit.append(&entry).await?)
    }
}
