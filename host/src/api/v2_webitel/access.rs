//! Authentication and authorization.
//!
//! A request is checked in the order of the original API: the sender, the permission, the domain, and only
//! then the content. A handler gets the domain only from [`Call::domain`], so it cannot skip the check.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef as _, FromRequest, FromRequestParts, Path, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;

use super::query::Query;
use super::response::ApiError;
use super::token;
use super::unauthenticated_reads::UnauthenticatedReads;
use crate::api::SharedApiState;
use crate::api::auth::{self, AdminKeyHash, Caller};
use crate::api::body::{ContentType, Payload};
use crate::api::credentials;
use crate::api::json::{self, Members};
use crate::api::problem::{Kind, Problem};
use crate::api::request_source::RequestSource;
use crate::clients::{Client, NoRoom, UNCOUNTED};
use crate::directory::{Directory, KeyRefusal};
use crate::domain::{Actor, Scope, Surface, Tenant, TenantId};
use crate::sources::Sources;
use crate::vault::Vault;

/// The maximum size of a body, in bytes, as in the original API.
const MAX_BODY: usize = 5 * 1024 * 1024;

/// The header that carries a token or a key.
const TOKEN_HEADER: &str = "X-Access-Token";
/// The query parameter or member of the body that carries a token or a key, if the header is absent.
const TOKEN_NAME: &str = "access_token";
/// The members of a body that identify its sender. They are not part of the content.
pub(super) const CREDENTIALS: [&str; 2] = [TOKEN_NAME, "x_key"];

/// An authenticated request. `X-Key` is ignored, because the token identifies the sender.
pub(super) struct Call {
    caller: Caller,
    client: Option<Arc<Client>>,
    headers: HeaderMap,
    query: Query,
    body: Body,
    directory: Arc<Directory>,
}

/// The bodies that are being read to find a token.
static UNAUTHENTICATED_READS: UnauthenticatedReads = UnauthenticatedReads::new();
/// The time limit for such a body.
const UNAUTHENTICATED_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum size of such a body, in bytes. Larger requests need the token in the header or the query.
const MAX_UNAUTHENTICATED_BODY: usize = 512 * 1024;

enum Body {
    Unread(Payload),
    /// The body was read to find the token.
    Read(Option<Bytes>),
}

impl FromRequest<SharedApiState> for Call {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &SharedApiState) -> Result<Self, ApiError> {
        let directory = Arc::<Directory>::from_ref(state);
        directory.check_fresh().map_err(Problem::from)?;
        let query = Query::of(request.uri());
        let client = request.extensions().get::<Arc<Client>>().cloned();
        let Ok(payload) = Payload::from_request(request, state).await;
        let headers = payload.headers().clone();
        let (login, body) = match find_token(&query, payload, client.as_deref()).await {
            Ok((text, body)) => (login(&text, state, &directory), body),
            // Only a wrong or missing token is a failed login, not a body that did not arrive.
            Err(refusal) if refusal.status() != StatusCode::UNAUTHORIZED => return Err(refusal),
            Err(refusal) => (Err(refusal), Body::Read(None)),
        };
        let caller = auth::watched(login, &directory, client.as_deref(), &headers)?;
        let body = body.charged(client.as_deref())?;
        Ok(Self { caller, client, headers, query, body, directory })
    }
}

/// Finds the token or key in the header, the query or the body. Reads the body only if the others lack it.
async fn find_token(
    query: &Query,
    payload: Payload,
    client: Option<&Client>,
) -> Result<(String, Body), ApiError> {
    let sent = credentials::one(payload.headers(), TOKEN_HEADER).map_err(|_| unknown())?;
    let sent = sent.filter(|text| !text.is_empty()).or(query.get(TOKEN_NAME)).map(str::to_owned);
    if let Some(text) = sent {
        return Ok((text, Body::Unread(payload)));
    }
    if ContentType::JsonOrUntyped.check(payload.headers()).is_err() {
        return Err(unknown());
    }
    let address = client.map(|client| client.origin(payload.headers()));
    let payload = payload.within(UNAUTHENTICATED_TIMEOUT).uncounted();
    let reading = payload.read_optional(ContentType::JsonOrUntyped, MAX_UNAUTHENTICATED_BODY);
    let Some(body) = UNAUTHENTICATED_READS.read(address, reading).await else {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many requests without a token in the header or the query.",
        ));
    };
    let body = body.map_err(without_token)?;
    let text = body.as_deref().and_then(token_in).ok_or_else(unknown)?;
    Ok((text, Body::Read(body)))
}

fn login(text: &str, state: &SharedApiState, directory: &Directory) -> Result<Caller, ApiError> {
    match Caller::of_key(text, directory, AdminKeyHash::from_ref(state)) {
        Ok(caller) => return Ok(caller),
        Err(KeyRefusal::Expired(_)) => return Err(token::expired()),
        Err(KeyRefusal::Unknown) => {}
    }
    let (vault, now) = (Arc::<Vault>::from_ref(state), Sources::from_ref(state).now());
    token::verify(text, directory, &vault, now).map(|token| Caller::of_token(token, token::scopes()))
}

impl Body {
    /// Charges a body that was read to the memory of its tenant.
    fn charged(self, client: Option<&Client>) -> Result<Self, ApiError> {
        let Self::Read(Some(body)) = self else { return Ok(self) };
        let Some(client) = client.filter(|_| body.len() > UNCOUNTED) else {
            return Ok(Self::Read(Some(body)));
        };
        let reserved = client.reserve_request(body.len());
        let reserved = reserved.map_err(|NoRoom| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The memory for request bodies is in use. Try again later.",
            )
        })?;
        Ok(Self::Read(Some(reserved.hold(body))))
    }
}

fn token_in(body: &[u8]) -> Option<String> {
    let Members(members) = json::parse::<Members<&RawValue>>(body).ok()?;
    let (_, value) = members.into_iter().find(|(name, _)| name == TOKEN_NAME)?;
    serde_json::from_str(value.get()).ok()
}

/// A body that is not JSON contains no token, so its sender is unknown.
fn without_token(problem: Problem) -> ApiError {
    match problem.kind() {
        Kind::UnsupportedMediaType => unknown(),
        _ => problem.into(),
    }
}

fn unknown() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "Invalid token")
}

impl Call {
    /// The headers of the request.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The domain of the request, if the sender has `scope` there. It is the sender's own domain, and the
    /// query's `domain` for the operator.
    pub(super) fn domain(&self, scope: Scope) -> Result<Arc<Tenant>, ApiError> {
        self.domain_or(scope, || None)
    }

    /// Like [`Self::domain`], with a default for an operator that names no domain.
    pub(super) fn domain_or<'c>(
        &'c self,
        scope: Scope,
        default: impl FnOnce() -> Option<&'c str>,
    ) -> Result<Arc<Tenant>, ApiError> {
        let caller = match self.caller.tenant() {
            Some(_) => self.caller.clone(),
            None => {
                let name = self.query.get("domain").or_else(default);
                let name = name.ok_or_else(|| ApiError::bad("domain is required"))?;
                self.caller.clone().acting_for(self.named(name).ok_or_else(ApiError::no_domain)?)
            }
        };
        let id: TenantId = caller.may(scope).map_err(|_| ApiError::denied())?;
        self.directory.tenant(id).ok_or_else(ApiError::no_domain)
    }

    /// The domain `name`, if the sender has `scope` there. Domains of other tenants are reported as not
    /// found.
    pub(super) fn domain_called(&self, name: Option<&str>, scope: Scope) -> Result<Arc<Tenant>, ApiError> {
        self.must_have(scope)?;
        let domain = name.and_then(|name| self.named(name)).filter(|domain| self.caller.may_see(domain.id));
        domain.ok_or_else(ApiError::no_domain)
    }

    /// Who the audit log says the sender is.
    pub(super) fn actor(&self) -> Actor {
        self.caller.actor(&RequestSource::of(self.client.as_deref(), &self.headers), Surface::Webitel)
    }

    /// Requires `scope`.
    ///
    /// # Errors
    /// Fails if the sender lacks the scope.
    pub(super) fn must_have(&self, scope: Scope) -> Result<(), ApiError> {
        if self.caller.scopes().contains(scope) { Ok(()) } else { Err(ApiError::denied()) }
    }

    /// Finds a domain by its name. Ids of tenants are not accepted.
    fn named(&self, name: &str) -> Option<Arc<Tenant>> {
        self.directory.tenant_named(name).filter(|tenant| tenant.name == name)
    }

    /// The query parameters.
    pub(super) fn query(&self) -> &Query {
        &self.query
    }

    /// The unparsed body; empty if there is none.
    ///
    /// # Errors
    /// Fails if the content type is not JSON, or if the body is too large.
    pub(super) async fn body(&mut self) -> Result<Bytes, ApiError> {
        match std::mem::replace(&mut self.body, Body::Read(None)) {
            Body::Unread(payload) => Ok(payload.read(ContentType::JsonOrUntyped, MAX_BODY).await?),
            Body::Read(body) => Ok(body.unwrap_or_default()),
        }
    }
}

/// The variable segments of a path; none if one is not UTF-8, which handlers report after authentication.
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
