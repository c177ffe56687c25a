//! Jobs from and to columns. The settings of a replay's pipeline are sealed, because they may contain credentials.

use serde::{Deserialize, Serialize};

use super::hooks::{filled, pipeline_from_json, settings, skeleton, unseal_text};
use super::values::{damaged, from_json, to_json};
use crate::domain::{
    DeliveryFilter, DeliveryId, EventId, HookId, Job, JobId, JobProgress, JobRate, JobState, JobWork, KeyId,
    Pipeline, Replay, TenantId, UnixMillis,
};
use crate::storage::StorageError;
use crate::vault::Vault;

/// After `SELECT`: what [`job_from_row`] reads.
macro_rules! job_columns {
    () => {
        "id, tenant_id, work, rate, started_by, state, reason, examined_to, examined, made, next_due_at, outstanding, \
        finished_at"
    };
}
pub(in crate::storage) use job_columns;

/// The columns of [`job_columns`].
pub type JobRow =
    (i64, i64, String, i64, Option<i64>, i64, Option<String>, i64, i64, i64, i64, String, Option<i64>);

/// What a job does. Absent members are empty.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct WorkJson {
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    types: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    states: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    missed: bool,
    /// The steps of a replay's own pipeline, without settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<String>,
}

/// What the settings of a replay's pipeline are sealed for.
pub fn job_context_of(job: i64) -> String {
    format!("job/{job}")
}

/// The settings of a replay's own pipeline, sealed.
pub fn sealed_settings(job: &Job, vault: &Vault) -> Result<Option<Vec<u8>>, StorageError> {
    let JobWork::Replay(Replay { pipeline: Some(pipeline), .. }) = &job.work else { return Ok(None) };
    let text = zeroize::Zeroizing::new(to_json(&settings(pipeline))?);
    Ok(Some(vault.seal(&job_context_of(job.id.0), text.as_bytes())))
}

/// The pipeline of the replay `job` with its settings, from the columns `work` and `sealed`.
pub fn pipeline_of_job(job: i64, work: &str, sealed: &[u8], vault: &Vault) -> Result<Pipeline, StorageError> {
    let pipeline = || {
        let json: WorkJson = from_json("job", work)?;
        let steps = json.pipeline.ok_or_else(|| damaged("job", "settings without a pipeline"))?;
        let text = unseal_text(vault, "job", &job_context_of(job), sealed)?;
        filled(&steps, from_json("job", text.reveal())?)
    };
    pipeline().map_err(|error: StorageError| error.in_row("jobs", JobId(job), job))
}

/// The number of a state; those below 2 are not final. Statements and partial indexes contain these numbers: they never
/// change.
pub fn job_state_code(state: JobState) -> i64 {
    match state {
        JobState::Running => 0,
        JobState::Paused => 1,
        JobState::Completed => 2,
        JobState::Cancelled => 3,
        JobState::Failed => 4,
    }
}

fn job_state_from_code(code: i64) -> Result<JobState, StorageError> {
    let state = JobState::ALL.into_iter().find(|state| job_state_code(*state) == code);
    state.ok_or_else(|| damaged("job", format_args!("there is no state {code}")))
}

/// What a job does, as JSON.
pub fn job_work_to_text(work: &JobWork) -> Result<String, StorageError> {
    let kind = work.kind().to_owned();
    to_json(&match work {
        JobWork::Replay(replay) => WorkJson {
            kind,
            hook: Some(replay.hook.0),
            types: replay.types.iter().map(ToString::to_string).collect(),
            states: names(&replay.states),
            since: Some(replay.since.0),
            until: Some(replay.until.0),
            missed: replay.missed,
            pipeline: replay.pipeline.as_ref().map(skeleton).transpose()?,
            ..WorkJson::default()
        },
        JobWork::Retry(filter) | JobWork::Cancel(filter) => WorkJson {
            kind,
            hook: filter.hook.map(|hook| hook.0),
            event: filter.event.as_ref().map(ToString::to_string),
            types: filter.event_type.iter().map(ToString::to_string).collect(),
            states: names(&filter.states),
            since: filter.since.map(|time| time.0),
            until: filter.until.map(|time| time.0),
            ..WorkJson::default()
        },
    })
}

fn names(states: &[crate::domain::DeliveryState]) -> Vec<String> {
    states.iter().map(|state| state.as_str().to_owned()).collect()
}

fn work_from_text(text: &str) -> Result<JobWork, StorageError> {
    let json: WorkJson = from_json("job", text)?;
    let types = json.types.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>();
    let mut types = types.map_err(|error| damaged("job", error))?;
    let states = json.states.iter().map(|text| text.parse()).collect::<Result<Vec<_>, _>>();
    let states = states.map_err(|error| damaged("job", error))?;
    let (since, until) = (json.since.map(UnixMillis), json.until.map(UnixMillis));
    if json.kind == "replay" {
        let (Some(hook), Some(since), Some(until)) = (json.hook.map(HookId), since, until) else {
            return Err(damaged("job", "a replay without its hook or times"));
        };
        let pipeline = json.pipeline.as_deref().map(pipeline_from_json).transpose()?;
        let missed = json.missed;
        return Ok(JobWork::Replay(Replay { hook, since, until, types, states, missed, pipeline }));
    }
    let filter = DeliveryFilter {
        states,
        hook: json.hook.map(HookId),
        event: json.event.as_deref().map(EventId::from_path),
        event_type: types.pop(),
        since,
        until,
    };
    match json.kind.as_str() {
        "retry" => Ok(JobWork::Retry(filter)),
        "cancel" => Ok(JobWork::Cancel(filter)),
        other => Err(damaged("job", format_args!("there is no kind {other}"))),
    }
}

/// Ids of deliveries as JSON.
pub fn ids_to_text(ids: &[DeliveryId]) -> Result<String, StorageError> {
    to_json(&ids.iter().map(|id| id.0).collect::<Vec<_>>())
}

/// A count as a column has it.
pub fn count_column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A job from its row.
pub fn job_from_row(row: JobRow) -> Result<Job, StorageError> {
    let id = JobId(row.0);
    job_of(row).map_err(|error| error.in_row("jobs", id, id.0))
}

fn job_of(row: JobRow) -> Result<Job, StorageError> {
    let (
        id,
        tenant,
        work,
        rate,
        started_by,
        state,
        reason,
        to,
        examined,
        made,
        next_due,
        outstanding,
        finished,
    ) = row;
    let count = |number: i64| u64::try_from(number).map_err(|error| damaged("job", error));
    let rate = u32::try_from(rate).map_err(|error| damaged("job", error))?;
    let outstanding: Vec<i64> = from_json("job", &outstanding)?;
    Ok(Job {
        id: JobId(id),
        tenant: TenantId(tenant),
        work: work_from_text(&work)?,
        rate: JobRate::from_1000_seconds(rate),
        started_by: started_by.map(KeyId),
        state: job_state_from_code(state)?,
        reason,
        progress: JobProgress {
            examined_to: to,
            examined: count(examined)?,
            made: count(made)?,
            next_due_at: UnixMillis(next_due),
            outstanding: outstanding.into_iter().map(DeliveryId).collect(),
        },
        finished_at: finished.map(UnixMillis),
    })
}
