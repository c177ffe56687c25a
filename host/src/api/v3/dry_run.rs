//! What dry runs share: `POST /hooks/{id}/preview`, `POST /hooks/{id}/compare` and `POST /plugins/{name}/run`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::openapi::{OneOfBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::comparison::{request_of, verdict_of};
use super::events::wire::EventInput;
use super::report::{BodyView, Headers, StepView};
use crate::api::auth::Caller;
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem, shorten};
use crate::api::v3::openapi::schemas;
use crate::api::{SharedApiState, json};
use crate::delivery::client::Connector;
use crate::delivery::{Pipelines, signing};
use crate::directory::Directory;
use crate::domain::{
    Event, EventId, EventKey, Header, HeaderList, Hook, Request, RequestBody, Scope, TenantId, Verdict,
};
use crate::presence::ClientPresence;
use crate::sandbox::{PipelineEnd, PipelineRun, SandboxError};
use crate::services::RequestLimits;
use crate::sources::Sources;
use crate::storage::Storage;

/// The schema of the member `event`, which has two forms. [`DryRuns`] parses the text itself.
pub(super) struct EventOrId;

impl PartialSchema for EventOrId {
    fn schema() -> RefOr<Schema> {
        let event = Ref::from_schema_name(EventInput::name());
        let description =
            "An event as in `POST /events`, or the id of a stored event, which requires `events:read`.";
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

/// The time limit for the body of a dry run, shorter than usual: the request holds one of the tenant's few
/// permits.
pub(super) const MAX_ARRIVAL: Duration = Duration::from_secs(30);
/// The time limit for resolving the host of the request's URL.
const MAX_LOOKUP: Duration = Duration::from_secs(5);
/// The time limit for the plugins of a dry run, including the time they wait for a thread.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The parts of the engine that dry runs use.
#[derive(Clone)]
pub(super) struct DryRuns {
    pub(super) sources: Sources,
    pub(super) directory: Arc<Directory>,
    pub(super) pipelines: Arc<Pipelines>,
    connector: Arc<Connector>,
    pub(super) storage: Storage,
    limits: Arc<RequestLimits>,
}

impl DryRuns {
    /// Runs `work`, which reads the body and runs the plugins, when the tenant has a free permit. Stops if
    /// the client disconnects.
    ///
    /// # Errors
    /// Fails if too many dry runs of the tenant are waiting, or if `work` fails.
    pub(super) async fn admit<T>(
        &self,
        tenant: TenantId,
        client: &ClientPresence,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let admitted = async {
            let _permit = self.limits.dry_runs.acquire(tenant).await?;
            work.await
        };
        // No client receives this response.
        let gone = || Err(Problem::new(Kind::RequestTimeout, "the client closed the connection"));
        client.or_gone(admitted).await.unwrap_or_else(gone)
    }

    /// Waits for the plugins of a dry run.
    ///
    /// # Errors
    /// Fails if the plugins take too long, or if the engine fails.
    pub(super) async fn finish(
        &self,
        run: impl Future<Output = Result<PipelineRun, SandboxError>>,
    ) -> Result<PipelineRun, Problem> {
        match tokio::time::timeout(TIMEOUT, run).await {
            Ok(run) => Ok(run?),
            Err(_) => {
                let detail = format!(
                    "the plugins did not finish within {} seconds, because deliveries have priority; try again later",
                    TIMEOUT.as_secs()
                );
                Err(Problem::new(Kind::Unavailable, detail))
            }
        }
    }

    /// The reasons why the hook would not send the request that its pipeline made for `event`.
    pub(super) async fn delivery_warnings(
        &self,
        hook: &Hook,
        event: &Event,
        run: &PipelineRun,
    ) -> Vec<String> {
        let mut warnings = mismatches(hook, event);
        if let PipelineEnd::Verdict(Verdict::Keep(request)) = &run.end {
            let refusal = self.connector.refusal(hook.tenant, &request.url);
            // A lookup that times out gives no warning.
            warnings.extend(tokio::time::timeout(MAX_LOOKUP, refusal).await.ok().flatten());
        }
        warnings
    }

    /// Parses the member `event`: an event, or the id of a stored event.
    ///
    /// # Errors
    /// Fails if the value is neither, or if `caller` may not read stored events. The pointer begins with
    /// `/event`.
    pub(super) async fn read(
        &self,
        event: &RawValue,
        caller: &Caller,
        tenant: TenantId,
    ) -> Result<Event, Problem> {
        let here = Pointer::to("event");
        match event.get().as_bytes().first() {
            Some(b'{') => self.parse_event(event, tenant).map_err(|problem| problem.under(&here)),
            Some(b'"') => self.find_event(event, caller.may(Scope::EventsRead)?, here).await,
            _ => {
                let rule = "expected an event as an object, or the id of a stored event as a string";
                Err(Problem::at(Kind::WrongType, here, rule))
            }
        }
    }

    async fn find_event(&self, id: &RawValue, tenant: TenantId, here: Pointer) -> Result<Event, Problem> {
        let Ok(id) = serde_json::from_str::<String>(id.get()) else {
            return Err(Problem::at(Kind::InvalidValue, here, "not the id of an event"));
        };
        let found = self.storage.events.event(tenant, &EventId::from_path(&id)).await?;
        found.ok_or_else(|| {
            Problem::at(Kind::InvalidValue, here, format!("there is no event `{}`", shorten(&id)))
        })
    }

    /// A stored event by the engine's id.
    pub(super) async fn stored(&self, tenant: TenantId, event: EventKey) -> Result<Option<Event>, Problem> {
        Ok(self.storage.events.event(tenant, &EventId::of_key(event)).await?)
    }

    fn parse_event(&self, event: &RawValue, tenant: TenantId) -> Result<Event, Problem> {
        let input: EventInput = json::parse_text(event.get())?;
        let incoming = input.check(tenant, &self.directory)?;
        let now = self.sources.now();
        let key = EventKey::generate(&self.sources.ids, now);
        Ok(Event {
            key,
            id: incoming.id.unwrap_or_else(|| EventId::of_key(key)),
            tenant,
            project: incoming.project,
            ordering_key: None,
            trace: None,
            event_type: incoming.event_type,
            occurred_at: incoming.occurred_at.unwrap_or(now),
            data: incoming.data,
        })
    }
}

/// The reasons why the hook would not get a delivery of `event`.
fn mismatches(hook: &Hook, event: &Event) -> Vec<String> {
    let mut why = Vec::new();
    if !hook.enabled {
        why.push("the hook is disabled, so it would get no delivery of this event".to_owned());
    }
    if hook.awaits_permission() {
        why.push(
            "the receiver has not allowed requests yet, so a delivery of this event would wait".to_owned(),
        );
    }
    if !hook.subscription.selects(&event.event_type) {
        let event_type = &event.event_type;
        why.push(format!(
            "the hook does not subscribe to events of type `{event_type}`, so it would get no delivery of this event"
        ));
    }
    if !hook.wants_project(event.project) {
        why.push(
            "the hook is limited to another project, so it would get no delivery of this event".to_owned(),
        );
    }
    why
}

impl FromRef<SharedApiState> for DryRuns {
    fn from_ref(shared: &SharedApiState) -> Self {
        Self {
            sources: FromRef::from_ref(shared),
            directory: FromRef::from_ref(shared),
            pipelines: FromRef::from_ref(shared),
            connector: FromRef::from_ref(shared),
            storage: FromRef::from_ref(shared),
            limits: FromRef::from_ref(shared),
        }
    }
}

/// The result of a dry run. Nothing was sent or stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DryRun)]
pub(super) struct DryRunView {
    /// `keep`, `drop`, or `fault` if a plugin failed; the last step then has the fault.
    #[schema(value_type = schemas::Verdict)]
    verdict: &'static str,
    /// The request that would be sent; null unless the verdict is `keep`.
    request: Option<RequestView>,
    /// The steps that ran, in order.
    steps: Vec<StepView>,
    /// Reasons why the event would not be delivered, for people: the hook is disabled, does not subscribe to
    /// the event, or may not send to the address.
    warnings: Vec<String>,
}

/// A request that a pipeline made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Request)]
pub(super) struct RequestView {
    /// The HTTP method.
    #[schema(example = "POST")]
    method: String,
    /// The absolute URL.
    url: String,
    /// The headers by name. Values of a repeated header are joined by `, `.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: Headers,
    #[serde(flatten)]
    body: BodyView,
}

impl DryRunView {
    /// `headers` returns the headers with which a request would be sent.
    pub(super) fn of(run: &PipelineRun, headers: impl FnOnce(&Request) -> HeaderList) -> Self {
        let request = request_of(run).map(|request| RequestView::of(request, &headers(request)));
        let steps = run.steps.iter().map(StepView::from).collect();
        Self { verdict: verdict_of(run), request, steps, warnings: Vec::new() }
    }

    /// Sets the warnings.
    pub(super) fn warning(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// Masks the signature of `hook`, under whichever name it has.
    pub(super) fn without_signature(mut self, hook: &Hook) -> Self {
        let name = hook.signature_headers().map_or(signing::SIGNATURE, |own| &own.signature);
        self.request =
            self.request.map(|request| RequestView { headers: request.headers.masked(&[name]), ..request });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Subscription, testing};

    #[test]
    fn a_hook_gets_operational_events_only_if_it_names_them() {
        for (pattern, event_type, is_wanted) in [
            ("*", "order.paid", true),
            ("*", "hookwright.hook.failing", false),
            ("hookwright.*", "hookwright.hook.failing", true),
            ("order.*", "hookwright.hook.failing", false),
        ] {
            let subscription = Subscription::new(vec![pattern.parse().unwrap()]).unwrap();
            let hook = Hook { subscription, ..testing::hook("https://example.com/") };
            let event = Event { event_type: event_type.parse().unwrap(), ..testing::event() };
            assert_eq!(mismatches(&hook, &event).is_empty(), is_wanted, "{pattern} {event_type}");
        }
    }
}
