//! Authentication and authorization.
//!
//! A key is looked up in memory by its hash. The operator's key is compared in constant time; its requests
//! name a tenant in the header `Hookwright-Tenant`. A handler gets the tenant only from [`Caller::may`], so
//! it cannot skip the check.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

use super::problem::{Kind, Problem, shorten};
use crate::clients::{Callers, Client, TooManyBusy};
use crate::directory::{Directory, hash_key};
use crate::domain::{KeyId, Scope, Scopes, Tenant, TenantId};

/// The header in which the operator names a tenant, by id or name.
pub const TENANT_HEADER: &str = "Hookwright-Tenant";

/// SHA-256 of the operator's key.
#[derive(Clone, Copy)]
pub struct AdminKeyHash(pub [u8; 32]);

/// The authenticated sender of a request.
#[derive(Debug, Clone)]
pub struct Caller(Who);

#[derive(Debug, Clone)]
enum Who {
    Operator(Option<Arc<Tenant>>),
    /// A caller that acts for one tenant only.
    Tenant(TenantId, Scopes, Option<KeyId>),
}

impl Caller {
    /// The tenant for which the caller acts, if the caller has `scope`.
    ///
    /// # Errors
    /// Fails if the key lacks the scope, or if the operator does not name a tenant.
    pub fn may(&self, scope: Scope) -> Result<TenantId, Problem> {
        match &self.0 {
            Who::Tenant(tenant, scopes, _) if scopes.contains(scope) => Ok(*tenant),
            Who::Tenant(..) => {
                Err(Problem::new(Kind::Forbidden, format!("the key lacks the scope `{scope}`")))
            }
            Who::Operator(Some(tenant)) => Ok(tenant.id),
            Who::Operator(None) => Err(Problem::parameter(
                TENANT_HEADER,
                "this request needs a tenant; with the operator's key, send its id or name in the header Hookwright-Tenant",
            )),
        }
    }

    /// The caller's scopes.
    #[must_use]
    pub fn scopes(&self) -> Scopes {
        match &self.0 {
            Who::Operator(_) => Scopes::all(),
            Who::Tenant(_, scopes, _) => *scopes,
        }
    }

    /// The caller's key; `None` for the operator, and on surfaces without keys.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        match self.0 {
            Who::Operator(_) => None,
            Who::Tenant(.., key) => key,
        }
    }

    /// Requires the operator.
    ///
    /// # Errors
    /// Fails if the caller is not the operator.
    pub fn must_be_operator(&self) -> Result<(), Problem> {
        match self.0 {
            Who::Operator(_) => Ok(()),
            Who::Tenant(..) => Err(Problem::new(Kind::Forbidden, "this request needs the operator's key")),
        }
    }

    /// Whether the caller is the operator, with or without a tenant.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        matches!(self.0, Who::Operator(_))
    }

    /// Whether the caller may see `tenant`: the operator sees all tenants, a key sees its own.
    #[must_use]
    pub fn may_see(&self, tenant: TenantId) -> bool {
        match &self.0 {
            Who::Operator(_) => true,
            Who::Tenant(own, ..) => *own == tenant,
        }
    }

    /// A caller that acts for `tenant` with `scopes`, for surfaces that authenticate by other means.
    #[must_use]
    pub fn of_tenant(tenant: TenantId, scopes: Scopes) -> Self {
        Self(Who::Tenant(tenant, scopes, None))
    }

    /// The caller with this key; `None` if the key is unknown. The operator has no tenant yet.
    #[must_use]
    pub fn of_key(key: &str, directory: &Directory, admin: AdminKeyHash) -> Option<Self> {
        let hash = hash_key(key);
        if bool::from(hash.ct_eq(&admin.0)) {
            return Some(Self(Who::Operator(None)));
        }
        directory.key_with_hash(&hash).map(|key| Self(Who::Tenant(key.tenant, key.scopes, Some(key.id))))
    }

    /// The tenant for which the caller acts; `None` for the operator without a tenant.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        match &self.0 {
            Who::Operator(named) => named.as_ref().map(|tenant| tenant.id),
            Who::Tenant(tenant, ..) => Some(*tenant),
        }
    }

    /// Makes the operator act for `tenant`. Does not change other callers.
    #[must_use]
    pub fn acting_for(self, tenant: Arc<Tenant>) -> Self {
        match self.0 {
            Who::Operator(_) => Self(Who::Operator(Some(tenant))),
            Who::Tenant(..) => self,
        }
    }

    fn identify(headers: &HeaderMap, directory: &Directory, admin: AdminKeyHash) -> Result<Self, Problem> {
        directory.check_fresh()?;
        let key = bearer(headers).ok_or_else(unauthenticated)?;
        let named = one(headers, TENANT_HEADER)?;
        let caller = Self::of_key(key, directory, admin).ok_or_else(unauthenticated)?;
        let Some(text) = named else { return Ok(caller) };
        let tenant = directory.tenant_named(text);
        match caller.tenant() {
            None => tenant.map(|tenant| caller.acting_for(tenant)).ok_or_else(|| {
                Problem::parameter(TENANT_HEADER, format!("there is no tenant `{}`", shorten(text)))
            }),
            Some(own) if tenant.is_some_and(|tenant| tenant.id == own) => Ok(caller),
            Some(_) => {
                let detail =
                    "the key belongs to another tenant than Hookwright-Tenant names; omit the header";
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
            login => {
                let client = parts.extensions.get::<Arc<Client>>().map(Arc::as_ref);
                watched(login, &directory, client, &parts.headers)
            }
        }
    }
}

/// Reports the result of a login to its connection, which limits failed logins by address.
///
/// # Errors
/// Fails if `login` failed, if the caller's tenant is suspended, or if too many logins from this address failed.
pub(super) fn watched<E: From<Problem>>(
    login: Result<Caller, E>,
    directory: &Directory,
    client: Option<&Client>,
    headers: &HeaderMap,
) -> Result<Caller, E> {
    let is_closed = |caller: &Caller| {
        !caller.is_operator() && caller.tenant().is_some_and(|tenant| directory.is_closed(tenant))
    };
    if login.as_ref().is_ok_and(is_closed) {
        return Err(suspended().into());
    }
    let Some(client) = client else { return login };
    match login {
        Ok(caller) => {
            if caller.is_operator() && client.is_throttled(headers) {
                return Err(too_many_failures().into());
            }
            check_listener(&caller, client.callers())?;
            if let Some(tenant) = caller.tenant() {
                let counted = client.act_for(tenant);
                // The operator is exempt, so that it can act for a tenant that sends too many requests.
                if !caller.is_operator() {
                    counted.map_err(|TooManyBusy| too_many_requests())?;
                }
            }
            Ok(caller)
        }
        Err(_) if client.login_failed(headers) => Err(too_many_failures().into()),
        Err(refused) => Err(refused),
    }
}

fn suspended() -> Problem {
    let detail =
        "the operator has suspended the tenant: its requests are refused until the operator resumes it";
    Problem::new(Kind::TenantSuspended, detail)
}

/// Refuses a valid key on a listener that is not for it. Only its owner learns that it is valid.
fn check_listener(caller: &Caller, accepted: Callers) -> Result<(), Problem> {
    let detail = match (accepted, caller.is_operator()) {
        (Callers::Tenants, true) => {
            "operators' keys are not accepted here; send the request to the admin listener (settings `operator_api` and `admin_listen`)"
        }
        (Callers::Operators, false) => {
            "tenants' keys are not accepted on the admin listener; send the request to the API's own (setting `listen`)"
        }
        _ => return Ok(()),
    };
    Err(Problem::new(Kind::Forbidden, detail))
}

fn too_many_failures() -> Problem {
    let detail = "too many failed logins from this address; try again later with a valid key";
    Problem::new(Kind::TooManyRequests, detail)
}

fn too_many_requests() -> Problem {
    let detail = "too many requests of the tenant are in progress; wait for their responses, then try again";
    Problem::new(Kind::TooManyRequests, detail)
}

/// The same message for a missing and an unknown key.
fn unauthenticated() -> Problem {
    Problem::new(
        Kind::Unauthenticated,
        "the API key is missing or invalid; send `Authorization: Bearer hwk_…`",
    )
}

/// The token of `Authorization: Bearer <token>` (RFC 6750, section 2.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (all.next()?.to_str().ok()?, all.next()) else { return None };
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The value of a header that may occur once.
///
/// # Errors
/// Fails if the header is duplicated or not UTF-8.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Problem> {
    let mut all = headers.get_all(name).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::parameter(name, format!("duplicate header `{name}`")));
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
