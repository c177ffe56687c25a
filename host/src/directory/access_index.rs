//! Logins and tokens in memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::BitOr;
use std::sync::Arc;

use subtle::{Choice, ConstantTimeEq as _};

use crate::domain::{DomainToken, Login, SecretText, TenantId, UnixMillis};

/// Logins and tokens in memory.
#[derive(Debug, Default)]
pub struct AccessIndex {
    /// By name; several tenants may have a login of the same name.
    pub(super) logins: HashMap<String, Vec<Arc<Login>>>,
    pub(super) logins_of: HashMap<TenantId, BTreeMap<String, Arc<Login>>>,
    pub(super) tokens: HashMap<String, Arc<DomainToken>>,
    /// Oldest first.
    pub(super) tokens_of: HashMap<TenantId, BTreeMap<TokenPlace, Arc<DomainToken>>>,
}

/// The order of a tenant's tokens.
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

    /// Whether a login with the same name and secret exists: a password could not tell them apart.
    pub(super) fn has_twin(&self, name: &str, secret: &SecretText) -> bool {
        let same = |login: &Arc<Login>| login.secret.reveal().as_bytes().ct_eq(secret.reveal().as_bytes());
        let logins = self.logins.get(name).into_iter().flatten();
        logins.map(same).fold(Choice::from(0), BitOr::bitor).into()
    }

    /// If two logins cannot be told apart, only the older one is found by its name.
    pub(super) fn add_login(&mut self, login: Arc<Login>) {
        if self.has_twin(&login.name, &login.secret) {
            tracing::warn!(tenant = %login.tenant, login = login.name, "an older login of another tenant has the same name and secret: this one is refused until it is made again with another secret");
        } else if !login.is_unreadable() {
            self.logins.entry(login.name.clone()).or_default().push(Arc::clone(&login));
        }
        self.logins_of.entry(login.tenant).or_default().insert(login.name.clone(), login);
    }

    pub(super) fn remove_login(&mut self, tenant: TenantId, name: &str) {
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

    /// Adds a token, or replaces the one with the same id and time.
    pub(super) fn put_token(&mut self, token: Arc<DomainToken>) {
        self.tokens.insert(token.id.clone(), Arc::clone(&token));
        self.tokens_of.entry(token.tenant).or_default().insert(place_of(&token), token);
    }

    /// Removes the logins and tokens of a tenant.
    pub(super) fn remove_tenant(&mut self, tenant: TenantId) {
        let logins = self.logins_of.get(&tenant).map(|logins| logins.keys().cloned().collect::<Vec<_>>());
        logins.into_iter().flatten().for_each(|name| self.remove_login(tenant, &name));
        self.logins_of.remove(&tenant);
        for token in self.tokens_of.remove(&tenant).into_iter().flat_map(BTreeMap::into_values) {
            self.tokens.remove(&token.id);
        }
    }

    pub(super) fn remove_token(&mut self, tenant: TenantId, id: &str) {
        let Some(token) = self.tokens.get(id).filter(|token| token.tenant == tenant).cloned() else { return };
        self.tokens.remove(id);
        if let Some(tokens) = self.tokens_of.get_mut(&tenant) {
            tokens.remove(&place_of(&token));
        }
    }
}
