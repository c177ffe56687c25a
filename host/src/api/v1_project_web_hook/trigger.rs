//! `POST /projects/:project_id/web_hook/trigger_session_test`.

use std::sync::Arc;

use axum::extract::State;

use super::envelope::{ApiError, Success};
use super::event::EventView;
use super::path::Project;
use super::web_hook::StoredSettings;
use crate::api::problem::Problem;
use crate::domain::{EventType, Scope};
use crate::ingest::Ingest;

/// The type and the data of a test event, which has no session.
const TYPE: &str = "session.test";
const DATA: &str = r#"{"session_id":null}"#;

pub(super) async fn trigger(
    State(ingest): State<Arc<Ingest>>,
    project: Project,
) -> Result<Success<EventView>, ApiError> {
    let (tenant, hook) = project.web_hook(Scope::HooksWrite)?;
    if StoredSettings::of(&hook)?.endpoint.is_none() {
        return Err(ApiError::bad_request("the web hook has no endpoint; set one with PUT first"));
    }
    let event_type = TYPE.parse::<EventType>();
    let event_type =
        event_type.map_err(|error| Problem::internal("parsing the type of a test event", &error))?;
    let made = ingest.test(&hook, event_type, DATA.into()).await;
    let (event, delivery) = made.map_err(Problem::from)?;
    Ok(Success(EventView::pending(&tenant, project.number, delivery, &event)))
}
