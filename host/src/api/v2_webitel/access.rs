//! Who calls, and for which domain.
//!
//! A call is checked in the original's order: who sends it, whether they may do it, for which domain, and only then
//! what it says. A handler learns the domain only from [`Call::domain`], so that none can forget to ask.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef as _, FromRequest, FromRequestParts, Path, Request};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde_json::value::RawValue;

use super::answer::Refusal;
use super::query::Query;
use super::unknown_senders::UnknownSenders;
use super::{MAX_BODY, token};
use crate::api::Shared;
use crate::api::auth::{self, AdminKeyHash, Caller};
use crate::api::body::{Payload, Takes};
use crate::api::json::{self, Members};
use crate::api::problem::{Kind, Problem};
use crate::clients::{Client, NoRoom, UNCOUNTED};
use crate::directory::Directory;
use crate::domain::{Scope, Tenant, TenantId};
use crate::vault::Vault;

/// The header that carries a token or a key.
const TOKEN_HEADER: &str = "X-Access-Token";
/// The query parameter, or member of the body, that carries it otherwise.
const TOKEN_NAME: &str = "access_token";
/// What a body may carry about its sender: no part of what is sent.
pub(super) const CREDENTIALS: [&str; 2] = [TOKEN_NAME, "x_key"];

/// A request whose sender is known. Its `X-Key` is not looked at: a token says all.
pub(super) struct Call {
    caller: Caller,
    query: Query,
    body: Body,
    directory: Arc<Directory>,
}

/// Those whose bodies are being read to find a token in them.
static UNKNOWN_SENDERS: UnknownSenders = UnknownSenders::new();
/// How long such a body may take to arrive.
const MAX_UNKNOWN_ARRIVAL: Duration = Duration::from_secs(5);
/// The greatest size of such a body, in bytes: what is larger has its token in the header or the query.
const MAX_UNKNOWN_BODY: usize = 512 * 1024;

enum Body {
    Unread(Payload),
    /// It had to be read for the token in it.
    Read(Option<Bytes>),
}

impl FromRequest<Shared> for Call {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, Refusal> {
        let directory = Arc::<Directory>::from_ref(state);
        let query = Query::of(request.uri());
        let client = request.extensions().get::<Arc<Client>>().cloned();
        let Ok(payload) = Payload::from_request(request, state).await;
        let headers = payload.headers().clone();
        let (login, body) = match find_token(&query, payload).await {
            Ok((text, body)) => (login(&text, state, &directory), body),
            Err(refusal) => (Err(refusal), Body::Read(None)),
        };
        let caller = auth::watched(login, client.as_deref(), &headers)?;
        Ok(Self { caller, query, body: body.counted(client.as_deref())?, directory })
    }
}

/// The text of a token or key, in the header, the query or the body, which is only then read for it.
async fn find_token(query: &Query, payload: Payload) -> Result<(String, Body), Refusal> {
    let given = auth::one(payload.headers(), TOKEN_HEADER).map_err(|_| unknown())?;
    let given = given.filter(|text| !text.is_empty()).or(query.get(TOKEN_NAME)).map(str::to_owned);
    if let Some(text) = given {
        return Ok((text, Body::Unread(payload)));
    }
    if Takes::JsonOrUntyped.check(payload.headers()).is_err() {
        return Err(unknown());
    }
    let payload = payload.within(MAX_UNKNOWN_ARRIVAL).uncounted();
    let reading = payload.read_optional(Takes::JsonOrUntyped, MAX_UNKNOWN_BODY);
    let Some(body) = UNKNOWN_SENDERS.read(reading).await else {
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many requests without a token in their heads.",
        ));
    };
    let body = body.map_err(without_token)?;
    let text = body.as_deref().and_then(token_in).ok_or_else(unknown)?;
    Ok((text, Body::Read(body)))
}

fn login(text: &str, state: &Shared, directory: &Directory) -> Result<Caller, Refusal> {
    if let Some(caller) = Caller::of_key(text, directory, AdminKeyHash::from_ref(state)) {
        return Ok(caller);
    }
    let (vault, now) = (Arc::<Vault>::from_ref(state), directory.clock().now());
    token::verify(text, directory, &vault, now).map(|tenant| Caller::of_tenant(tenant, token::scopes()))
}

impl Body {
    /// The same; what was read of it is its tenant's memory from now on.
    fn counted(self, client: Option<&Client>) -> Result<Self, Refusal> {
        let Self::Read(Some(body)) = self else { return Ok(self) };
        let Some(client) = client.filter(|_| body.len() > UNCOUNTED) else {
            return Ok(Self::Read(Some(body)));
        };
        let reserved = client.reserve_request(body.len());
        let reserved = reserved.map_err(|NoRoom| {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "Too many requests are under way.")
        })?;
        Ok(Self::Read(Some(reserved.hold(body))))
    }
}

fn token_in(body: &[u8]) -> Option<String> {
    let Members(members) = json::parse::<Members<&RawValue>>(body).ok()?;
    let (_, value) = members.into_iter().find(|(name, _)| name == TOKEN_NAME)?;
    serde_json::from_str(value.get()).ok()
}

/// A body that is no JSON has no token in it, and who sends it is not known.
fn without_token(problem: Problem) -> Refusal {
    match problem.kind() {
        Kind::UnsupportedMediaType => unknown(),
        _ => problem.into(),
    }
}

fn unknown() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "Invalid token")
}

impl Call {
    /// The domain that the call is for, if its sender may do there what `scope` covers: the sender's own, whatever
    /// the query says; the operator has none, and names one.
    pub(super) fn domain(&self, scope: Scope) -> Result<Arc<Tenant>, Refusal> {
        self.domain_or(scope, || None)
    }

    /// As [`Self::domain`]; where the operator names none, it is `otherwise`.
    pub(super) fn domain_or<'c>(
        &'c self,
        scope: Scope,
        otherwise: impl FnOnce() -> Option<&'c str>,
    ) -> Result<Arc<Tenant>, Refusal> {
        let caller = match self.caller.tenant() {
            Some(_) => self.caller.clone(),
            None => {
                let name = self.query.get("domain").or_else(otherwise);
                let name = name.ok_or_else(|| Refusal::bad("domain is required"))?;
                self.caller.clone().naming(self.named(name).ok_or_else(Refusal::no_domain)?)
            }
        };
        let id: TenantId = caller.may(scope).map_err(|_| Refusal::denied())?;
        self.directory.tenant(id).ok_or_else(Refusal::no_domain)
    }

    /// The domain called `name`, if the call's sender may do there what `scope` covers. Another's is not there.
    pub(super) fn domain_called(&self, name: Option<&str>, scope: Scope) -> Result<Arc<Tenant>, Refusal> {
        self.must_have(scope)?;
        let domain = name.and_then(|name| self.named(name)).filter(|domain| self.caller.may_see(domain.id));
        domain.ok_or_else(Refusal::no_domain)
    }

    /// # Errors
    /// Where the call's sender may not do what `scope` covers.
    pub(super) fn must_have(&self, scope: Scope) -> Result<(), Refusal> {
        if self.caller.scopes().contains(scope) { Ok(()) } else { Err(Refusal::denied()) }
    }

    /// By its name alone: an id is none here.
    fn named(&self, name: &str) -> Option<Arc<Tenant>> {
        self.directory.tenant_named(name).filter(|tenant| tenant.name == name)
    }

    /// The query parameters.
    pub(super) fn query(&self) -> &Query {
        &self.query
    }

    /// The body, whatever is in it; empty where there is none.
    ///
    /// # Errors
    /// Where it is said to be something else than JSON, or is larger than is taken.
    pub(super) async fn body(&mut self) -> Result<Bytes, Refusal> {
        match std::mem::replace(&mut self.body, Body::Read(None)) {
            Body::Unread(payload) => Ok(payload.read(Takes::JsonOrUntyped, MAX_BODY).await?),
            Body::Read(body) => Ok(body.unwrap_or_default()),
        }
    }
}

/// The segments of a path that vary. What is no UTF-8 names nothing, and is said so only when its turn comes.
pub(super) struct Segments(Vec<String>);

impl Segments {
    /// One of them, counted from 0.
    pub(super) fn get(&self, index: usize) -> Option<&str> {
        self.0.get(index).map(String::as_str)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Segments {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let read = Path::<Vec<String>>::from_request_parts(parts, state).await;
        Ok(Self(read.map(|Path(segments)| segments).unwrap_or_default()))
    }
}
