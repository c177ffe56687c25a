//! `PUT /projects/:project_id/web_hook`: creates the web hook, or changes the parameters that the request
//! contains.

use axum::extract::State;
use http::header;

use super::envelope::{ApiError, Success};
use super::parameters::Parameters;
use super::path::Project;
use super::web_hook::{StoredSettings, View, is_of};
use crate::api::body::{ContentType, Payload};
use crate::domain::{Hook, Scope, SecretText, Tenant};
use crate::services::HookService;

/// The maximum size of a body, in bytes.
const MAX_BODY: usize = 256 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

pub(super) async fn put(
    State(hooks): State<HookService>,
    project: Project,
    payload: Payload,
) -> Result<Success<View>, ApiError> {
    let tenant = project.of(Scope::HooksWrite)?;
    let parameters = read(payload, project.number).await?;
    let number = project.number;
    let make = |current: Option<&Hook>| changed(&tenant, number, current, parameters);
    let hook = hooks.put(&project.actor(), tenant.id, |hook| is_of(hook, number), make).await?;
    View::of(&tenant, number, &hook).map(Success)
}

async fn read(payload: Payload, project: i64) -> Result<Parameters, ApiError> {
    let sent = payload.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_form = sent.is_some_and(|sent| sent.trim_start().to_ascii_lowercase().starts_with(FORM));
    let body = payload.read_optional(ContentType::JsonOrForm, MAX_BODY).await?.unwrap_or_default();
    match body.is_empty() {
        true => Ok(Parameters::default()),
        false if is_form => Parameters::from_form(&body, project),
        false => Parameters::from_json(&body, project),
    }
}

fn changed(
    tenant: &Tenant,
    project: i64,
    current: Option<&Hook>,
    parameters: Parameters,
) -> Result<Hook, ApiError> {
    let before = current.map_or(Ok(StoredSettings::default()), StoredSettings::of)?;
    let settings = StoredSettings {
        endpoint: parameters.endpoint.or(before.endpoint),
        enable_web_hook: parameters.enable_web_hook.unwrap_or(before.enable_web_hook),
        enable_http_authorization: parameters
            .enable_http_authorization
            .unwrap_or(before.enable_http_authorization),
        custom_parameters: parameters.custom_parameters.unwrap_or(before.custom_parameters),
    };
    let stored = current.and_then(|hook| hook.authorization.as_ref()).map(|stored| stored.value.clone());
    let authorization = parameters.http_authorization_value.or(stored);
    let authorization = authorization.filter(|value: &SecretText| !value.reveal().is_empty());
    settings.into_hook(tenant, project, authorization)
}
