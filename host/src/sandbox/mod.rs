//! Runs tenants' code: the only part of the engine that names wasmtime.
//!
//! ```text
//! upload → size, first bytes → (in a process of its own: wrap → count → validate, contract → compile) → disk → link → try out
//!   → Inspected
//! job → plugins by digest (memory, disk, or compile) → queue, tenants in turn → thread → step by step → PipelineRun
//! ```
//!
//! Every call has a fresh instance, and what it may use is bounded by [`Limits`]: fuel first, then
//! processor time, memory, tables, output, log. It sees the event, its settings, a log, keyed
//! hashing, and an inert WASI, so that the same event, plugin and settings give the same bytes. A
//! plugin's failure is a [`Fault`](crate::domain::Fault) in the answer; only our own is an `Err`.
//!
//! Must not: do I/O for a plugin, know of storage (but through [`WasmSource`]), or run or map
//! anything that it has not compiled itself.

pub mod types;

mod advice;
mod cache;
mod catalog;
mod compile;
pub mod compiler;
mod cost;
mod deadline;
mod engine;
mod errors;
mod eviction;
mod fault;
mod history;
mod invoke;
mod lane;
mod limits;
mod logs;
mod mapped;
mod memory_limit;
mod paused;
mod pipeline;
mod plugin;
mod pool;
mod queue;
mod schedule;
mod sendable;
mod state;
#[cfg(test)]
mod tests;
mod upload;
mod v1;
mod validate;
mod wasi;
mod weigh;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::domain::{Digest, FaultKind, Roles, TenantId};

pub use advice::of_plain_call;
pub use compiler::Compiler;
pub use errors::{SandboxError, UploadError};
pub use limits::{Count, Limits};
pub use types::*;

use self::compile::{Examined, Loader};
use self::deadline::Watch;
use self::errors::Refusal;
use self::invoke::Invoker;
use self::logs::LogSink;
use self::pipeline::{Progress, ReadyStep};
use self::plugin::Plugin;
use self::pool::Pool;
use self::state::State;

/// How much compiled code is kept on disk, in bytes.
const CACHE_BYTES: u64 = 2 << 30;
/// How many plugins are kept ready in memory.
const READY_PLUGINS: usize = 512;

/// How the sandbox is set up.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Where compiled code is kept. The directory belongs to the sandbox alone; it may be deleted
    /// while no engine runs.
    pub cache_dir: PathBuf,
    /// Threads for short calls, at least 1; as many as there are cores is right. Long ones have threads besides.
    pub threads: usize,
    /// How much code of these stays in memory, in bytes; that of the others is found again in the
    /// system's cache of files.
    pub warm_code_bytes: usize,
    /// What a plugin may use.
    pub limits: Limits,
    /// Where plugins are compiled.
    pub compiler: Compiler,
}

impl SandboxConfig {
    /// A thread for each core, 32 MiB of code in memory, the default limits, and compiling in this process.
    #[must_use]
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            threads: crate::cores::count(),
            warm_code_bytes: 32 << 20,
            limits: Limits::default(),
            compiler: Compiler::Here,
        }
    }
}

/// Takes uploads and runs pipelines. Clones share everything; the threads end with the last of them.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    loader: Loader,
    invoker: Arc<Invoker>,
    pool: Pool,
    /// One upload at a time is tried out, beside the threads' own calls.
    trying: Arc<tokio::sync::Semaphore>,
}

impl Sandbox {
    /// Makes the engine and starts its threads.
    ///
    /// # Errors
    /// Where the engine can't be made with these limits, the cache's directory can't be used, or
    /// threads can't be started.
    pub fn start(config: SandboxConfig, source: Arc<dyn WasmSource>) -> Result<Self, SandboxError> {
        let threads = config.threads.max(1);
        let engine = engine::build(&config.limits, pool::calls(threads) + 1)?;
        let cache = cache::Cache::open(&config.cache_dir, &engine, CACHE_BYTES)
            .map_err(|source| SandboxError::Cache { path: config.cache_dir.clone(), source })?;
        let catalog = catalog::Catalog::new(READY_PLUGINS, config.warm_code_bytes);
        let loader =
            Loader::new(engine.clone(), config.limits.clone(), config.compiler, cache, catalog, source)?;
        let ticker = deadline::Ticker::start(&engine).map_err(SandboxError::Threads)?;
        let invoker = Arc::new(Invoker { engine, limits: config.limits, ticker });
        let pool = Pool::start(&invoker, threads).map_err(SandboxError::Threads)?;
        let trying = Arc::new(tokio::sync::Semaphore::new(1));
        Ok(Self(Arc::new(Inner { loader, invoker, pool, trying })))
    }

    /// The digest of an upload. Megabytes are not hashed where connections wait.
    ///
    /// # Errors
    /// Only for our own failures.
    pub async fn digest(upload: &Bytes) -> Result<Digest, SandboxError> {
        let upload = upload.clone();
        compile::blocking(move || Digest::of(&upload)).await
    }

    /// Everything that an upload must pass, short of storing it: size, not precompiled, wrapping,
    /// validation, contract and imports, compiling (kept on disk), and one instance of it. All that reads more of it than its first
    /// bytes happens in a process with limits of its own, tenants in turn.
    ///
    /// Dropping the future ends that process and gives up the turn.
    ///
    /// # Errors
    /// Says what was found and what to do instead; [`UploadError::Sandbox`] where the failure is
    /// ours and the same upload may be taken later.
    pub async fn inspect(&self, tenant: TenantId, upload: Bytes) -> Result<Inspected, UploadError> {
        let size_bytes = upload.len() as u64;
        let digest = Self::digest(&upload).await?;
        let Examined { plugin, shape, is_new } = self.0.loader.examine(tenant, digest, upload).await?;
        let plugin = Arc::new(plugin);
        match self.try_out(&plugin).await {
            Ok(roles) => {
                self.0.loader.catalog.insert(digest, plugin);
                let warnings = advice::of_exports(&shape.exports);
                Ok(Inspected { digest, roles, imports: shape.imports, size_bytes, warnings })
            }
            Err(error) => {
                // What was there before is somebody's; and a deadline may be missed because the machine is busy.
                if is_new && error.is_certain() {
                    self.0.loader.forget(digest).await?;
                }
                Err(error)
            }
        }
    }

    /// Makes an instance and checks the types of its exports.
    async fn try_out(&self, plugin: &Arc<Plugin>) -> Result<Roles, UploadError> {
        let trying = Arc::clone(&self.0.trying).acquire_owned();
        let mut turn = trying.await.map_err(|_| SandboxError::ShutDown)?;
        let mut tries = 0;
        loop {
            let (invoker, tried) = (Arc::clone(&self.0.invoker), Arc::clone(plugin));
            // The turn goes with the call, which runs on if the client goes away: the pool has one slot for it.
            let called = compile::blocking(move || {
                let logs = LogSink::new(&invoker.limits);
                let state = State::new(&invoker.limits, logs, Arc::from("{}"), Arc::default(), None);
                (invoker.try_out(&tried, state.watched(&Watch::giving_way())), turn)
            })
            .await?;
            turn = called.1;
            let called = called.0?;
            tries += 1;
            match called.answer {
                Ok(Ok(())) => return Ok(plugin.roles()),
                Ok(Err(words)) => return Err(UploadError::WrongType(words)),
                // On a busy machine a call may miss its deadline through no fault of its own.
                Err(fault) if fault.kind == FaultKind::Deadline && tries < 2 => {}
                Err(fault) => return Err(UploadError::Start { fault }),
            }
        }
    }

    /// Compiles these plugins, for which deliveries will wait, unless there is code for them. Each waits until no other compilation
    /// is needed. To be called after a start, when an upgrade may have made the code of all plugins useless.
    pub async fn compile_ahead(&self, plugins: Vec<(TenantId, Digest)>) {
        for (tenant, digest) in plugins {
            match self.0.loader.compile_ahead(tenant, &digest).await {
                Ok(()) => {}
                Err(SandboxError::ShutDown) => return,
                Err(error) => {
                    tracing::warn!(%digest, error = &error as &dyn std::error::Error, "a plugin cannot be compiled ahead of need");
                }
            }
        }
    }

    /// Has a plugin's code at hand for `tenant`, which may have to be compiled first, so that a run just after has not to wait for it.
    ///
    /// # Errors
    /// Only for our own failures; what is wrong with the plugin is for the run to say.
    pub async fn load(&self, tenant: TenantId, digest: &Digest) -> Result<(), SandboxError> {
        self.0.loader.plugin(tenant, digest).await.map(drop)
    }

    /// Runs a pipeline on the sandbox's own threads, tenants taking turns.
    ///
    /// How many run at once is the callers' to bound. Dropping the answer's future ends the
    /// pipeline after its current step; a dry run is stopped within some milliseconds.
    ///
    /// # Errors
    /// Only for our own failures; what a plugin does wrong is in the [`PipelineRun`].
    pub async fn run(&self, job: PipelineJob) -> Result<PipelineRun, SandboxError> {
        let source = job.source;
        self.0.pool.run(self.progress(job).await?, source).await
    }

    /// As [`Self::run`], but a filter that does not take the event ends nothing: so each role of each step is tried.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_every_role(&self, job: PipelineJob) -> Result<PipelineRun, SandboxError> {
        let source = job.source;
        self.0.pool.run(self.progress(job).await?.with_every_role(), source).await
    }

    async fn progress(&self, job: PipelineJob) -> Result<Progress, SandboxError> {
        let PipelineJob { source: _, event, attributes, draft, steps, secrets } = job;
        let mut ready = Vec::with_capacity(steps.len());
        for step in steps {
            let (resolved, plugin) = match step.resolved {
                Ok(resolved) => {
                    let plugin = self.0.loader.plugin(event.tenant, &resolved.digest).await?;
                    (Some(resolved), plugin)
                }
                Err(fault) => (None, Err(fault)),
            };
            ready.push(ReadyStep { plugin: step.plugin, resolved, settings: step.settings, ready: plugin });
        }
        Ok(Progress::new(event, attributes, secrets, draft, ready))
    }

    /// Ends the threads after their current step. Pipelines that wait end with
    /// [`SandboxError::ShutDown`], as do new ones.
    pub fn shutdown(&self) {
        self.0.pool.shut_down();
    }
}
