//! How a session of the console is shown to its page.

use serde::Serialize;

use crate::api::auth::Caller;
use crate::api::request_source::RequestSource;
use crate::api::sessions::{Session, Theme};
use crate::api::time::Time;
use crate::directory::Directory;
use crate::domain::{ActorKind, Scope, Surface};

/// A session.
#[derive(Debug, Serialize)]
pub(super) struct SessionView {
    /// Whether it is an operator's.
    operator: bool,
    /// What an operator may do; null for tenants.
    role: Option<&'static str>,
    /// The tenant; null for an operator.
    tenant: Option<TenantView>,
    scopes: Vec<&'static str>,
    key: KeyView,
    /// Whether it began with a link.
    link: bool,
    theme: Option<Theme>,
    csrf_token: String,
    expires_at: Time,
    /// The bearer token, for a page that keeps no cookie. It is shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
}

#[derive(Debug, Serialize)]
struct TenantView {
    id: String,
    name: String,
}

/// The key with which the session, or the link to it, was made.
#[derive(Debug, Serialize)]
struct KeyView {
    /// Null for the operator's key of the settings.
    id: Option<String>,
    /// Null, as the id, if an operator made the link of a tenant's session.
    name: Option<String>,
}

impl SessionView {
    pub(super) fn of(session: &Session, caller: &Caller, directory: &Directory) -> Self {
        let tenant = caller.tenant().and_then(|tenant| directory.tenant(tenant));
        let actor = caller.actor(&RequestSource::default(), Surface::V3);
        // As in the audit log: tenants do not learn which operator made a link for them.
        let is_hidden = actor.kind == ActorKind::OperatorKey && !caller.is_operator();
        let (id, name) = if is_hidden { (None, None) } else { (actor.id, actor.name) };
        Self {
            operator: caller.is_operator(),
            role: caller.role().map(|role| role.as_str()),
            tenant: tenant.map(|tenant| TenantView { id: tenant.id.to_string(), name: tenant.name.clone() }),
            scopes: caller.scopes().iter().map(Scope::as_str).collect(),
            key: KeyView { id, name },
            link: session.is_of_link,
            theme: session.grant.theme.clone(),
            csrf_token: session.csrf.clone(),
            expires_at: Time(session.expires_at()),
            token: None,
        }
    }
}
