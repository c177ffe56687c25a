//! Authentication and authorization.
//!
//! A key is looked up in memory by its hash: the time that takes says nothing about other keys. The operator's key of the settings
//! is compared in constant time. Requests of operators name a tenant in the header `Hookwright-Tenant`. A handler gets the tenant only from [`Caller::may`], so
//! it cannot skip the check.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

use super::problem::{Kind, Problem, shorten};
use super::request_source::RequestSource;
use super::time::Time;
use crate::clients::{Callers, Client, TooManyBusy};
use crate::directory::{Directory, KeyRefusal, KnownKey, hash_key};
use crate::domain::{
    Actor, ActorKind, ApiKey, DomainToken, KeyId, Login, OperatorKey, OperatorRole, Scope, Scopes, Surface,
    Tenant, TenantId,
};

/// The header in which the operator names a tenant, by id or name.
pub const TENANT_HEADER: &str = "Hookwright-Tenant";

/// The operator's key of the settings, or the generated one.
#[derive(Debug, Clone, Copy)]
pub struct AdminKeyHash {
    /// Its SHA-256.
    pub hash: [u8; 32],
    /// Whether the settings have it: a generated one may be lost.
    pub is_set: bool,
}

/// The authenticated sender of a request.
#[derive(Debug, Clone)]
pub struct Caller(Who);

#[derive(Debug, Clone)]
enum Who {
    /// With a named key, or with the one of the settings; acts for a tenant if it names one.
    Operator(Option<Arc<OperatorKey>>, Option<Arc<Tenant>>),
    /// A caller that acts for one tenant only.
    Tenant(TenantId, Scopes, Credential),
}

/// What a caller that acts for one tenant has shown.
#[derive(Debug, Clone)]
enum Credential {
    Key(Arc<ApiKey>),
    Login(Arc<Login>),
    Token(Arc<DomainToken>),
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
            Who::Operator(..) if !self.scopes().contains(scope) => Err(Problem::new(
                Kind::Forbidden,
                "the operator's key has the role `read`; it changes nothing",
            )),
            Who::Operator(_, Some(tenant)) => Ok(tenant.id),
            Who::Operator(_, None) => Err(Problem::parameter(
                TENANT_HEADER,
                "this request needs a tenant; with the operator's key, send its id or name in the header Hookwright-Tenant",
            )),
        }
    }

    /// The caller's scopes.
    #[must_use]
    pub fn scopes(&self) -> Scopes {
        match &self.0 {
            Who::Operator(key, _) => role_of(key.as_deref()).scopes(),
            Who::Tenant(_, scopes, _) => *scopes,
        }
    }

    /// The caller's key; `None` for the operator, and on surfaces without keys.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        match &self.0 {
            Who::Tenant(.., Credential::Key(key)) => Some(key.id),
            Who::Operator(..) | Who::Tenant(..) => None,
        }
    }

    /// Requires the operator, to change something or to read what is secret.
    ///
    /// # Errors
    /// Fails if the caller is not the operator, or its key has the role `read`.
    pub fn must_be_operator(&self) -> Result<(), Problem> {
        self.must_read_as_operator()?;
        match &self.0 {
            Who::Operator(Some(key), _) if key.role == OperatorRole::Read => Err(Problem::new(
                Kind::Forbidden,
                "this request needs an operator's key with the role `operator`",
            )),
            Who::Operator(..) | Who::Tenant(..) => Ok(()),
        }
    }

    /// Requires the operator, to read what is not secret: a key of any role.
    ///
    /// # Errors
    /// Fails if the caller is not the operator.
    pub fn must_read_as_operator(&self) -> Result<(), Problem> {
        match self.0 {
            Who::Operator(..) => Ok(()),
            Who::Tenant(..) => Err(Problem::new(Kind::Forbidden, "this request needs the operator's key")),
        }
    }

    /// Whether the caller is the operator, with or without a tenant.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        matches!(self.0, Who::Operator(..))
    }

    /// Whether people may have chosen the key, so that it could be guessed. Others are random.
    fn has_chosen_key(&self) -> bool {
        matches!(self.0, Who::Operator(None, _))
    }

    /// Whether the caller may see `tenant`: the operator sees all tenants, a key sees its own.
    #[must_use]
    pub fn may_see(&self, tenant: TenantId) -> bool {
        match &self.0 {
            Who::Operator(..) => true,
            Who::Tenant(own, ..) => *own == tenant,
        }
    }

    /// A caller that acts for the tenant of `login`.
    #[must_use]
    pub fn of_login(login: Arc<Login>) -> Self {
        Self(Who::Tenant(login.tenant, Scopes::from_iter(Login::SCOPES), Credential::Login(login)))
    }

    /// A caller that acts for the tenant of `token` with `scopes`.
    #[must_use]
    pub fn of_token(token: Arc<DomainToken>, scopes: Scopes) -> Self {
        Self(Who::Tenant(token.tenant, scopes, Credential::Token(token)))
    }

    /// The caller with this key. The operator has no tenant yet.
    ///
    /// # Errors
    /// Fails if the key is unknown or expired.
    pub fn of_key(key: &str, directory: &Directory, admin: AdminKeyHash) -> Result<Self, KeyRefusal> {
        let hash = hash_key(key);
        if bool::from(hash.ct_eq(&admin.hash)) {
            return Ok(Self(Who::Operator(None, None)));
        }
        Ok(Self(match directory.authenticate(&hash)? {
            KnownKey::Tenant(key) => Who::Tenant(key.tenant, key.scopes, Credential::Key(key)),
            KnownKey::Operator(key) => Who::Operator(Some(key), None),
        }))
    }

    /// Who the audit log says the caller is, for a request from `source` to the API `surface`.
    #[must_use]
    pub fn actor(&self, source: &RequestSource, surface: Surface) -> Actor {
        let named = |name: &str| Some(name.to_owned());
        let (kind, id, name) = match &self.0 {
            Who::Operator(None, _) => (ActorKind::OperatorKey, None, named(Actor::ADMIN_KEY)),
            Who::Operator(Some(key), _) => {
                (ActorKind::OperatorKey, Some(key.id.to_string()), named(&key.name))
            }
            Who::Tenant(.., Credential::Key(key)) => {
                (ActorKind::Key, Some(key.id.to_string()), named(&key.name))
            }
            Who::Tenant(.., Credential::Login(login)) => (ActorKind::Login, None, named(&login.name)),
            Who::Tenant(.., Credential::Token(token)) => (
                ActorKind::DomainToken,
                Some(token.id.clone()),
                named(&token.role).filter(|it| !it.is_empty()),
            ),
        };
        let RequestSource { address, request_id } = source.clone();
        Actor { kind, id, name, surface: Some(surface), address, request_id }
    }

    /// The tenant for which the caller acts; `None` for the operator without a tenant.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        match &self.0 {
            Who::Operator(_, named) => named.as_ref().map(|tenant| tenant.id),
            Who::Tenant(tenant, ..) => Some(*tenant),
        }
    }

    /// Makes the operator act for `tenant`. Does not change other callers.
    #[must_use]
    pub fn acting_for(self, tenant: Arc<Tenant>) -> Self {
        match self.0 {
            Who::Operator(key, _) => Self(Who::Operator(key, Some(tenant))),
            Who::Tenant(..) => self,
        }
    }

    fn identify(headers: &HeaderMap, directory: &Directory, admin: AdminKeyHash) -> Result<Self, Problem> {
        directory.check_fresh()?;
        let key = bearer(headers).ok_or_else(unauthenticated)?;
        let named = one(headers, TENANT_HEADER)?;
        let caller = Self::of_key(key, directory, admin).map_err(refused)?;
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
            if caller.has_chosen_key() && client.is_throttled(headers) {
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

/// What an operator's key allows; the one of the settings allows everything.
fn role_of(key: Option<&OperatorKey>) -> OperatorRole {
    key.map_or(OperatorRole::Operator, |key| key.role)
}

/// Only who has the whole key learns that it was valid once.
fn refused(refusal: KeyRefusal) -> Problem {
    match refusal {
        KeyRefusal::Unknown => unauthenticated(),
        KeyRefusal::Expired(end) => Problem::new(
            Kind::Unauthenticated,
            format!("the key expired at {}; use another one, or have a new one created", Time(end)),
        ),
    }
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
