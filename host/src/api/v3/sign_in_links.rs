//! `/console-links`: links by which a platform signs its users in to the console.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::IntoResponse;
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::keys::read_scopes;
use super::limits::MAX_SMALL_BODY;
use crate::api::auth::AdminKeyHash;
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::params::NoParams;
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::sessions::{ConsoleUrl, Grant, Link, Sessions, Theme};
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::api::{SharedApiState, json};
use crate::clients::Client;
use crate::directory::Directory;
use crate::domain::audit::MemberChange;
use crate::domain::{AuditAction, AuditObject, OperatorRole, Scope, Scopes, UnixMillis};
use crate::random;
use crate::sources::Sources;

/// For how long a link can be used, in seconds: by default, and at most.
const LINK_S: (u64, u64) = (300, 3_600);
/// How long a session of a link lasts, in seconds: by default, at least and at most.
const SESSION_S: (u64, u64, u64) = (3_600, 60, 43_200);

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(create_console_link))
}

/// A link to create.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsoleLinkInput {
    /// The scopes of its sessions, at least one, none beyond those of the request. Default: those that only read.
    #[schema(value_type = Option<Vec<schemas::Scope>>, min_items = 1, example = json!(["deliveries:read", "hooks:read"]))]
    scopes: Option<Vec<String>>,
    /// What its sessions may do if they are an operator's: only for an operator who names no tenant. Default:
    /// `read`.
    #[schema(value_type = Option<schemas::OperatorRole>)]
    role: Option<String>,
    /// For how many seconds the link can be used. Default: 300.
    #[schema(minimum = 1, maximum = 3_600)]
    expires_in_s: Option<u64>,
    /// How many seconds a session of the link lasts. Default: 3,600.
    #[schema(minimum = 60, maximum = 43_200)]
    session_s: Option<u64>,
    /// The name, colors and logo of the console.
    theme: Option<Theme>,
}

/// A link to the console.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConsoleLink)]
pub(super) struct ConsoleLinkView {
    /// Its name in the audit log.
    #[schema(example = "link_9f86d081884c7d65")]
    id: String,
    /// The address to open. Its fragment has the token, so that no server logs it.
    url: String,
    /// The token, for an address that you compose yourself: `https://your.host/#/link/TOKEN`.
    token: String,
    /// Until when the link can be used.
    expires_at: Time,
}

/// Create a link to the console
///
/// Requires `keys:write`, or the operator's key. Who opens the link is signed in to the console as this tenant, with
/// these scopes; an operator who names no tenant makes a link that signs in as an operator. The link works more than
/// once until it expires. If the key of this request is deleted or expires, so do the link and its sessions.
#[utoipa::path(
    post, path = "/api/v3/console-links", tag = "keys", request_body = Option<ConsoleLinkInput>,
    responses((status = 201, description = "The link was created; only this response contains it", body = ConsoleLinkView)),
)]
pub(super) async fn create_console_link(
    State(directory): State<Arc<Directory>>,
    (State(sources), State(sessions)): (State<Sources>, State<Arc<Sessions>>),
    (State(admin), State(console_url)): (State<AdminKeyHash>, State<ConsoleUrl>),
    client: Option<Extension<Arc<Client>>>,
    caller: Author,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let headers = payload.headers().clone();
    let is_operators = caller.is_operator() && caller.tenant().is_none();
    let tenant = match is_operators {
        true => caller.must_be_operator().map(|()| None)?,
        false => Some(caller.may(Scope::KeysWrite)?),
    };
    let key = caller.key_hash(admin).filter(|_| caller.session().is_none_or(|it| !it.is_of_link));
    let key =
        key.ok_or_else(|| Problem::new(Kind::Forbidden, "only keys, and sessions of keys, make links"))?;
    if !sessions.are_on() {
        return Err(Problem::new(Kind::Conflict, "there is no console: the setting `console` is false"));
    }
    let body = payload.read_optional(ContentType::Json, MAX_SMALL_BODY).await?;
    let input: ConsoleLinkInput = body.map(|body| json::parse(&body)).transpose()?.unwrap_or_default();
    if let Some(theme) = &input.theme {
        check_theme(theme)?;
    }
    let now = sources.now();
    let (expires_at, session) = read_times(&input, now)?;
    let grant = Grant::whole(key).with_theme(input.theme.clone());
    let (grant, granted) = match tenant {
        Some(tenant) => {
            let scopes = granted_scopes(&input, caller.scopes())?;
            (grant.in_tenant(tenant, scopes), texts(scopes))
        }
        None => {
            let role = granted_role(&input)?;
            (grant.with_role(role), role.to_string())
        }
    };
    let token = sessions.seal_link(&Link::new(grant, expires_at, session));
    let id = format!("link_{}", hex::encode(random::secret_bytes::<8>()));
    let changes = vec![
        MemberChange::new(if tenant.is_some() { "scopes" } else { "role" }, granted),
        MemberChange::new("expires_at", Time(expires_at)),
    ];
    let object = AuditObject::new("console_link", &id);
    let actor = caller.actor();
    directory.by(&actor).note_sign_in(tenant, AuditAction::ConsoleLinkCreated, object, changes).await?;
    let client = client.as_ref().map(|Extension(client)| &**client);
    let origin = match console_url.of(tenant) {
        Some(url) => url.to_owned(),
        None => origin(client, &headers),
    };
    let view =
        ConsoleLinkView { id, url: format!("{origin}/#/link/{token}"), token, expires_at: Time(expires_at) };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(view)))
}

/// Until when the link can be used, and how long its sessions last.
fn read_times(input: &ConsoleLinkInput, now: UnixMillis) -> Result<(UnixMillis, Duration), Problem> {
    let refused = |name: &str, rule: String| Problem::at(Kind::InvalidValue, Pointer::to(name), rule);
    let (default, most) = LINK_S;
    let link = input.expires_in_s.unwrap_or(default);
    if !(1..=most).contains(&link) {
        return Err(refused("expires_in_s", format!("`expires_in_s` is 1 to {most} seconds")));
    }
    let (default, least, most) = SESSION_S;
    let session = input.session_s.unwrap_or(default);
    if !(least..=most).contains(&session) {
        return Err(refused("session_s", format!("`session_s` is {least} to {most} seconds")));
    }
    Ok((now.plus(Duration::from_secs(link)), Duration::from_secs(session)))
}

fn granted_scopes(input: &ConsoleLinkInput, own: Scopes) -> Result<Scopes, Problem> {
    if input.role.is_some() {
        let rule = "`role` is for links of operators, who name no tenant; send `scopes`";
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("role"), rule));
    }
    let Some(texts) = &input.scopes else {
        let reading: Scopes = Scopes::reading().iter().filter(|scope| own.contains(*scope)).collect();
        if reading.iter().next().is_none() {
            let detail = "the key has no scope that only reads, which a link has by default; send `scopes`";
            return Err(Problem::at(Kind::Forbidden, Pointer::to("scopes"), detail));
        }
        return Ok(reading);
    };
    let scopes = read_scopes(texts)?;
    match scopes.iter().find(|scope| !own.contains(*scope)) {
        None => Ok(scopes),
        Some(beyond) => {
            let detail = format!("the key lacks the scope `{beyond}` and cannot grant it to a link");
            Err(Problem::at(Kind::Forbidden, Pointer::to("scopes"), detail))
        }
    }
}

fn granted_role(input: &ConsoleLinkInput) -> Result<OperatorRole, Problem> {
    if input.scopes.is_some() {
        let rule =
            "`scopes` are for links of a tenant; name it in the header Hookwright-Tenant, or send `role`";
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("scopes"), rule));
    }
    let role = input.role.as_deref().map_or(Ok(OperatorRole::Read), str::parse);
    role.map_err(|rule| Problem::invalid(Pointer::to("role"), rule))
}

fn texts(scopes: Scopes) -> String {
    scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
}

fn check_theme(theme: &Theme) -> Result<(), Problem> {
    let refused = |name: &str, rule: &'static str| {
        Err(Problem::at(Kind::InvalidValue, Pointer::to("theme").join(&Pointer::to(name)), rule))
    };
    let is_label = |text: &String| (1..=64).contains(&text.len()) && !text.chars().any(char::is_control);
    if !theme.name.as_ref().is_none_or(is_label) {
        return refused("name", "a name has 1 to 64 bytes without control characters");
    }
    for (name, color) in [("accent", &theme.accent), ("background", &theme.background)] {
        let is_color = |text: &String| {
            text.strip_prefix('#')
                .is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|it| it.is_ascii_hexdigit()))
        };
        if !color.as_ref().is_none_or(is_color) {
            return refused(name, "a color has the form #3457d5");
        }
    }
    let is_logo = |text: &String| {
        let url = text.starts_with("https://").then(|| url::Url::parse(text).ok()).flatten();
        // `Url` leaves out line breaks, browsers need not.
        let is_plain = text.len() <= 512 && !text.chars().any(char::is_control);
        is_plain && url.is_some_and(|url| url.host().is_some() && url.password().is_none())
    };
    if !theme.logo_url.as_ref().is_none_or(is_logo) {
        let rule =
            "the address of a logo begins with https:// and has at most 512 bytes without control characters";
        return refused("logo_url", rule);
    }
    Ok(())
}

/// Where the client reaches the engine, as far as the request says.
fn origin(client: Option<&Client>, headers: &HeaderMap) -> String {
    let scheme = if client.is_some_and(|client| client.is_secure(headers)) { "https" } else { "http" };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.map_or_else(String::new, |host| format!("{scheme}://{host}"))
}
