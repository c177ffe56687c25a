//! The workers that make attempts.

use std::sync::Arc;

use crate::clients::Budget;
use crate::delivery::client::DeliveryClient;
use crate::delivery::oauth::Tokens;
use crate::delivery::worker::Worker;
use crate::delivery::{HookHealthMonitor, HookStats, MaskedHeaders, Notices, Pipelines, Recorder};
use crate::directory::Directory;
use crate::sandbox::Sandbox;
use crate::sources::Sources;
use crate::traces::Traces;

/// How many bytes of memory the large requests to receivers may take.
const REQUESTS_UNDER_WAY_BYTES: usize = 64 << 20;

/// A worker for each client. They share one budget.
pub(super) fn make(
    masked_headers: &Arc<MaskedHeaders>,
    clients: Vec<DeliveryClient>,
    sources: &Sources,
    directory: &Arc<Directory>,
    (sandbox, recorder): (&Sandbox, &Recorder),
    (health, notices, stats, traces): (&Arc<HookHealthMonitor>, &Notices, &Arc<HookStats>, &Traces),
) -> Vec<Worker> {
    let memory = Budget::new(REQUESTS_UNDER_WAY_BYTES);
    let tokens = Arc::<Tokens>::default();
    let worker = |client| Worker {
        sources: sources.clone(),
        directory: Arc::clone(directory),
        pipelines: Pipelines::new(Arc::clone(directory), sandbox.clone()).metered(health, sources),
        client,
        tokens: Arc::clone(&tokens),
        recorder: recorder.clone(),
        health: Arc::clone(health),
        notices: notices.clone(),
        stats: Arc::clone(stats),
        memory: Arc::clone(&memory),
        traces: traces.clone(),
        masked_headers: Arc::clone(masked_headers),
    };
    clients.into_iter().map(worker).collect()
}
