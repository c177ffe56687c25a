//! The numbers in paths.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, Path};
use http::request::Parts;

use super::auth::Client;
use super::envelope::ApiError;
use super::used_passwords::UsedPasswords;
use super::web_hook;
use crate::api::auth::AdminKeyHash;
use crate::api::problem::shorten;
use crate::api::sessions::Sessions;
use crate::directory::Directory;
use crate::domain::{Actor, Hook, Scope, Surface, Tenant};
use crate::sources::Sources;

/// The project in a path and the authenticated sender. Authentication comes before parsing.
pub(super) struct Project {
    client: Client,
    directory: Arc<Directory>,
    pub(super) number: i64,
    /// The event's number in the path, if the route has one.
    event: Option<String>,
}

impl<S> FromRequestParts<S> for Project
where
    S: Send + Sync,
    Arc<Directory>: FromRef<S>,
    Arc<UsedPasswords>: FromRef<S>,
    Sources: FromRef<S>,
    Arc<Sessions>: FromRef<S>,
    AdminKeyHash: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let client = Client::from_request_parts(parts, state).await?;
        if parts.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(ApiError::bad_request(
                "query parameters are not supported; send parameters in the body",
            ));
        }
        let path = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let mut segments = path.map(|Path(segments)| segments).unwrap_or_default().into_iter();
        let project = segments.next().map(|(_, text)| text).unwrap_or_default();
        let event = segments.next().map(|(_, text)| text);
        let number = integer("project_id", &project)?;
        Ok(Self { client, directory: Arc::from_ref(state), number, event })
    }
}

impl Project {
    /// The tenant of the project, if the caller has `scope`.
    ///
    /// # Errors
    /// Fails if the caller lacks the scope, or if the caller's tenant has no such project.
    pub(super) fn of(&self, scope: Scope) -> Result<Arc<Tenant>, ApiError> {
        let id = self.client.0.may(scope)?;
        let tenant = self.directory.tenant(id).filter(|_| self.directory.has_project(id, self.number));
        tenant.ok_or_else(|| ApiError::no_project(self.number))
    }

    /// The project's tenant and web hook.
    ///
    /// # Errors
    /// Fails like [`Self::of`], and if the project has no web hook.
    pub(super) fn web_hook(&self, scope: Scope) -> Result<(Arc<Tenant>, Arc<Hook>), ApiError> {
        let tenant = self.of(scope)?;
        let hook = web_hook::find(&self.directory, tenant.id, self.number);
        let hook = hook.ok_or_else(|| self.no_web_hook())?;
        Ok((tenant, hook))
    }

    /// Who the audit log says the caller is.
    pub(super) fn actor(&self) -> Actor {
        self.client.0.actor_through(Surface::ProjectWebHook)
    }

    pub(super) fn no_web_hook(&self) -> ApiError {
        ApiError::not_found(format!("project {} has no web hook", self.number))
    }

    /// The number of the web hook event in the path.
    ///
    /// # Errors
    /// Fails if it is not an integer.
    pub(super) fn event(&self) -> Result<i64, ApiError> {
        integer("event_id", self.event.as_deref().unwrap_or_default())
    }
}

fn integer(name: &str, text: &str) -> Result<i64, ApiError> {
    // Rust's parser also accepts a plus sign.
    let parsed = text.parse().ok().filter(|_| !text.starts_with('+'));
    parsed.ok_or_else(|| ApiError::bad_request(format!("{name} must be an Integer, not `{}`", shorten(text))))
}
