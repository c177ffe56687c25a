//! The state that handlers share.

use std::sync::Arc;

use axum::extract::FromRef;

use super::auth::AdminKeyHash;
use super::downloads::Downloads;
use super::request_limits::RequestLimits;
use super::uploads::Uploads;
use super::v1_project_web_hook::UsedPasswords;
use crate::delivery::client::Connector;
use crate::delivery::{Dispatcher, Pipelines};
use crate::directory::Directory;
use crate::ingest::Ingest;
use crate::sandbox::Sandbox;
use crate::storage::Storage;
use crate::vault::Vault;

/// The parts of the engine that handlers use.
#[derive(Clone)]
pub struct ApiState {
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
    /// Schedules deliveries; handlers wake it when a delivery may be due.
    pub dispatcher: Arc<Dispatcher>,
    /// Signs the engine's own tokens.
    pub vault: Arc<Vault>,
    /// Limits on the concurrent requests of a tenant.
    pub request_limits: Arc<RequestLimits>,
    /// One-time passwords of [`super::v1_project_web_hook`] that have been used.
    pub used_passwords: Arc<UsedPasswords>,
    /// Serves the bytes of plugins.
    pub downloads: Arc<Downloads>,
    /// Receives uploads of plugins.
    pub uploads: Arc<Uploads>,
    /// SHA-256 of the operator's key.
    pub admin_key_hash: [u8; 32],
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
    Arc<Directory>: directory,
    Storage: storage,
    Arc<Ingest>: ingest,
    Arc<Pipelines>: pipelines,
    Arc<Connector>: connector,
    Sandbox: sandbox,
    Arc<Dispatcher>: dispatcher,
    Arc<Vault>: vault,
    Arc<RequestLimits>: request_limits,
    Arc<Downloads>: downloads,
    Arc<Uploads>: uploads,
    Arc<UsedPasswords>: used_passwords,
}

impl FromRef<SharedApiState> for AdminKeyHash {
    fn from_ref(shared: &SharedApiState) -> Self {
        Self(shared.0.admin_key_hash)
    }
}
