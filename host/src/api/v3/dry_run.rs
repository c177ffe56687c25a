//! What the two dry runs have in common, `POST /hooks/{id}/preview` and `POST /plugins/{name}/run`: the event they
//! are given, and what they answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::openapi::{OneOfBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::events::wire::EventInput;
use super::report::{BodyView, Headers, StepView};
use crate::api::auth::Caller;
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem, shorten};
use crate::api::turns::Turns;
use crate::api::v3::openapi::schemas;
use crate::api::{Shared, json};
use crate::delivery::client::Connector;
use crate::delivery::{Pipelines, signing};
use crate::directory::Directory;
use crate::domain::{
    Event, EventId, EventKey, Header, HeaderList, Hook, Request, RequestBody, Scope, TenantId, Verdict,
};
use crate::presence::ClientPresence;
use crate::sandbox::{PipelineEnd, PipelineRun, SandboxError};
use crate::storage::Storage;

/// The two forms of the member `event`, for the description alone: [`DryRuns`] reads the text itself.
pub(super) struct EventOrId;

impl PartialSchema for EventOrId {
    fn schema() -> RefOr<Schema> {
        let event = Ref::from_schema_name(EventInput::name());
        let description = "An event as `POST /events` takes it, or the id of a stored one, for which the key needs `events:read`.";
        OneOfBuilder::new()
            .item(event)
            .item(Ref::from_schema_name(schemas::EventId::name()))
            .description(Some(description))
            .into()
    }
}

impl ToSchema for EventOrId {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((EventInput::name().into_owned(), EventInput::schema()));
        schemas.push((
            super::openapi::schemas::EventId::name().into_owned(),
            super::openapi::schemas::EventId::schema(),
        ));
    }
}

/// For how long the body of a dry run may take to arrive: it holds one of its tenant's few places meanwhile.
pub(super) const MAX_ARRIVAL: Duration = Duration::from_secs(30);
/// For how long the host of a request's URL may take to be looked up.
const MAX_LOOKUP: Duration = Duration::from_secs(5);
/// For how long the plugins of a dry run may wait for their turns and run.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What dry runs work with.
#[derive(Clone)]
pub(super) struct DryRuns {
    pub(super) directory: Arc<Directory>,
    pub(super) pipelines: Arc<Pipelines>,
    connector: Arc<Connector>,
    storage: Storage,
    turns: Arc<Turns>,
}

impl DryRuns {
    /// Does what a dry run takes, from reading its body on, when its tenant has a place for it, and only as long as its client
    /// is there.
    ///
    /// # Errors
    /// Where too many of the tenant's are under way already, and those of `work`.
    pub(super) async fn admit<T>(
        &self,
        tenant: TenantId,
        client: &ClientPresence,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let admitted = async {
            let _turn = self.turns.dry_runs.turn(tenant).await?;
            work.await
        };
        // Nobody reads this answer.
        let gone = || Err(Problem::new(Kind::RequestTimeout, "the connection was closed"));
        client.or_gone(admitted).await.unwrap_or_else(gone)
    }

    /// Waits for the plugins of a dry run.
    ///
    /// # Errors
    /// Where they take too long, or the engine itself failed.
    pub(super) async fn finish(
        &self,
        run: impl Future<Output = Result<PipelineRun, SandboxError>>,
    ) -> Result<PipelineRun, Problem> {
        match tokio::time::timeout(TIMEOUT, run).await {
            Ok(run) => Ok(run?),
            Err(_) => {
                let detail = format!(
                    "the plugins did not answer within {} seconds: deliveries go first; try again in a moment",
                    TIMEOUT.as_secs()
                );
                Err(Problem::new(Kind::Unavailable, detail))
            }
        }
    }

    /// Why a hook would not send what its pipeline wrote for `event`.
    pub(super) async fn obstacles(&self, hook: &Hook, event: &Event, run: &PipelineRun) -> Vec<String> {
        let mut obstacles = unwanted(hook, event);
        if let PipelineEnd::Verdict(Verdict::Keep(request)) = &run.end {
            let refusal = self.connector.refusal(hook.tenant, &request.url);
            // A name that takes longer to look up says nothing about where it leads.
            obstacles.extend(tokio::time::timeout(MAX_LOOKUP, refusal).await.ok().flatten());
        }
        obstacles
    }

    /// Reads the member `event`: one that is written out, or the id of one that is stored.
    ///
    /// # Errors
    /// Where it is neither, and the pointer begins with `/event`; or where it is stored and `caller` may not read it.
    pub(super) async fn read(
        &self,
        event: &RawValue,
        caller: &Caller,
        tenant: TenantId,
    ) -> Result<Event, Problem> {
        let here = Pointer::to("event");
        match event.get().as_bytes().first() {
            Some(b'{') => self.written_out(event, tenant).map_err(|problem| problem.under(&here)),
            Some(b'"') => self.stored(event, caller.may(Scope::EventsRead)?, here).await,
            _ => {
                let rule = "an event is an object, or a string: the id of a stored one";
                Err(Problem::at(Kind::WrongType, here, rule))
            }
        }
    }

    async fn stored(&self, id: &RawValue, tenant: TenantId, here: Pointer) -> Result<Event, Problem> {
        let Ok(id) = serde_json::from_str::<String>(id.get()) else {
            return Err(Problem::at(Kind::InvalidValue, here, "not the id of an event"));
        };
        let found = self.storage.events.event(tenant, &EventId::from_path(&id)).await?;
        found.ok_or_else(|| {
            Problem::at(Kind::InvalidValue, here, format!("there is no event `{}`", shorten(&id)))
        })
    }

    fn written_out(&self, event: &RawValue, tenant: TenantId) -> Result<Event, Problem> {
        let input: EventInput = json::parse_text(event.get())?;
        let incoming = input.check(tenant, &self.directory)?;
        let now = self.directory.clock().now();
        let key = EventKey::generate(self.directory.ids(), now);
        Ok(Event {
            key,
            id: incoming.id.unwrap_or_else(|| EventId::of_key(key)),
            tenant,
            project: incoming.project,
            event_type: incoming.event_type,
            occurred_at: incoming.occurred_at.unwrap_or(now),
            data: incoming.data,
        })
    }
}

/// Why a hook would make no delivery of `event`.
fn unwanted(hook: &Hook, event: &Event) -> Vec<String> {
    let mut why = Vec::new();
    if !hook.enabled {
        why.push("the hook is disabled: it makes no deliveries of new events".to_owned());
    }
    if !hook.subscription.matches(&event.event_type) {
        let event_type = &event.event_type;
        why.push(format!(
            "the hook does not want events of the type `{event_type}`: it makes no delivery of this one"
        ));
    }
    if !hook.wants_project(event.project) {
        why.push("the hook wants events of another project: it makes no delivery of this one".to_owned());
    }
    why
}

impl FromRef<Shared> for DryRuns {
    fn from_ref(shared: &Shared) -> Self {
        Self {
            directory: FromRef::from_ref(shared),
            pipelines: FromRef::from_ref(shared),
            connector: FromRef::from_ref(shared),
            storage: FromRef::from_ref(shared),
            turns: FromRef::from_ref(shared),
        }
    }
}

/// What a dry run came to. Nothing was sent or stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DryRun)]
pub(super) struct DryRunView {
    /// `keep`, `drop`, or `fault` where a plugin failed; see the last step for how.
    #[schema(value_type = schemas::Verdict)]
    verdict: &'static str,
    /// What would be sent; null unless the verdict is `keep`.
    request: Option<RequestView>,
    /// The steps that ran, in order.
    steps: Vec<StepView>,
    /// Why the event would not arrive all the same, in words: the hook is disabled, does not want the event, or may not send to
    /// that address.
    warnings: Vec<String>,
}

/// A request that a pipeline wrote.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Request)]
pub(super) struct RequestView {
    #[schema(example = "POST")]
    method: String,
    url: String,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: Headers,
    #[serde(flatten)]
    body: BodyView,
}

impl DryRunView {
    /// `headers` says which headers a request would be sent with.
    pub(super) fn of(run: &PipelineRun, headers: impl FnOnce(&Request) -> HeaderList) -> Self {
        let (verdict, request) = match &run.end {
            PipelineEnd::Verdict(Verdict::Keep(request)) => {
                ("keep", Some(RequestView::of(request, &headers(request))))
            }
            PipelineEnd::Verdict(Verdict::Drop { .. }) => ("drop", None),
            PipelineEnd::Fault { .. } => ("fault", None),
        };
        let steps = run.steps.iter().map(StepView::from).collect();
        Self { verdict, request, steps, warnings: Vec::new() }
    }

    /// With these warnings.
    pub(super) fn warning(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// With the signature's value masked.
    pub(super) fn without_signature(mut self) -> Self {
        self.request = self
            .request
            .map(|request| RequestView { headers: request.headers.masked(&[signing::SIGNATURE]), ..request });
        self
    }
}

impl RequestView {
    fn of(request: &Request, headers: &[Header]) -> Self {
        Self {
            method: request.method.to_string(),
            url: request.url.clone(),
            headers: Headers::new(headers),
            body: match &request.body {
                RequestBody::None => BodyView::none(),
                body => BodyView::of(body.as_bytes()),
            },
        }
    }
}
