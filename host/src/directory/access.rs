//! Logins and tokens of older systems' clients.

use std::collections::{BTreeMap, HashMap};
use std::ops::BitOr;
use std::sync::Arc;
use std::time::Duration;

use subtle::{Choice, ConstantTimeEq as _};

use super::quotas::{Quotas, check_count};
use super::{Directory, DirectoryError, read, write};
use crate::domain::{DomainToken, Login, SecretText, TenantId, UnixMillis};

/// Logins and tokens in memory.
#[derive(Debug, Default)]
pub struct AccessIndex {
    /// By name; several tenants may have a login of the same.
    logins: HashMap<String, Vec<Arc<Login>>>,
    logins_of: HashMap<TenantId, BTreeMap<String, Arc<Login>>>,
    tokens: HashMap<String, Arc<DomainToken>>,
    /// Oldest first.
    tokens_of: HashMap<TenantId, BTreeMap<TokenPlace, Arc<DomainToken>>>,
}

/// Where a token stands among those of its tenant.
type TokenPlace = (UnixMillis, String);

fn place_of(token: &DomainToken) -> TokenPlace {
    (token.created_at, token.id.clone())
}

impl AccessIndex {
    /// An index of these.
    #[must_use]
    pub fn new(logins: Vec<Login>, tokens: Vec<DomainToken>) -> Self {
        let mut index = Self::default();
        let mut logins = logins;
        logins.sort_by_key(|login| login.created_at);
        logins.into_iter().for_each(|login| index.add_login(Arc::new(login)));
        tokens.into_iter().for_each(|token| index.put_token(Arc::new(token)));
        index
    }

    /// Whether a login with the same name and secret is there: nobody could tell which of them a password is for.
    fn has_twin(&self, name: &str, secret: &SecretText) -> bool {
        let same = |login: &Arc<Login>| login.secret.reveal().as_bytes().ct_eq(secret.reveal().as_bytes());
        let logins = self.logins.get(name).into_iter().flatten();
        logins.map(same).fold(Choice::from(0), BitOr::bitor).into()
    }

    /// Of two that cannot be told apart, the older one is found by its name.
    fn add_login(&mut self, login: Arc<Login>) {
        if self.has_twin(&login.name, &login.secret) {
            tracing::warn!(tenant = %login.tenant, login = login.name, "an older login of another tenant has the same name and secret: this one is refused until it is made again with another secret");
        } else if !login.is_unreadable() {
            self.logins.entry(login.name.clone()).or_default().push(Arc::clone(&login));
        }
        self.logins_of.entry(login.tenant).or_default().insert(login.name.clone(), login);
    }

    fn remove_login(&mut self, tenant: TenantId, name: &str) {
        if let Some(logins) = self.logins.get_mut(name) {
            logins.retain(|login| login.tenant != tenant);
            if logins.is_empty() {
                self.logins.remove(name);
            }
        }
        if let Some(logins) = self.logins_of.get_mut(&tenant) {
            logins.remove(name);
        }
    }

    /// Adds a token, or puts it in the place of the one with its id; that one's time is the same.
    fn put_token(&mut self, token: Arc<DomainToken>) {
        self.tokens.insert(token.id.clone(), Arc::clone(&token));
        self.tokens_of.entry(token.tenant).or_default().insert(place_of(&token), token);
    }

    fn remove_token(&mut self, tenant: TenantId, id: &str) {
        let Some(token) = self.tokens.get(id).filter(|token| token.tenant == tenant).cloned() else { return };
        self.tokens.remove(id);
        if let Some(tokens) = self.tokens_of.get_mut(&tenant) {
            tokens.remove(&place_of(&token));
        }
    }
}

impl Directory {
    /// The logins with this name, of all tenants, whose secrets are known and differ: by whose secret a password was made
    /// tells which it is.
    pub fn logins_named(&self, name: &str) -> Vec<Arc<Login>> {
        read(&self.access).logins.get(name).cloned().unwrap_or_default()
    }

    /// A tenant's logins, by name.
    pub fn logins(&self, tenant: TenantId) -> Vec<Arc<Login>> {
        let index = read(&self.access);
        index.logins_of.get(&tenant).map_or_else(Vec::new, |all| all.values().cloned().collect())
    }

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
        let _turn = self.change_of(tenant).await?;
        let used = read(&self.access).logins_of.get(&tenant).map_or(0, BTreeMap::len);
        check_count("logins", used, Quotas::MAX_LOGINS, "delete logins that nobody uses")?;
        let is_own = read(&self.access).logins_of.get(&tenant).is_some_and(|own| own.contains_key(&name));
        if !is_own && read(&self.access).has_twin(&name, &secret) {
            let what = "this name with this secret cannot be taken: choose another secret, or leave it out to have one made";
            return Err(DirectoryError::Taken(what.to_owned()));
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
        let _turn = self.change_of(tenant).await?;
        let was_there = self.storage.access.delete_login(tenant, name).await?;
        write(&self.access).remove_login(tenant, name);
        Ok(was_there)
    }

    /// The token with this id, of any tenant: a signed token says itself whose it is.
    pub fn domain_token(&self, id: &str) -> Option<Arc<DomainToken>> {
        read(&self.access).tokens.get(id).cloned()
    }

    /// A tenant's tokens, oldest first.
    pub fn domain_tokens(&self, tenant: TenantId) -> Vec<Arc<DomainToken>> {
        let index = read(&self.access);
        index.tokens_of.get(&tenant).map_or_else(Vec::new, |all| all.values().cloned().collect())
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
        let _turn = self.change_of(tenant).await?;
        let (used, newest) = {
            let index = read(&self.access);
            let of_tenant = index.tokens_of.get(&tenant);
            let newest = of_tenant.and_then(|all| all.last_key_value()).map(|((time, _), _)| *time);
            (of_tenant.map_or(0, BTreeMap::len), newest)
        };
        check_count("tokens", used, Quotas::MAX_TOKENS, "delete those that have expired")?;
        // Ids are random: this alone says which of two is the older, also where both are of the same millisecond.
        let now = self.clock.now();
        let created_at = newest.map_or(now, |newest| now.max(newest.plus(Duration::from_millis(1))));
        let token = Arc::new(DomainToken { id, tenant, role, enabled: true, expires_at, created_at });
        self.storage.access.insert_token(&token).await?;
        write(&self.access).put_token(Arc::clone(&token));
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
        let _turn = self.change_of(tenant).await?;
        let Some(current) = self.domain_token(id).filter(|token| token.tenant == tenant) else {
            return Ok(None);
        };
        if !self.storage.access.enable_token(tenant, id, enabled).await? {
            return Ok(None);
        }
        let token = Arc::new(DomainToken { enabled, ..(*current).clone() });
        write(&self.access).put_token(Arc::clone(&token));
        Ok(Some(token))
    }

    /// Deletes a token; false if there was none. It is refused from then on.
    ///
    /// # Errors
    /// Where storage fails.
    pub async fn delete_domain_token(&self, tenant: TenantId, id: &str) -> Result<bool, DirectoryError> {
        let _turn = self.change_of(tenant).await?;
        let was_there = self.storage.access.delete_token(tenant, id).await?;
        write(&self.access).remove_token(tenant, id);
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
    async fn of_two_logins_that_cannot_be_told_apart_the_older_one_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let login = |tenant: i64, secret: &str, created_at: i64| Login {
            name: "user".to_owned(),
            tenant: TenantId(tenant),
            secret: SecretText::new(secret),
            created_at: UnixMillis(created_at),
        };
        // As an engine stored them that did not refuse the second.
        for login in [login(1, "same", 5), login(2, "same", 3), login(3, "other", 4)] {
            storage.stores().access.insert_login(&login).await.unwrap();
        }
        let ids = Arc::new(IdGenerator::new(0, 0));
        let directory = Directory::load(storage.stores(), ids, Arc::new(Standing)).await.unwrap();
        let found = |directory: &Directory| {
            directory.logins_named("user").iter().map(|login| login.tenant.0).collect::<Vec<_>>()
        };
        assert_eq!(found(&directory), [2, 3]);
        assert_eq!(directory.logins(TenantId(1)).len(), 1, "it is shown");
        let create = async |secret: &str| {
            directory.create_login(TenantId(4), "user".to_owned(), SecretText::new(secret)).await
        };
        assert!(matches!(create("other").await, Err(DirectoryError::Taken(_))));
        create("a third").await.unwrap();
        assert_eq!(found(&directory), [2, 3, 4]);
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
