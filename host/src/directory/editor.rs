//! Changes of configuration, each made by somebody: the audit log names who it was.

use std::ops::Deref;

use super::cache::{ChangePermit, Directory, MAX_CHANGES};
use super::change_budgets::{ChangeBudgets, Counted};
use super::error::DirectoryError;
use crate::clock;
use crate::domain::audit::MemberChange;
use crate::domain::{Actor, ActorKind, AuditAction, AuditEntry, AuditId, AuditObject, Limit, TenantId};
use crate::storage::ConfigChange;

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

/// What becomes of an entry whose tenant has made too many in a day.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfTooMany {
    Refuse,
    Go,
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

    /// Checks that `tenant` may make another change today. Operators and the engine always may.
    ///
    /// # Errors
    /// If the tenant has made too many.
    pub fn check_changes(&self, tenant: TenantId) -> Result<(), DirectoryError> {
        self.check(Counted::Change, tenant)
    }

    /// As [`Self::check_changes`], for what signs somebody in.
    pub(super) fn check_sign_ins(&self, tenant: TenantId) -> Result<(), DirectoryError> {
        self.check(Counted::SignIn, tenant)
    }

    fn check(&self, counted: Counted, tenant: TenantId) -> Result<(), DirectoryError> {
        let Some(limit) = self.limit_of_changes(tenant) else { return Ok(()) };
        let checked = self.budgets(counted).check(tenant, limit, clock::monotonic());
        let what = counted.as_str();
        checked.map_err(|wait_s| DirectoryError::TooManyInADay { what, limit, wait_s })
    }

    /// Counts a change that left an entry in the audit log.
    pub fn count_change(&self, tenant: TenantId) {
        self.count(Counted::Change, tenant);
    }

    fn count(&self, counted: Counted, tenant: TenantId) {
        if let Some(limit) = self.limit_of_changes(tenant) {
            self.budgets(counted).count(tenant, limit, clock::monotonic());
        }
    }

    fn budgets(&self, counted: Counted) -> &ChangeBudgets {
        match counted {
            Counted::Change => &self.change_budgets,
            Counted::SignIn => &self.sign_in_budgets,
        }
    }

    fn limit_of_changes(&self, tenant: TenantId) -> Option<u64> {
        match self.actor.kind {
            ActorKind::OperatorKey | ActorKind::Engine => None,
            _ => self.limit(tenant, Limit::ChangesPerDay),
        }
    }

    /// As [`Directory::permit_change`], if the tenant may make another change today.
    pub(super) async fn permit_change(&self, tenant: TenantId) -> Result<ChangePermit<'_>, DirectoryError> {
        let permit = self.permit_removal(tenant).await?;
        self.check_changes(tenant)?;
        Ok(permit)
    }

    /// As [`Directory::permit_change`], for what removes or stops something: a thief with a key, who has used up the changes of
    /// the day, must not keep the tenant from that. It is bounded by what was created.
    pub(super) async fn permit_removal(&self, tenant: TenantId) -> Result<ChangePermit<'_>, DirectoryError> {
        self.directory.permit_change(tenant).await
    }

    /// As [`Self::permit_change`], for what signs somebody in.
    pub(super) async fn permit_sign_in(&self, tenant: TenantId) -> Result<ChangePermit<'_>, DirectoryError> {
        let permit = self.permit_sign_out(tenant).await?;
        self.check_sign_ins(tenant)?;
        Ok(permit)
    }

    /// As [`Self::permit_removal`], for the end of what signs somebody in.
    pub(super) async fn permit_sign_out(&self, tenant: TenantId) -> Result<ChangePermit<'_>, DirectoryError> {
        let mut permit = self.permit_removal(tenant).await?;
        permit.counted = Counted::SignIn;
        Ok(permit)
    }

    /// As [`Directory::committed`], and counts the change. One that was refused or changed nothing does not count.
    pub(super) async fn done(
        &self,
        permit: &mut ChangePermit<'_>,
        change: ConfigChange,
    ) -> Result<bool, DirectoryError> {
        if matches!(change, ConfigChange::Done(_)) {
            self.count(permit.counted, permit.tenant);
        }
        self.committed(&mut permit.revision, change).await
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
        self.note_as((tenant.into(), Counted::Change, IfTooMany::Refuse), action, object, changes).await
    }

    /// As [`Self::note`], for what signs somebody in.
    ///
    /// # Errors
    /// See [`Self::note`].
    pub async fn note_sign_in(
        &self,
        tenant: impl Into<Option<TenantId>>,
        action: AuditAction,
        object: AuditObject,
        changes: Vec<MemberChange>,
    ) -> Result<(), DirectoryError> {
        self.note_as((tenant.into(), Counted::SignIn, IfTooMany::Refuse), action, object, changes).await
    }

    /// As [`Self::note`], for what removes something: it is never too many in a day.
    ///
    /// # Errors
    /// If too many changes of the tenant wait, or storage fails.
    pub async fn note_removal(
        &self,
        tenant: TenantId,
        action: AuditAction,
        object: AuditObject,
    ) -> Result<(), DirectoryError> {
        self.note_as((Some(tenant), Counted::Change, IfTooMany::Go), action, object, Vec::new()).await
    }

    async fn note_as(
        &self,
        (tenant, counted, if_too_many): (Option<TenantId>, Counted, IfTooMany),
        action: AuditAction,
        object: AuditObject,
        changes: Vec<MemberChange>,
    ) -> Result<(), DirectoryError> {
        let _permit = match tenant {
            Some(tenant) => {
                let permit = self.changes.acquire_unless_full(tenant, MAX_CHANGES).await;
                let permit = permit.ok_or(DirectoryError::TooManyChanges)?;
                if if_too_many == IfTooMany::Refuse {
                    self.check(counted, tenant)?;
                }
                Some(permit)
            }
            None => None,
        };
        let entry = self.entry(tenant, action, object, changes);
        self.storage.audit.append(&entry).await?;
        if let Some(tenant) = tenant {
            self.count(counted, tenant);
        }
        Ok(())
    }
}
