//! Who sends a request, and what they may do.
//!
//! A key is looked up by its hash, in memory. The operator's key is compared in constant time, and
//! names the tenant it acts for with `Hookwright-Tenant`. A handler learns the tenant only from
//! [`Caller::may`], so that none can forget to ask.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

use super::problem::{Kind, Problem, shorten};
use crate::clients::Client;
use crate::directory::{Directory, hash_key};
use crate::domain::{Scope, Scopes, Tenant, TenantId};

/// The header by which the operator names a tenant.
pub const TENANT_HEADER: &str = "Hookwright-Tenant";

/// SHA-256 of the operator's key.
#[derive(Clone, Copy)]
pub struct AdminKeyHash(pub [u8; 32]);

/// Who sends a request.
#[derive(Debug, Clone)]
pub struct Caller(Who);

#[derive(Debug, Clone)]
enum Who {
    Operator(Option<Arc<Tenant>>),
    /// Who acts for one tenant alone.
    Tenant(TenantId, Scopes),
}

impl Caller {
    /// The tenant for which the caller acts, if it may do what `scope` covers.
    ///
    /// # Errors
    /// Where a key lacks the scope, or the operator names no tenant.
    pub fn may(&self, scope: Scope) -> Result<TenantId, Problem> {
        match &self.0 {
            Who::Tenant(tenant, scopes) if scopes.contains(scope) => Ok(*tenant),
            Who::Tenant(..) => {
                Err(Problem::new(Kind::Forbidden, format!("the key lacks the scope `{scope}`")))
            }
            Who::Operator(Some(tenant)) => Ok(tenant.id),
            Who::Operator(None) => Err(Problem::parameter(
                TENANT_HEADER,
                "the operator's key acts for a tenant here: name it by the header Hookwright-Tenant, by id or name",
            )),
        }
    }

    /// What the caller may do for the tenant.
    #[must_use]
    pub fn scopes(&self) -> Scopes {
        match &self.0 {
            Who::Operator(_) => Scopes::all(),
            Who::Tenant(_, scopes) => *scopes,
        }
    }

    /// # Errors
    /// Where the caller isn't the operator.
    pub fn must_be_operator(&self) -> Result<(), Problem> {
        match self.0 {
            Who::Operator(_) => Ok(()),
            Who::Tenant(..) => Err(Problem::new(Kind::Forbidden, "only the operator's key may do that")),
        }
    }

    /// Whether the operator calls, whoever it acts for.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        matches!(self.0, Who::Operator(_))
    }

    /// Whether the caller may know of `tenant`: the operator of any, a key of its own.
    #[must_use]
    pub fn may_see(&self, tenant: TenantId) -> bool {
        match &self.0 {
            Who::Operator(_) => true,
            Who::Tenant(own, _) => *own == tenant,
        }
    }

    /// Who acts for `tenant` alone, and may do what `scopes` say: for surfaces that know callers by other means.
    #[must_use]
    pub fn of_tenant(tenant: TenantId, scopes: Scopes) -> Self {
        Self(Who::Tenant(tenant, scopes))
    }

    /// Who shows `key`; none if nobody has it. The operator names no tenant yet.
    #[must_use]
    pub fn of_key(key: &str, directory: &Directory, admin: AdminKeyHash) -> Option<Self> {
        let hash = hash_key(key);
        if bool::from(hash.ct_eq(&admin.0)) {
            return Some(Self(Who::Operator(None)));
        }
        directory.key_with_hash(&hash).map(|key| Self::of_tenant(key.tenant, key.scopes))
    }

    /// The tenant for which the caller acts, unless it is the operator, who names none.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        match &self.0 {
            Who::Operator(named) => named.as_ref().map(|tenant| tenant.id),
            Who::Tenant(tenant, _) => Some(*tenant),
        }
    }

    /// The same caller; the operator acts for `tenant` from here on.
    #[must_use]
    pub fn naming(self, tenant: Arc<Tenant>) -> Self {
        match self.0 {
            Who::Operator(_) => Self(Who::Operator(Some(tenant))),
            Who::Tenant(..) => self,
        }
    }

    fn identify(headers: &HeaderMap, directory: &Directory, admin: AdminKeyHash) -> Result<Self, Problem> {
        let key = bearer(headers).ok_or_else(unauthenticated)?;
        let named = one(headers, TENANT_HEADER)?;
        let caller = Self::of_key(key, directory, admin).ok_or_else(unauthenticated)?;
        let Some(text) = named else { return Ok(caller) };
        let tenant = directory.tenant_named(text);
        match caller.tenant() {
            None => tenant.map(|tenant| caller.naming(tenant)).ok_or_else(|| {
                Problem::parameter(TENANT_HEADER, format!("there is no tenant `{}`", shorten(text)))
            }),
            Some(own) if tenant.is_some_and(|tenant| tenant.id == own) => Ok(caller),
            Some(_) => {
                let detail =
                    "the key belongs to another tenant than Hookwright-Tenant names; leave the header out";
                Err(Problem::new(Kind::Forbidden, detail).of_parameter(TENANT_HEADER))
            }
        }
    }
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<Directory>: FromRef<S>,
    AdminKeyHash: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let directory = Arc::<Directory>::from_ref(state);
        let caller = Self::identify(&parts.headers, &directory, AdminKeyHash::from_ref(state));
        match caller {
            Err(problem) if problem.kind() != Kind::Unauthenticated => Err(problem),
            login => watched(login, parts.extensions.get::<Arc<Client>>().map(Arc::as_ref), &parts.headers),
        }
    }
}

/// What became of a login, once its connection knows: for whom it acts, or that it failed.
///
/// # Errors
/// As `login`; and if too many from this address failed.
pub(super) fn watched<E: From<Problem>>(
    login: Result<Caller, E>,
    client: Option<&Client>,
    headers: &HeaderMap,
) -> Result<Caller, E> {
    let Some(client) = client else { return login };
    match login {
        Ok(caller) => {
            if caller.is_operator() && client.is_throttled(headers) {
                return Err(too_many_failures().into());
            }
            if let Some(tenant) = caller.tenant() {
                client.acts_for(tenant);
            }
            Ok(caller)
        }
        Err(_) if client.login_failed(headers) => Err(too_many_failures().into()),
        Err(refused) => Err(refused),
    }
}

fn too_many_failures() -> Problem {
    let detail = "too many logins from this address failed; try again in a moment, with a known key";
    Problem::new(Kind::TooManyRequests, detail)
}

/// The same words for a key that is missing and one that is unknown.
fn unauthenticated() -> Problem {
    Problem::new(Kind::Unauthenticated, "send a known API key: `Authorization: Bearer hwk_…`")
}

/// The token of `Authorization: Bearer <token>` (RFC 6750, section 2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (all.next()?.to_str().ok()?, all.next()) else { return None };
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The value of a header that may stand once.
///
/// # Errors
/// Where it stands more often, or isn't visible ASCII.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Problem> {
    let mut all = headers.get_all(name).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::parameter(name, format!("`{name}` stands twice")));
    }
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Problem::parameter(name, format!("the value of `{name}` is not UTF-8"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_a_key() {
        for (values, token) in [
            (&["Bearer hwk_1"] as &[_], Some("hwk_1")),
            (&["bearer  hwk_1 "], Some("hwk_1")),
            (&[], None),
            (&["hwk_1"], None),
            (&["Bearer"], None),
            (&["Bearer "], None),
            (&["Basic aHdrXzE="], None),
            (&["Bearer a", "Bearer b"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(bearer(&headers), token, "{values:?}");
        }
    }
}
