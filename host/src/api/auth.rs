//! Who sends a request, and what it may do.
//!
//! A key is looked up in memory by its hash: the time that takes says nothing about other keys. The operator's key of the settings
//! is compared in constant time. A handler gets the tenant only from [`Caller::may`], so it cannot skip the check.

use std::sync::Arc;

use http::HeaderMap;
use subtle::ConstantTimeEq as _;

use super::problem::{Kind, Problem};
use super::request_source::RequestSource;
use super::sessions::Session;
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
pub struct Caller {
    who: Who,
    /// The session of the console through which it acts.
    session: Option<Arc<Session>>,
}

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
    /// A link to the console that an operator made for the tenant, with a named key or with the one of the settings.
    OperatorsLink(Option<Arc<OperatorKey>>),
}

impl From<Who> for Caller {
    fn from(who: Who) -> Self {
        Self { who, session: None }
    }
}

impl Caller {
    /// The tenant for which the caller acts, if the caller has `scope`.
    ///
    /// # Errors
    /// Fails if the key lacks the scope, or if the operator does not name a tenant.
    pub fn may(&self, scope: Scope) -> Result<TenantId, Problem> {
        match &self.who {
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
        match &self.who {
            Who::Operator(key, _) => self.role_of(key.as_deref()).scopes(),
            Who::Tenant(_, scopes, _) => *scopes,
        }
    }

    /// What an operator may do; `None` for callers that act for one tenant only.
    #[must_use]
    pub fn role(&self) -> Option<OperatorRole> {
        match &self.who {
            Who::Operator(key, _) => Some(self.role_of(key.as_deref())),
            Who::Tenant(..) => None,
        }
    }

    /// What an operator's key allows; the one of the settings allows everything.
    fn role_of(&self, key: Option<&OperatorKey>) -> OperatorRole {
        let role = key.map_or(OperatorRole::Operator, |key| key.role);
        self.session.as_ref().map_or(role, |session| session.grant.narrowed_role(role))
    }

    /// The session of the console through which the caller acts.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    /// The hash of the caller's key, for a session; `None` for callers without a key.
    #[must_use]
    pub fn key_hash(&self, admin: AdminKeyHash) -> Option<[u8; 32]> {
        match &self.who {
            Who::Operator(key, _) | Who::Tenant(.., Credential::OperatorsLink(key)) => {
                Some(key.as_ref().map_or(admin.hash, |key| key.hash))
            }
            Who::Tenant(.., Credential::Key(key)) => Some(key.hash),
            Who::Tenant(..) => None,
        }
    }

    /// The caller's key; `None` for the operator, and on surfaces without keys.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        match &self.who {
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
        match &self.who {
            Who::Operator(key, _) if self.role_of(key.as_deref()) == OperatorRole::Read => Err(Problem::new(
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
        match self.who {
            Who::Operator(..) => Ok(()),
            Who::Tenant(..) => Err(Problem::new(Kind::Forbidden, "this request needs the operator's key")),
        }
    }

    /// Whether the caller is the operator, with or without a tenant.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        matches!(self.who, Who::Operator(..))
    }

    /// Whether people may have chosen what it has shown, so that it could be guessed. Other keys are random.
    fn has_chosen_key(&self) -> bool {
        matches!(self.who, Who::Operator(None, _)) && self.session.is_none()
    }

    /// Whether the caller may see `tenant`: the operator sees all tenants, a key sees its own.
    #[must_use]
    pub fn may_see(&self, tenant: TenantId) -> bool {
        match &self.who {
            Who::Operator(..) => true,
            Who::Tenant(own, ..) => *own == tenant,
        }
    }

    /// A caller that acts for the tenant of `login`.
    #[must_use]
    pub fn of_login(login: Arc<Login>) -> Self {
        Who::Tenant(login.tenant, Scopes::from_iter(Login::SCOPES), Credential::Login(login)).into()
    }

    /// A caller that acts for the tenant of `token` with `scopes`.
    #[must_use]
    pub fn of_token(token: Arc<DomainToken>, scopes: Scopes) -> Self {
        Who::Tenant(token.tenant, scopes, Credential::Token(token)).into()
    }

    /// The caller with this key. The operator has no tenant yet.
    ///
    /// # Errors
    /// Fails if the key is unknown or expired.
    pub fn of_key(key: &str, directory: &Directory, admin: AdminKeyHash) -> Result<Self, KeyRefusal> {
        Who::of_hash(&hash_key(key), directory, admin).map(Self::from)
    }

    /// The caller in this session of the console.
    ///
    /// # Errors
    /// As [`Self::of_key`], for the key that the session names; and if its tenant is gone.
    pub fn of_session(
        session: Session,
        directory: &Directory,
        admin: AdminKeyHash,
    ) -> Result<Self, KeyRefusal> {
        let grant = &session.grant;
        let who = match (Who::of_hash(&grant.key, directory, admin)?, grant.tenant()) {
            (who @ Who::Operator(..), None) => who,
            (Who::Operator(key, _), Some(tenant)) if directory.tenant(tenant).is_some() => {
                let role = key.as_ref().map_or(OperatorRole::Operator, |key| key.role);
                Who::Tenant(tenant, grant.narrowed(role.scopes()), Credential::OperatorsLink(key))
            }
            (Who::Tenant(own, scopes, credential), tenant) if tenant.is_none_or(|it| it == own) => {
                Who::Tenant(own, grant.narrowed(scopes), credential)
            }
            _ => return Err(KeyRefusal::Unknown),
        };
        Ok(Self { who, session: Some(Arc::new(session)) })
    }

    /// The caller as it is now: its key may have changed since the request. `None` if it has ended.
    #[must_use]
    pub fn again(&self, directory: &Directory, admin: AdminKeyHash) -> Option<Self> {
        if let Some(session) = &self.session {
            return Self::of_session(Session::clone(session), directory, admin).ok();
        }
        Who::of_hash(&self.key_hash(admin)?, directory, admin).ok().map(Self::from)
    }

    /// Who the audit log says the caller is, for a request from `source` to the API `surface`.
    #[must_use]
    pub fn actor(&self, source: &RequestSource, surface: Surface) -> Actor {
        let named = |name: &str| Some(name.to_owned());
        let (kind, id, name) = match &self.who {
            Who::Operator(None, _) | Who::Tenant(.., Credential::OperatorsLink(None)) => {
                (ActorKind::OperatorKey, None, named(Actor::ADMIN_KEY))
            }
            Who::Operator(Some(key), _) | Who::Tenant(.., Credential::OperatorsLink(Some(key))) => {
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
        match &self.who {
            Who::Operator(_, named) => named.as_ref().map(|tenant| tenant.id),
            Who::Tenant(tenant, ..) => Some(*tenant),
        }
    }

    /// Makes the operator act for `tenant`. Does not change other callers.
    #[must_use]
    pub fn acting_for(self, tenant: Arc<Tenant>) -> Self {
        match self.who {
            Who::Operator(key, _) => Self { who: Who::Operator(key, Some(tenant)), ..self },
            Who::Tenant(..) => self,
        }
    }
}

impl Who {
    fn of_hash(hash: &[u8; 32], directory: &Directory, admin: AdminKeyHash) -> Result<Self, KeyRefusal> {
        if bool::from(hash.ct_eq(&admin.hash)) {
            return Ok(Self::Operator(None, None));
        }
        Ok(match directory.authenticate(hash)? {
            KnownKey::Tenant(key) => Self::Tenant(key.tenant, key.scopes, Credential::Key(key)),
            KnownKey::Operator(key) => Self::Operator(Some(key), None),
        })
    }
}

/// Reports the result of a login to its connection, which limits failed logins by address.
///
/// # Errors
/// Fails if `login` failed, if the caller's tenant is suspended, or if too many logins from this address failed.
pub fn watched<E: From<Problem>>(
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
