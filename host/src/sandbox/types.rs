//! Input and output types of the sandbox.

use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::domain::attempt::ResolvedPlugin;
use crate::domain::{Digest, Event, Fault, HookId, PluginRef, Request, Roles, StepReport, TenantId, Verdict};

/// Source of plugins' bytes, for plugins without compiled code.
#[async_trait]
pub trait WasmSource: Send + Sync {
    /// Returns the bytes as uploaded; `None` if they have been deleted; `Err` with a message if they cannot be read.
    async fn wasm(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String>;

    /// Returns the owners of the plugin, for fair shares of the disk. Must not block.
    fn owners(&self, _digest: &Digest) -> Owners {
        Owners::Unowned
    }
}

/// Owners of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// It is a standard plugin.
    Engine,
    /// These tenants uploaded it. There is at least one.
    Tenants(Vec<TenantId>),
    /// It has been deleted, or was never stored.
    Unowned,
}

/// Properties of an accepted upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// SHA-256 of the upload.
    pub digest: Digest,
    /// The roles that it exports.
    pub roles: Roles,
    /// Names of the interfaces that it imports.
    pub imports: Vec<String>,
    /// Size of the upload.
    pub size_bytes: u64,
    /// Hints about probable mistakes.
    pub warnings: Vec<String>,
}

/// What a pipeline runs for. Threads are shared fairly between tenants, and between the sources of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A delivery of this hook.
    Hook(HookId),
    /// A dry run. Deliveries of the same tenant have priority, fewer dry runs may wait, and one whose caller is gone is
    /// stopped.
    DryRun,
}

/// A pipeline to run for one event.
pub struct PipelineJob {
    /// What it runs for.
    pub source: Source,
    /// The event. Its tenant is charged with the cost.
    pub event: Arc<Event>,
    /// The event's attributes for the plugins: names and values.
    pub attributes: Vec<(String, String)>,
    /// The request that is sent if no plugin changes it.
    pub draft: Request,
    /// The steps in order.
    pub steps: Vec<PreparedStep>,
    /// Keys for `secrets.hmac-sha256`, by name.
    pub secrets: Vec<(String, Zeroizing<Vec<u8>>)>,
}

/// A step with its resolved plugin.
pub struct PreparedStep {
    /// The reference in the hook's pipeline.
    pub plugin: PluginRef,
    /// The resolved reference; a fault of kind `unavailable` if there is no such plugin.
    pub resolved: Result<ResolvedPlugin, Fault>,
    /// The settings, a JSON object.
    pub settings: Arc<str>,
}

/// Result of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineRun {
    /// A report for each step that ran, in order. The last is the step that ended the pipeline.
    pub steps: Vec<StepReport>,
    /// How it ended.
    pub end: PipelineEnd,
}

/// How a pipeline ended.
#[derive(Debug, Clone, PartialEq)]
pub enum PipelineEnd {
    /// All steps ran, or one dropped the delivery.
    Verdict(Verdict),
    /// A step failed.
    Fault {
        /// The index of the step, counted from 0.
        step: usize,
        /// The failure.
        fault: Fault,
    },
}
