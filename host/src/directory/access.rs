//! Logins and tokens of older systems' clients.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Directory, DirectoryError, read, write};
use crate::domain::{DomainToken, Login, SecretText, TenantId, UnixMillis};

/// Logins and tokens in memory.
#[derive(Debug, Default)]
pub struct AccessIndex {
    /// By name; several tenants may have a login of the same.
    logins: HashMap<String, Vec<Arc<Login>>>,
    tokens: HashMap<String, Arc<DomainToken>>,
}

impl AccessIndex {
    /// The greatest number of tokens of one tenant, ended ones too until they are deleted.
    pub const MAX_TOKENS_PER_TENANT: usize = 10_000;
    /// The greatest number of logins of one tenant.
    pub const MAX_LOGINS_PER_TENANT: usize = 1_000;

    /// An index of these.
    #[must_use]
    pub fn new(logins: Vec<Login>, tokens: Vec<DomainToken>) -> Self {
        let mut index = Self::default();
        logins.into_iter().for_each(|login| index.add_login(Arc::new(login)));
        index.tokens = tokens.into_iter().map(|token| (token.id.clone(), Arc::new(token))).collect();
        index
    }

    fn add_login(&mut self, login: Arc<Login>) {
        self.logins.entry(login.name.clone()).or_default().push(login);
    }
}

impl Directory {
    /// The logins with this name, of all tenants: by whose secret a password was made tells which it is.
    pub fn logins_named(&self, name: &str) -> Vec<Arc<Login>> {
        read(&self.access).logins.get(name).cloned().unwrap_or_default()
    }

    /// A tenant's logins, by name.
    pub fn logins(&self, tenant: TenantId) -> Vec<Arc<Login>> {
        let index = read(&self.access);
        let mut all: Vec<_> =
            index.logins.values().flatten().filter(|it| it.tenant == tenant).cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Creates a login.
    ///
    /// # Errors
    /// Where the tenant has the name already, it has 1,000 already, or storage fails.
    pub async fn create_login(
        &self,
        tenant: TenantId,
        name: String,
        secret: SecretText,
    ) -> Result<Arc<Login>, DirectoryError> {
        let _turn = self.mutation.lock().await;
        let max = AccessIndex::MAX_LOGINS_PER_TENANT;
        if self.logins(tenant).len() >= max {
            return Err(DirectoryError::TooMany(format!("a tenant has at most {max} logins")));
        }
        let login = Arc::new(Login { name, tenant, secret, created_at: self.clock.now() });
        self.storage.access.insert_login(&login).await?;
        write(&self.access).add_login(Arc::clone(&login));
        Ok(login)
    }

    /// Deletes a login; false if there was none. It is refused from then on.
    ///
    /// # Errors
    /// Where storage fails.
    pub async fn delete_login(&self, tenant: TenantId, name: &str) -> Result<bool, DirectoryError> {
        let _turn = self.mutation.lock().await;
        let was_there = self.storage.access.delete_login(tenant, name).await?;
        let mut index = write(&self.access);
        if let Some(logins) = index.logins.get_mut(name) {
            logins.retain(|login| login.tenant != tenant);
            if logins.is_empty() {
                index.logins.remove(name);
            }
        }
        Ok(was_there)
    }

    /// The token with this id, of any tenant: a signed token says itself whose it is.
    pub fn domain_token(&self, id: &str) -> Option<Arc<DomainToken>> {
        read(&self.access).tokens.get(id).cloned()
    }

    /// A tenant's tokens, oldest first.
    pub fn domain_tokens(&self, tenant: TenantId) -> Vec<Arc<DomainToken>> {
        let index = read(&self.access);
        let mut all: Vec<_> = index.tokens.values().filter(|it| it.tenant == tenant).cloned().collect();
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        all
    }

    /// Creates a token that is taken until `expires_at`.
    ///
    /// # Errors
    /// Where the id is taken, the tenant has 10,000 already, or storage fails.
    pub async fn create_domain_token(
        &self,
        tenant: TenantId,
        id: String,
        role: String,
        expires_at: UnixMillis,
    ) -> Result<Arc<DomainToken>, DirectoryError> {
        let _turn = self.mutation.lock().await;
        let max = AccessIndex::MAX_TOKENS_PER_TENANT;
        let others = self.domain_tokens(tenant);
        if others.len() >= max {
            return Err(DirectoryError::TooMany(format!("a domain has at most {max} tokens; delete some")));
        }
        // Ids are random: this alone says which of two is the older, also where both are of the same millisecond.
        let after = |newest: &Arc<DomainToken>| newest.created_at.plus(Duration::from_millis(1));
        let now = self.clock.now();
        let created_at = others.last().map_or(now, |newest| now.max(after(newest)));
        let token = Arc::new(DomainToken { id, tenant, role, enabled: true, expires_at, created_at });
        self.storage.access.insert_token(&token).await?;
        write(&self.access).tokens.insert(token.id.clone(), Arc::clone(&token));
        Ok(token)
    }

    /// Says whether a token is taken from now on; none if there is no such token.
    ///
    /// # Errors
    /// Where storage fails.
    pub async fn enable_domain_token(
        &self,
        tenant: TenantId,
        id: &str,
        enabled: bool,
    ) -> Result<Option<Arc<DomainToken>>, DirectoryError> {
        let _turn = self.mutation.lock().await;
        let Some(current) = self.domain_token(id).filter(|token| token.tenant == tenant) else {
            return Ok(None);
        };
        if !self.storage.access.enable_token(tenant, id, enabled).await? {
            return Ok(None);
        }
        let token = Arc::new(DomainToken { enabled, ..(*current).clone() });
        write(&self.access).tokens.insert(token.id.clone(), Arc::clone(&token));
        Ok(Some(token))
    }

    /// Deletes a token; false if there was none. It is refused from then on.
    ///
    /// # Errors
    /// Where storage fails.
    pub async fn delete_domain_token(&self, tenant: TenantId, id: &str) -> Result<bool, DirectoryError> {
        let _turn = self.mutation.lock().await;
        let was_there = self.storage.access.delete_token(tenant, id).await?;
        write(&self.access).tokens.retain(|_, token| (token.tenant, token.id.as_str()) != (tenant, id));
        Ok(was_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::domain::ids::IdGenerator;
    use crate::storage::sqlite::{self, SqliteOptions};

    const NOW: UnixMillis = UnixMillis(1_000);

    /// As where all is over within a millisecond.
    #[derive(Debug)]
    struct Standing;

    impl Clock for Standing {
        fn now(&self) -> UnixMillis {
            NOW
        }
    }

    #[tokio::test]
    async fn tokens_of_one_millisecond_have_the_order_in_which_they_were_made() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let load = || Directory::load(storage.stores(), Arc::new(IdGenerator::new(0, 0)), Arc::new(Standing));
        let directory = load().await.unwrap();
        let ids = ["b", "c", "a"];
        for id in ids {
            let made = directory.create_domain_token(TenantId(1), id.to_owned(), String::new(), NOW);
            made.await.unwrap();
        }
        for directory in [directory, load().await.unwrap()] {
            let all = directory.domain_tokens(TenantId(1));
            assert_eq!(all.iter().map(|token| token.id.as_str()).collect::<Vec<_>>(), ids);
        }
    }
}
