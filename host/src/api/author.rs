//! The sender of a request that changes something.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::HeaderMap;
use http::request::Parts;

use super::auth::{AdminKeyHash, Caller};
use super::problem::Problem;
use super::request_source::RequestSource;
use super::sessions::Sessions;
use crate::clients::Client;
use crate::directory::Directory;
use crate::domain::{Actor, Surface};

/// The caller of a request that changes something, and who the audit log says it is. Requests that change nothing do without.
#[derive(Debug, Clone)]
pub struct Author {
    caller: Caller,
    source: RequestSource,
}

impl Author {
    /// The sender of a request with these headers.
    #[must_use]
    pub fn of(caller: Caller, client: Option<&Client>, headers: &HeaderMap) -> Self {
        Self { caller, source: RequestSource::of(client, headers) }
    }

    /// Who makes a change through the engine's own API.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.actor_through(Surface::V3)
    }

    /// Who makes a change through the API `surface`.
    #[must_use]
    pub fn actor_through(&self, surface: Surface) -> Actor {
        self.caller.actor(&self.source, surface)
    }
}

impl Deref for Author {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl<S> FromRequestParts<S> for Author
where
    S: Send + Sync,
    Arc<Directory>: FromRef<S>,
    Arc<Sessions>: FromRef<S>,
    AdminKeyHash: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let client = parts.extensions.get::<Arc<Client>>().map(Arc::as_ref);
        Ok(Self::of(caller, client, &parts.headers))
    }
}
