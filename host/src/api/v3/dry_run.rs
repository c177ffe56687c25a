//! What the two dry runs have in common, `POST /hooks/{id}/preview` and `POST /plugins/{name}/run`: the event they
//! are given, and what they answer.

use std::sync::Arc;

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
use crate::api::{Shared, json};
use crate::delivery::signing;
use crate::directory::Directory;
use crate::domain::{
    Event, EventId, EventKey, Header, HeaderList, Request, RequestBody, Scope, TenantId, Verdict,
};
use crate::sandbox::{PipelineEnd, PipelineRun};
use crate::storage::Storage;

/// The two forms of the member `event`, for the description alone: [`Events`] reads the text itself.
pub(super) struct EventOrId;

impl PartialSchema for EventOrId {
    fn schema() -> RefOr<Schema> {
        let event = Ref::from_schema_name(EventInput::name());
        let description = "An event as `POST /events` takes it, or the id of a stored one, for which the key needs `events:read`.";
        OneOfBuilder::new().item(event).item(String::schema()).description(Some(description)).into()
    }
}

impl ToSchema for EventOrId {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((EventInput::name().into_owned(), EventInput::schema()));
    }
}

/// What is needed to read the event of a dry run.
#[derive(Clone)]
pub(super) struct Events {
    pub(super) directory: Arc<Directory>,
    storage: Storage,
}

impl Events {
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

impl FromRef<Shared> for Events {
    fn from_ref(shared: &Shared) -> Self {
        Self { directory: FromRef::from_ref(shared), storage: FromRef::from_ref(shared) }
    }
}

/// What a dry run came to. Nothing was sent or stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DryRun)]
pub(super) struct DryRunView {
    /// `keep`, `drop`, or `fault` where a plugin failed; see the last step for how.
    #[schema(example = "keep")]
    verdict: &'static str,
    /// What would be sent; null unless the verdict is `keep`.
    request: Option<RequestView>,
    /// The steps that ran, in order.
    steps: Vec<StepView>,
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
        Self { verdict, request, steps: run.steps.iter().map(StepView::from).collect() }
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
