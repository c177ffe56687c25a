//! The state that handlers share.

use std::sync::Arc;

use axum::extract::FromRef;

use super::auth::AdminKeyHash;
use super::downloads::Downloads;
use super::sessions::{ConsoleUrl, Sessions};
use super::uploads::Uploads;
use super::v1_project_web_hook::UsedPasswords;
use crate::delivery::client::Connector;
use crate::delivery::{LiveChanges, Pipelines};
use crate::directory::Directory;
use crate::ingest::Ingest;
use crate::sandbox::Sandbox;
use crate::services::{
    DeliveryService, EngineFigures, HookService, HookStates, JobService, OtherNodes, Readiness,
    RequestLimits, Services, SettingsTrial, TenantService,
};
use crate::sources::Sources;
use crate::storage::Storage;
use crate::traces::Traces;
use crate::vault::Vault;

/// The parts of the engine that handlers use.
#[derive(Clone)]
pub struct ApiState {
    /// The clock and the generators of ids and random numbers.
    pub sources: Sources,
    /// Tenants, keys, hooks, plugins.
    pub directory: Arc<Directory>,
    /// Events and deliveries on disk.
    pub storage: Storage,
    /// Accepts events.
    pub ingest: Arc<Ingest>,
    /// Runs pipelines without sending anything.
    pub pipelines: Arc<Pipelines>,
    /// Knows the egress policy.
    pub connector: Arc<Connector>,
    /// Inspects uploads.
    pub sandbox: Sandbox,
    /// Changes deliveries and hooks.
    pub services: Services,
    /// Signs the engine's own tokens.
    pub vault: Arc<Vault>,
    /// Seals and opens sessions of the console.
    pub sessions: Arc<Sessions>,
    /// Where the console is.
    pub console_url: ConsoleUrl,
    /// Tells what happens to deliveries.
    pub live: Arc<LiveChanges>,
    /// Finds out what other nodes do to them.
    pub other_nodes: OtherNodes,
    /// One-time passwords of [`super::v1_project_web_hook`] that have been used.
    pub used_passwords: Arc<UsedPasswords>,
    /// Serves the bytes of plugins.
    pub downloads: Arc<Downloads>,
    /// Receives uploads of plugins.
    pub uploads: Arc<Uploads>,
    /// Takes spans.
    pub traces: Traces,
    /// What probes ask.
    pub readiness: Arc<Readiness>,
    /// What operators watch.
    pub figures: Arc<EngineFigures>,
    /// The operator's key of the settings, or the generated one.
    pub admin_key: AdminKeyHash,
}

/// [`ApiState`] behind a pointer. A request clones the pointer, and only the parts that its handler extracts.
#[derive(Clone)]
pub struct SharedApiState(pub(super) Arc<ApiState>);

impl SharedApiState {
    /// Wraps the state.
    pub(super) fn new(state: ApiState) -> Self {
        Self(Arc::new(state))
    }
}

macro_rules! parts {
    ($($part:ty: $field:ident),+ $(,)?) => {
        $(impl FromRef<SharedApiState> for $part {
            fn from_ref(shared: &SharedApiState) -> Self {
                shared.0.$field.clone()
            }
        })+
    };
}

parts! {
    Sources: sources,
    Arc<Directory>: directory,
    Storage: storage,
    Arc<Ingest>: ingest,
    Arc<Pipelines>: pipelines,
    Arc<Connector>: connector,
    Sandbox: sandbox,
    Services: services,
    Arc<Vault>: vault,
    Arc<Sessions>: sessions,
    ConsoleUrl: console_url,
    Arc<LiveChanges>: live,
    OtherNodes: other_nodes,
    Arc<Downloads>: downloads,
    Arc<Uploads>: uploads,
    Arc<UsedPasswords>: used_passwords,
    Arc<Readiness>: readiness,
    Arc<EngineFigures>: figures,
    Traces: traces,
}

macro_rules! services {
    ($($part:ty: $field:ident),+ $(,)?) => {
        $(impl FromRef<SharedApiState> for $part {
            fn from_ref(shared: &SharedApiState) -> Self {
                shared.0.services.$field.clone()
            }
        })+
    };
}

services! {
    DeliveryService: deliveries,
    HookService: hooks,
    HookStates: hook_states,
    JobService: jobs,
    TenantService: tenants,
    SettingsTrial: trial,
    Arc<RequestLimits>: limits,
}

impl FromRef<SharedApiState> for AdminKeyHash {
    fn from_ref(shared: &SharedApiState) -> Self {
        shared.0.admin_key
    }
}
