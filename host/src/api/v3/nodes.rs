//! `GET /nodes`: the processes that accept and deliver.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::SharedApiState;
use crate::api::auth::Caller;
use crate::api::params::NoParams;
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::storage::{NodeStatus, Storage};

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(list_nodes))
}

/// All nodes.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeList {
    /// The nodes; those that have ended come last.
    data: Vec<NodeView>,
}

/// A node: a process that accepts events and delivers them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Node)]
pub struct NodeView {
    /// Its number, which is part of the ids that it generates.
    number: u16,
    /// `alive`; `draining`, while it shuts down; `silent`, if it has not shown for five seconds that it is alive; `ended`, if
    /// it was shut down or others took over its work.
    #[schema(example = "alive")]
    state: &'static str,
    /// The version of its engine; null if it is not known.
    version: Option<String>,
    /// Where its API listens.
    #[schema(example = "10.0.0.7:8080")]
    address: String,
    /// When it started; null if it is not known.
    started_at: Option<Time>,
    /// When it last showed that it is alive, by the database's clock; null if it is not known.
    last_beat_at: Option<Time>,
    /// Deliveries that it has in memory, queued or in flight; null if it does not say so.
    deliveries_in_memory: Option<u64>,
    /// Deliveries between the start of an attempt and its record; null if it does not say so.
    deliveries_in_flight: Option<u64>,
    /// Hooks whose due deliveries are its own; null if it does not say so.
    owned_hooks: Option<u64>,
    /// Events that it accepted each second, over the last five seconds; null if it does not say so.
    accepted_per_second: Option<f64>,
}

impl NodeList {
    /// The list of these.
    #[must_use]
    pub fn of(nodes: &[NodeStatus]) -> Self {
        Self { data: nodes.iter().map(NodeView::of).collect() }
    }
}

impl NodeView {
    fn of(node: &NodeStatus) -> Self {
        let activity = node.activity.as_ref();
        Self {
            number: node.node.0,
            state: node.state.as_str(),
            version: node.version.clone(),
            address: node.address.clone(),
            started_at: node.started_at.map(Time),
            last_beat_at: node.last_beat_at.map(Time),
            deliveries_in_memory: activity.map(|activity| activity.deliveries_in_memory),
            deliveries_in_flight: activity.map(|activity| activity.deliveries_in_flight),
            owned_hooks: activity.and_then(|activity| activity.owned_hooks),
            accepted_per_second: activity.map(|activity| activity.accepted_per_second),
        }
    }
}

/// List the nodes
///
/// Requires the operator's key. With SQLite there is one node.
#[utoipa::path(get, path = "/api/v3/nodes", tag = "engine", responses((status = 200, description = "All nodes", body = NodeList)))]
pub(super) async fn list_nodes(
    State(storage): State<Storage>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<NodeList>, Problem> {
    caller.must_read_as_operator()?;
    Ok(Json(NodeList::of(&storage.nodes.nodes().await?)))
}
