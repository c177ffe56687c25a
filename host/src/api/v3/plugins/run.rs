//! `POST /plugins/{name}/run`: runs a plugin for an event, without sending anything.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::read::find;
use crate::api::auth::Caller;
use crate::api::body::{ContentType, Payload};
use crate::api::json;
use crate::api::params::{NoParams, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::dry_run::{DryRunView, DryRuns, MAX_ARRIVAL};
use crate::api::v3::events::wire::MAX_EVENT_LEN;
use crate::api::v3::hooks::check_settings;
use crate::api::v3::openapi::schemas;
use crate::domain::{Pipeline, PluginName, PluginRef, Scope, Step};
use crate::presence::ClientPresence;

/// The input of a plugin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunInput<'a> {
    /// An event as in `POST /events`, or the id of a stored event, which requires `events:read`.
    #[serde(borrow)]
    #[schema(value_type = crate::api::v3::dry_run::EventOrId)]
    event: &'a RawValue,
    /// The settings for the plugin, as in a hook's pipeline: a JSON object of at most 256 KiB. Default: `{}`.
    #[serde(borrow)]
    #[schema(value_type = Option<schemas::PluginSettings>)]
    settings: Option<&'a RawValue>,
    /// The version of the plugin. Default: the newest.
    #[schema(value_type = Option<schemas::VersionNumber>)]
    version: Option<u32>,
}

/// Run a plugin
///
/// Requires `plugins:read`. Runs one plugin for an event and returns the result, the log and the resources
/// used. Nothing is sent or stored.
#[utoipa::path(
    post, path = "/api/v3/plugins/{name}/run", tag = "plugins", request_body = RunInput,
    params(("name" = schemas::PluginName, Path, description = "The plugin's name")),
    responses((status = 200, description = "The result of the plugin", body = DryRunView)),
)]
pub(super) async fn run_plugin(
    State(dry_runs): State<DryRuns>,
    client: ClientPresence,
    caller: Caller,
    Segment(name): Segment<PluginName>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<DryRunView>, Problem> {
    let tenant = caller.may(Scope::PluginsRead)?;
    let newest = find(&dry_runs.directory, tenant, name.clone(), None)?;
    let run = async {
        let limit = MAX_EVENT_LEN + Pipeline::MAX_SETTINGS_LEN;
        let body = payload.within(MAX_ARRIVAL).read(ContentType::Json, limit).await?;
        let input: RunInput = json::parse(&body)?;
        let plugin = match input.version {
            None => newest,
            Some(number) => find(&dry_runs.directory, tenant, name, Some(number)).map_err(|problem| {
                Problem::at(Kind::InvalidValue, Pointer::to("version"), problem.detail().to_owned())
            })?,
        };
        let reference = PluginRef::Version(plugin.name.clone(), plugin.version);
        let step = Step { plugin: reference, settings: check_settings(input.settings)?.into() };
        let event = Arc::new(dry_runs.read(input.event, &caller, tenant).await?);
        let run = dry_runs.finish(dry_runs.pipelines.run_step(&step, event)).await?;
        Ok(Json(DryRunView::of(&run, |request| request.headers.clone())))
    };
    dry_runs.admit(tenant, &client, run).await
}
