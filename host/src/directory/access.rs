//! Logins and tokens of older systems' clients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::cache::Directory;
use super::editor::ConfigEditor;
use super::error::DirectoryError;
use super::locks::{read, write};
use super::quotas::{Quotas, check_count};
use crate::domain::audit::{login_changes, token_changes};
use crate::domain::{AuditAction, AuditObject, DomainToken, Login, SecretText, TenantId, UnixMillis};

impl Directory {
    /// The logins with this name, of all tenants, whose secrets are known and differ: the secret behind a password tells
    /// which login it is.
    pub fn logins_named(&self, name: &str) -> Vec<Arc<Login>> {
        read(&self.access).logins.get(name).cloned().unwrap_or_default()
    }

    /// A tenant's logins, by name.
    pub fn logins(&self, tenant: TenantId) -> Vec<Arc<Login>> {
        let index = read(&self.access);
        index.logins_of.get(&tenant).map_or_else(Vec::new, |all| all.values().cloned().collect())
    }

    /// The token with this id, of any tenant: a signed token names its tenant itself.
    pub fn domain_token(&self, id: &str) -> Option<Arc<DomainToken>> {
        read(&self.access).tokens.get(id).cloned()
    }

    /// A tenant's tokens, oldest first.
    pub fn domain_tokens(&self, tenant: TenantId) -> Vec<Arc<DomainToken>> {
        let index = read(&self.access);
        index.tokens_of.get(&tenant).map_or_else(Vec::new, |all| all.values().cloned().collect())
    }
}

impl ConfigEditor<'_> {
    /// Creates a login.
    ///
    /// # Errors
    /// If the tenant has the name already, or 1,000 logins; if another tenant's login has the same name and secret; if
    /// storage fails.
    pub async fn create_login(
        &self,
        tenant: TenantId,
        name: String,
        secret: SecretText,
    ) -> Result<Arc<Login>, DirectoryError> {
        let mut permit = self.permit_change(tenant).await?;
        let used = read(&self.access).logins_of.get(&tenant).map_or(0, BTreeMap::len);
        check_count("logins", used as u64, Quotas::MAX_LOGINS, "delete logins that nobody uses")?;
        let is_own = read(&self.access).logins_of.get(&tenant).is_some_and(|own| own.contains_key(&name));
        if !is_own && read(&self.access).has_twin(&name, &secret) {
            let what = "this name with this secret cannot be taken: choose another secret, or leave it out to have one made";
            return Err(DirectoryError::Taken(what.to_owned()));
        }
        let login = Arc::new(Login { name, tenant, secret, created_at: self.clock.now() });
        let entry = self.entry(
            Some(tenant),
            AuditAction::LoginCreated,
            AuditObject::new("login", &login.name),
            login_changes(None, Some(&*login)),
        );
        let change = self.storage.access.insert_login(&login, *permit.revision, &entry).await?;
        self.done(&mut permit, change).await?;
        write(&self.access).add_login(Arc::clone(&login));
        Ok(login)
    }

    /// Deletes a login; false if there was none. It is refused from then on.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn delete_login(&self, tenant: TenantId, name: &str) -> Result<bool, DirectoryError> {
        let mut permit = self.permit_removal(tenant).await?;
        let object = AuditObject::new("login", name);
        let entry = self.entry(Some(tenant), AuditAction::LoginDeleted, object, Vec::new());
        let change = self.storage.access.delete_login(tenant, name, &entry).await?;
        let existed = self.done(&mut permit, change).await?;
        write(&self.access).remove_login(tenant, name);
        Ok(existed)
    }

    /// Creates a token that is valid until `expires_at`.
    ///
    /// # Errors
    /// If the id is taken, the tenant has 10,000 already, or storage fails.
    pub async fn create_domain_token(
        &self,
        tenant: TenantId,
        id: String,
        role: String,
        expires_at: UnixMillis,
    ) -> Result<Arc<DomainToken>, DirectoryError> {
        let mut permit = self.permit_sign_in(tenant).await?;
        let (used, newest) = {
            let index = read(&self.access);
            let of_tenant = index.tokens_of.get(&tenant);
            let newest = of_tenant.and_then(|all| all.last_key_value()).map(|((time, _), _)| *time);
            (of_tenant.map_or(0, BTreeMap::len), newest)
        };
        check_count("tokens", used as u64, Quotas::MAX_TOKENS, "delete those that have expired")?;
        // Ids are random: only this time orders tokens, even of the same millisecond.
        let now = self.clock.now();
        let created_at = newest.map_or(now, |newest| now.max(newest.plus(Duration::from_millis(1))));
        let token = Arc::new(DomainToken { id, tenant, role, enabled: true, expires_at, created_at });
        let entry = self.entry(
            Some(tenant),
            AuditAction::TokenCreated,
            AuditObject::new("domain_token", &token.id),
            token_changes(None, Some(&*token)),
        );
        let change = self.storage.access.insert_token(&token, *permit.revision, &entry).await?;
        self.done(&mut permit, change).await?;
        write(&self.access).put_token(Arc::clone(&token));
        Ok(token)
    }

    /// Enables or disables a token; none if there is no such token. If it is so already, nothing is stored.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn enable_domain_token(
        &self,
        tenant: TenantId,
        id: &str,
        enabled: bool,
    ) -> Result<Option<Arc<DomainToken>>, DirectoryError> {
        let mut permit = self.permit_sign_out(tenant).await?;
        let read = || self.domain_token(id).filter(|token| token.tenant == tenant);
        let Some(current) = read() else { return Ok(None) };
        if current.enabled == enabled {
            return self.unchanged(&mut permit.revision, current, read).await.map(Some);
        }
        if enabled {
            self.check_sign_ins(tenant)?;
        }
        let token = Arc::new(DomainToken { enabled, ..(*current).clone() });
        let changes = token_changes(Some(&*current), Some(&*token));
        let object = AuditObject::new("domain_token", id);
        let entry = self.entry(Some(tenant), AuditAction::TokenUpdated, object, changes);
        let change = self.storage.access.enable_token(tenant, id, enabled, &entry).await?;
        if !self.done(&mut permit, change).await? {
            return Ok(None);
        }
        write(&self.access).put_token(Arc::clone(&token));
        Ok(Some(token))
    }

    /// Deletes a token; false if there was none. It is refused from then on.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn delete_domain_token(&self, tenant: TenantId, id: &str) -> Result<bool, DirectoryError> {
        let mut permit = self.permit_sign_out(tenant).await?;
        let object = AuditObject::new("domain_token", id);
        let entry = self.entry(Some(tenant), AuditAction::TokenDeleted, object, Vec::new());
        let change = self.storage.access.delete_token(tenant, id, &entry).await?;
        let existed = self.done(&mut permit, change).await?;
        write(&self.access).remove_token(tenant, id);
        Ok(existed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::domain::ids::IdGenerator;
    use crate::domain::{Actor, AuditEntry};
    use crate::storage::Revision;
    use crate::storage::sqlite::{self, SqliteOptions};

    const NOW: UnixMillis = UnixMillis(1_000);

    /// A clock that stands still.
    #[derive(Debug)]
    struct Standing;

    impl Clock for Standing {
        fn now(&self) -> UnixMillis {
            NOW
        }
    }

    #[tokio::test]
    async fn the_older_of_two_indistinguishable_logins_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let login = |tenant: i64, secret: &str, created_at: i64| Login {
            name: "user".to_owned(),
            tenant: TenantId(tenant),
            secret: SecretText::new(secret),
            created_at: UnixMillis(created_at),
        };
        // As stored by an engine that did not refuse the second.
        for login in [login(1, "same", 5), login(2, "same", 3), login(3, "other", 4)] {
            storage
                .stores()
                .access
                .insert_login(&login, Revision::ANY, &AuditEntry::of_test())
                .await
                .unwrap();
        }
        let ids = Arc::new(IdGenerator::new(0, 0));
        let directory = Directory::load(storage.stores(), ids, Arc::new(Standing)).await.unwrap();
        let found = |directory: &Directory| {
            directory.logins_named("user").iter().map(|login| login.tenant.0).collect::<Vec<_>>()
        };
        assert_eq!(found(&directory), [2, 3]);
        assert_eq!(directory.logins(TenantId(1)).len(), 1, "it is shown");
        let create = async |secret: &str| {
            directory
                .by(&Actor::ENGINE)
                .create_login(TenantId(4), "user".to_owned(), SecretText::new(secret))
                .await
        };
        assert!(matches!(create("other").await, Err(DirectoryError::Taken(_))));
        create("a third").await.unwrap();
        assert_eq!(found(&directory), [2, 3, 4]);
    }

    #[tokio::test]
    async fn tokens_of_one_millisecond_keep_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let load = || Directory::load(storage.stores(), Arc::new(IdGenerator::new(0, 0)), Arc::new(Standing));
        let directory = load().await.unwrap();
        let ids = ["b", "c", "a"];
        for id in ids {
            let editor = directory.by(&Actor::ENGINE);
            editor.create_domain_token(TenantId(1), id.to_owned(), String::new(), NOW).await.unwrap();
        }
        for directory in [directory, load().await.unwrap()] {
            let all = directory.domain_tokens(TenantId(1));
            assert_eq!(all.iter().map(|token| token.id.as_str()).collect::<Vec<_>>(), ids);
        }
    }
}
