//! Attempts from and to columns. The parts that vary by outcome are compact JSON.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::values::{JsonMaker, damaged, from_json};
use crate::domain::attempt::{LogLine, ResolvedPlugin};
use crate::domain::{
    Attempt, AttemptId, BatchPlace, BodyFailure, DeliveryId, Fault, HeaderList, LastAttempt, Outcome,
    Response, SentRequest, ShortText, StepOutput, StepReport, UnixMillis,
};
use crate::storage::StorageError;

/// The columns of an attempt, in the order of its table.
pub type AttemptColumns =
    (i64, i64, i64, i64, i64, String, Option<i64>, String, Option<Vec<u8>>, Option<String>, Option<String>);

/// Id, delivery, number, outcome and status of an attempt, and its detail if it got no response.
pub type LastAttemptColumns = (i64, i64, i64, String, Option<i64>, Option<String>);

/// An attempt ready to be written. sqlx binds its texts without a copy.
#[derive(Debug)]
pub struct AttemptRow {
    pub id: i64,
    pub delivery: i64,
    pub number: u32,
    pub started_at: i64,
    pub duration_ns: i64,
    pub outcome: Arc<str>,
    pub status: Option<u16>,
    pub detail: Arc<str>,
    pub body: Option<Vec<u8>>,
    pub steps: Option<Arc<str>>,
    pub request: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
struct RequestJson {
    method: ShortText,
    url: String,
    headers: HeaderList,
    body_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_kept_until: Option<i64>,
    /// The number of events, and which one it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<(u32, u32)>,
}

#[derive(Serialize, Deserialize)]
struct ResponseJson {
    headers: HeaderList,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    /// Kind and message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<(String, String)>,
}

/// A member of every outcome's detail if the attempt's record was cut.
#[derive(Deserialize)]
struct CutJson {
    #[serde(default)]
    cut: bool,
}

/// Adds the member to `detail`, a JSON object with at least one member. Few records are cut, so the types do without it.
fn mark_cut(detail: &str) -> Arc<str> {
    let members = detail.strip_suffix('}').unwrap_or(detail);
    format!("{members},\"cut\":true}}").into()
}

#[derive(Serialize, Deserialize)]
struct TimedOutJson {
    after_ns: u64,
}

#[derive(Serialize, Deserialize)]
struct UnreachableJson {
    kind: String,
    message: String,
}

#[derive(Serialize, Deserialize)]
struct FaultedJson {
    step: usize,
    fault: FaultJson,
}

#[derive(Serialize, Deserialize)]
struct DroppedJson {
    step: usize,
}

#[derive(Serialize, Deserialize)]
struct FaultJson {
    kind: String,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retryable: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    backtrace: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct StepJson {
    plugin: String,
    /// Name, version and digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resolved: Option<(String, u32, String)>,
    roles: Vec<String>,
    fuel: u64,
    #[serde(default)]
    granted: u64,
    ns: u64,
    memory: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    logs: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<FaultJson>,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl AttemptRow {
    /// The columns of `attempt`.
    pub fn new(attempt: Attempt, json: &mut JsonMaker) -> Result<Self, StorageError> {
        let (outcome, status, mut detail, body) = outcome_columns(attempt.outcome, json)?;
        if attempt.cut {
            detail = mark_cut(&detail);
        }
        let steps: Vec<StepJson> = attempt.steps.into_iter().map(step_to_json).collect();
        let request = attempt.request.map(|sent| {
            let SentRequest { method, url, headers, body_bytes, body_kept_until, batch } = sent;
            let body_kept_until = body_kept_until.map(|time| time.0);
            let batch = batch.map(|place| (place.events, place.position));
            json.text(&RequestJson { method, url, headers, body_bytes, body_kept_until, batch })
        });
        Ok(Self {
            id: attempt.id.0,
            delivery: attempt.delivery.0,
            number: attempt.number,
            started_at: attempt.started_at.0,
            duration_ns: i64::try_from(nanos(attempt.duration)).unwrap_or(i64::MAX),
            outcome,
            status,
            detail,
            body,
            steps: (!steps.is_empty()).then(|| json.text(&steps)).transpose()?,
            request: request.transpose()?,
        })
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        let body = self.body.as_ref().map_or(0, Vec::len);
        self.detail.len() + body + text(&self.steps) + text(&self.request)
    }
}

type OutcomeColumns = (Arc<str>, Option<u16>, Arc<str>, Option<Vec<u8>>);

/// The outcome of nearly all attempts.
static RESPONSE: LazyLock<Arc<str>> = LazyLock::new(|| "response".into());

fn outcome_columns(outcome: Outcome, json: &mut JsonMaker) -> Result<OutcomeColumns, StorageError> {
    Ok(match outcome {
        Outcome::Response(Response { status, headers, body, body_truncated: truncated, body_failure }) => {
            let body = (!body.is_empty()).then_some(body);
            let failure = body_failure.map(|failure| (failure.kind.as_str().to_owned(), failure.message));
            (RESPONSE.clone(), Some(status), json.text(&ResponseJson { headers, truncated, failure })?, body)
        }
        Outcome::TimedOut { after } => {
            ("timed-out".into(), None, json.text(&TimedOutJson { after_ns: nanos(after) })?, None)
        }
        Outcome::Unreachable { kind, message } => {
            let detail = UnreachableJson { kind: kind.as_str().to_owned(), message };
            ("unreachable".into(), None, json.text(&detail)?, None)
        }
        Outcome::Faulted { step, fault } => {
            ("faulted".into(), None, json.text(&FaultedJson { step, fault: fault_to_json(fault) })?, None)
        }
        Outcome::Dropped { step } => ("dropped".into(), None, json.text(&DroppedJson { step })?, None),
    })
}

fn fault_to_json(fault: Fault) -> FaultJson {
    let Fault { kind, message, code, retryable, backtrace } = fault;
    FaultJson { kind: kind.as_str().to_owned(), message, code, retryable, backtrace }
}

fn step_to_json(step: StepReport) -> StepJson {
    StepJson {
        plugin: step.plugin.to_string(),
        resolved: step.resolved.map(|it| (it.name.to_string(), it.version, it.digest.to_string())),
        roles: step.roles.into_iter().map(|role| role.as_str().to_owned()).collect(),
        fuel: step.fuel,
        granted: step.fuel_granted,
        ns: nanos(step.duration),
        memory: step.memory_bytes,
        logs: step.logs.into_iter().map(|line| (line.level.as_str().to_owned(), line.message)).collect(),
        fault: step.fault.map(fault_to_json),
    }
}

/// An attempt from its columns.
pub fn attempt_from_columns(columns: AttemptColumns) -> Result<Attempt, StorageError> {
    let id = AttemptId(columns.0);
    attempt_of(columns).map_err(|error| error.in_row("attempts", id, id.0))
}

fn attempt_of(columns: AttemptColumns) -> Result<Attempt, StorageError> {
    let (id, delivery, number, started_at, duration_ns, outcome, status, detail, body, steps, request) =
        columns;
    let steps: Vec<StepJson> = steps.map_or(Ok(Vec::new()), |text| from_json("attempt", &text))?;
    let request = request.map(|text| from_json::<RequestJson>("attempt", &text)).transpose()?;
    Ok(Attempt {
        id: AttemptId(id),
        delivery: DeliveryId(delivery),
        number: u32::try_from(number).map_err(|error| damaged("attempt", error))?,
        started_at: UnixMillis(started_at),
        duration: Duration::from_nanos(duration_ns.unsigned_abs()),
        steps: steps.into_iter().map(step_from_json).collect::<Result<_, _>>()?,
        request: request.map(|sent| {
            let RequestJson { method, url, headers, body_bytes, body_kept_until, batch } = sent;
            let body_kept_until = body_kept_until.map(UnixMillis);
            let batch = batch.map(|(events, position)| BatchPlace { events, position });
            SentRequest { method, url, headers, body_bytes, body_kept_until, batch }
        }),
        outcome: outcome_from_columns(&outcome, status, &detail, body)?,
        cut: from_json::<CutJson>("attempt", &detail)?.cut,
    })
}

/// The last attempts of deliveries from their columns. A damaged one is left out: the list has other rows, and who opens the
/// delivery gets the error.
pub fn last_attempts_from_columns(rows: Vec<LastAttemptColumns>) -> HashMap<DeliveryId, LastAttempt> {
    let last = |row: LastAttemptColumns| Some((DeliveryId(row.1), last_attempt_of(row).ok()?));
    rows.into_iter().filter_map(last).collect()
}

fn last_attempt_of(columns: LastAttemptColumns) -> Result<LastAttempt, StorageError> {
    let (_, _, number, outcome, status, detail) = columns;
    let number = u32::try_from(number).map_err(|error| damaged("attempt", error))?;
    let Some(detail) = detail else {
        let status = status.map(u16::try_from).transpose().map_err(|error| damaged("attempt", error))?;
        return Ok(LastAttempt { number, outcome: "response", status, error: None });
    };
    let outcome = outcome_from_columns(&outcome, None, &detail, None)?;
    Ok(LastAttempt::without_response(number, &outcome))
}

fn outcome_from_columns(
    outcome: &str,
    status: Option<i64>,
    detail: &str,
    body: Option<Vec<u8>>,
) -> Result<Outcome, StorageError> {
    Ok(match outcome {
        "response" => {
            let ResponseJson { headers, truncated, failure } = from_json("attempt", detail)?;
            let status = u16::try_from(status.unwrap_or(0)).map_err(|error| damaged("attempt", error))?;
            let failure = failure.map(|(kind, message)| {
                let kind = kind.parse().map_err(|error| damaged("attempt", error))?;
                Ok::<_, StorageError>(BodyFailure { kind, message })
            });
            let (body, body_failure) = (body.unwrap_or_default(), failure.transpose()?);
            Outcome::Response(Response { status, headers, body, body_truncated: truncated, body_failure })
        }
        "timed-out" => {
            let TimedOutJson { after_ns } = from_json("attempt", detail)?;
            Outcome::TimedOut { after: Duration::from_nanos(after_ns) }
        }
        "unreachable" => {
            let UnreachableJson { kind, message } = from_json("attempt", detail)?;
            Outcome::Unreachable { kind: kind.parse().map_err(|error| damaged("attempt", error))?, message }
        }
        "faulted" => {
            let FaultedJson { step, fault } = from_json("attempt", detail)?;
            Outcome::Faulted { step, fault: fault_from_json(fault)? }
        }
        "dropped" => {
            let DroppedJson { step } = from_json("attempt", detail)?;
            Outcome::Dropped { step }
        }
        other => return Err(damaged("attempt", format_args!("there is no outcome `{other}`"))),
    })
}

fn fault_from_json(fault: FaultJson) -> Result<Fault, StorageError> {
    let FaultJson { kind, message, code, retryable, backtrace } = fault;
    let kind = kind.parse().map_err(|error| damaged("attempt", error))?;
    Ok(Fault { kind, message, code, retryable, backtrace })
}

fn step_from_json(step: StepJson) -> Result<StepReport, StorageError> {
    let bad = |error: crate::domain::Invalid| damaged("attempt", error);
    let resolved = step.resolved.map(|(name, version, digest)| {
        let (name, digest) = (name.parse().map_err(bad)?, digest.parse().map_err(bad)?);
        Ok::<_, StorageError>(ResolvedPlugin { name, version, digest })
    });
    let logs = step.logs.into_iter().map(|(level, message)| {
        Ok::<_, StorageError>(LogLine { level: level.parse().map_err(bad)?, message })
    });
    Ok(StepReport {
        plugin: step.plugin.parse().map_err(bad)?,
        resolved: resolved.transpose()?,
        roles: step.roles.iter().map(|role| role.parse().map_err(bad)).collect::<Result<_, _>>()?,
        fuel: step.fuel,
        fuel_granted: step.granted,
        duration: Duration::from_nanos(step.ns),
        memory_bytes: step.memory,
        output: StepOutput::default(),
        logs: logs.collect::<Result<_, _>>()?,
        fault: step.fault.map(fault_from_json).transpose()?,
    })
}
