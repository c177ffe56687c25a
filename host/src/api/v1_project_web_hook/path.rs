//! The numbers in a path.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, Path};
use http::request::Parts;

use super::auth::Client;
use super::envelope::Refusal;
use super::used_passwords::UsedPasswords;
use super::web_hook;
use crate::api::auth::AdminKeyHash;
use crate::api::problem::shorten;
use crate::directory::Directory;
use crate::domain::{Hook, Scope, Tenant};

/// The project that a path names, and who calls for it. Who calls is settled first.
pub(super) struct Project {
    client: Client,
    directory: Arc<Directory>,
    pub(super) number: i64,
    /// The rest of the path that varies, where there is one.
    event: Option<String>,
}

impl<S> FromRequestParts<S> for Project
where
    S: Send + Sync,
    Arc<Directory>: FromRef<S>,
    Arc<UsedPasswords>: FromRef<S>,
    AdminKeyHash: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let client = Client::from_request_parts(parts, state).await?;
        if parts.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(Refusal::bad_request("there are no parameters in the query; send them in the body"));
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
    /// The tenant whose project it is, if the caller may do what `scope` covers.
    ///
    /// # Errors
    /// Where the caller may not, or has no such project: nobody can tell whether another has.
    pub(super) fn of(&self, scope: Scope) -> Result<Arc<Tenant>, Refusal> {
        let id = self.client.0.may(scope)?;
        let tenant = self.directory.tenant(id).filter(|_| self.directory.has_project(id, self.number));
        tenant.ok_or_else(|| Refusal::no_project(self.number))
    }

    /// The project's web hook, and whose it is.
    ///
    /// # Errors
    /// As [`Self::of`], and where it has none.
    pub(super) fn web_hook(&self, scope: Scope) -> Result<(Arc<Tenant>, Arc<Hook>), Refusal> {
        let tenant = self.of(scope)?;
        let hook = web_hook::find(&self.directory, tenant.id, self.number);
        let hook = hook.ok_or_else(|| self.no_web_hook())?;
        Ok((tenant, hook))
    }

    pub(super) fn no_web_hook(&self) -> Refusal {
        Refusal::not_found(format!("project {} has no web hook", self.number))
    }

    /// The number of the web hook event that the path names.
    ///
    /// # Errors
    /// Where it is no integer.
    pub(super) fn event(&self) -> Result<i64, Refusal> {
        integer("event_id", self.event.as_deref().unwrap_or_default())
    }
}

fn integer(name: &str, text: &str) -> Result<i64, Refusal> {
    // What Rust would read beside: a plus sign.
    let parsed = text.parse().ok().filter(|_| !text.starts_with('+'));
    parsed
        .ok_or_else(|| Refusal::bad_request(format!("{name} must be an Integer, and is `{}`", shorten(text))))
}
