//! What goes into the sandbox and what comes out of it.

use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::domain::attempt::ResolvedPlugin;
use crate::domain::{Digest, Event, Fault, HookId, PluginRef, Request, Roles, StepReport, TenantId, Verdict};

/// Where the sandbox finds a plugin's bytes when it has no compiled code for them.
#[async_trait]
pub trait WasmSource: Send + Sync {
    /// The bytes as uploaded; `None` if nobody has them any more; `Err` says in words why they cannot be read.
    async fn wasm(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String>;

    /// Who has the plugin, for fair shares of the disk. Answers at once.
    fn owners(&self, _digest: &Digest) -> Owners {
        Owners::Nobody
    }
}

/// Who has a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// It ships with the engine.
    Engine,
    /// These tenants uploaded it; there is one at least.
    Tenants(Vec<TenantId>),
    /// It has been deleted, or was never stored.
    Nobody,
}

/// What an upload turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// SHA-256 of the upload.
    pub digest: Digest,
    /// What it exports.
    pub roles: Roles,
    /// The names of the interfaces that it imports.
    pub imports: Vec<String>,
    /// The size of the upload.
    pub size_bytes: u64,
    /// What is probably not as its author means it, in words.
    pub warnings: Vec<String>,
}

/// For what a pipeline runs. Tenants take turns, and so do the sources of one tenant's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A delivery of this hook.
    Hook(HookId),
    /// Somebody who wants to see what it would do. Deliveries of the same tenant go first, fewer of these may wait, and
    /// one that nobody waits for any more is stopped.
    DryRun,
}

/// A pipeline to run for one event.
pub struct PipelineJob {
    /// For what it runs.
    pub source: Source,
    /// The event; its tenant decides whose turn it is.
    pub event: Arc<Event>,
    /// The event's attributes for the plugins: names and values.
    pub attributes: Vec<(String, String)>,
    /// What would be sent if there were no plugin.
    pub draft: Request,
    /// The steps in order.
    pub steps: Vec<PreparedStep>,
    /// Keys for the plugins' `secrets.hmac-sha256`, by name.
    pub secrets: Vec<(String, Zeroizing<Vec<u8>>)>,
}

/// A step whose plugin has been looked up.
pub struct PreparedStep {
    /// The reference in the hook's pipeline.
    pub plugin: PluginRef,
    /// What it stands for; a fault of kind `unavailable` if it stands for nothing.
    pub resolved: Result<ResolvedPlugin, Fault>,
    /// The settings, a JSON object.
    pub settings: Arc<str>,
}

/// What came of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineRun {
    /// One report for each step that ran, in order; the last is the one that ended it.
    pub steps: Vec<StepReport>,
    /// How it ended.
    pub end: PipelineEnd,
}

/// How a pipeline ended.
#[derive(Debug, Clone, PartialEq)]
pub enum PipelineEnd {
    /// With a verdict.
    Verdict(Verdict),
    /// A step failed.
    Fault {
        /// The index of the step, counted from 0.
        step: usize,
        /// How it failed.
        fault: Fault,
    },
}
