//! Runs tenants' code. This is the only part of the engine that uses wasmtime.
//!
//! ```text
//! upload → size, first bytes → (in a subprocess: wrap → count → validate, contract → compile) → disk → link
//!   → trial instance → Inspected
//! job → plugins by digest (memory, disk, or compile) → fair queue → thread → step by step → PipelineRun
//! ```
//!
//! Every call has a fresh instance. [`Limits`] bounds its fuel, CPU time, memory, tables, output and log. A call
//! sees the event, its settings, a log, keyed hashing and an inert WASI, so the same event, plugin and settings
//! give the same bytes. A plugin's failure is a [`Fault`](crate::domain::Fault) in the result; an `Err` is always
//! a failure of the engine.
//!
//! This module must not do I/O for a plugin, must not use storage except through [`WasmSource`], and must not run
//! or map code that it has not compiled itself.

pub mod types;

mod advice;
mod blocking;
mod cache;
mod catalog;
mod compile;
pub mod compiler;
mod complexity;
mod cost;
mod deadline;
mod engine;
mod errors;
mod eviction;
mod fair_semaphore;
mod fault;
mod fuel;
mod history;
mod interrupted;
mod invoke;
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

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock;
use crate::domain::{Digest, FaultKind, Roles, TenantId};

pub use advice::of_plain_call;
pub use compiler::Compiler;
pub use errors::{SandboxError, UploadError};
pub use limits::{Count, Limits};
pub use types::*;

use self::compile::{Examined, Loader};
use self::deadline::CallControl;
use self::errors::Refusal;
use self::invoke::Invoker;
use self::logs::LogSink;
use self::pipeline::{Progress, ReadyStep};
use self::plugin::Plugin;
use self::pool::Pool;
use self::state::State;

/// Maximum size of the compiled code on disk, in bytes.
const CACHE_BYTES: u64 = 2 << 30;
/// Maximum number of linked plugins in memory.
const READY_PLUGINS: usize = 512;

/// Configuration of the sandbox.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Directory for compiled code. Only the sandbox uses it. It can be deleted while no engine runs.
    pub cache_dir: PathBuf,
    /// Number of threads for short calls, at least 1, usually one per core. Long calls have additional threads.
    pub threads: usize,
    /// Compiled code whose pages stay in memory, in bytes. Pages of other plugins are read again from the page cache.
    pub warm_code_bytes: usize,
    /// Limits of a plugin.
    pub limits: Limits,
    /// Where plugins are compiled.
    pub compiler: Compiler,
}

impl SandboxConfig {
    /// One thread per core, 32 MiB of warm code, the default limits, and compilation in this process.
    #[must_use]
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            threads: crate::cores::count(),
            warm_code_bytes: 32 << 20,
            limits: Limits::default(),
            compiler: Compiler::InProcess,
        }
    }
}

/// Checks uploads and runs pipelines. Clones share one instance; its threads end when the last clone is dropped.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    loader: Loader,
    invoker: Arc<Invoker>,
    pool: Pool,
    /// Limits trial instances of uploads to one at a time. The pool has one slot for it.
    trial: Arc<tokio::sync::Semaphore>,
}

impl Sandbox {
    /// Creates the engine and starts its threads.
    ///
    /// # Errors
    /// If the engine cannot be created with these limits, the cache directory cannot be used, or a thread cannot be
    /// started.
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
        let trial = Arc::new(tokio::sync::Semaphore::new(1));
        Ok(Self(Arc::new(Inner { loader, invoker, pool, trial })))
    }

    /// Computes the digest of an upload off the I/O threads.
    ///
    /// # Errors
    /// If the engine fails.
    pub async fn digest(upload: &Bytes) -> Result<Digest, SandboxError> {
        let upload = upload.clone();
        blocking::blocking(move || Digest::of(&upload)).await
    }

    /// Runs every check of an upload and compiles it to disk, but does not store the upload: size, format, wrapping,
    /// validation, contract, imports, compilation and one trial instance. Everything that reads more than the first
    /// bytes runs in a subprocess with its own limits. Tenants share these subprocesses fairly.
    ///
    /// Dropping the future kills the subprocess and releases its permit.
    ///
    /// # Errors
    /// If the upload is refused: the error says what was found and what to do instead. [`UploadError::Sandbox`] if the
    /// engine failed; the same upload may be accepted later.
    pub async fn inspect(&self, tenant: TenantId, upload: Bytes) -> Result<Inspected, UploadError> {
        let size_bytes = upload.len() as u64;
        let digest = Self::digest(&upload).await?;
        let Examined { plugin, shape, is_new } = self.0.loader.examine(tenant, digest, upload).await?;
        let plugin = Arc::new(plugin);
        match self.instantiate_once(&plugin).await {
            Ok(roles) => {
                self.0.loader.catalog.insert(digest, plugin);
                let warnings = advice::of_exports(&shape.exports);
                Ok(Inspected { digest, roles, imports: shape.imports, size_bytes, warnings })
            }
            Err(error) => {
                // Another upload may own code that existed before, and a busy machine may cause a missed deadline.
                if is_new && error.is_permanent() {
                    self.0.loader.remove_code(digest).await?;
                }
                Err(error)
            }
        }
    }

    /// Creates an instance and checks the types of its exports.
    async fn instantiate_once(&self, plugin: &Arc<Plugin>) -> Result<Roles, UploadError> {
        let permit = Arc::clone(&self.0.trial).acquire_owned();
        let mut permit = permit.await.map_err(|_| SandboxError::ShutDown)?;
        let mut tries = 0;
        loop {
            let (invoker, tried) = (Arc::clone(&self.0.invoker), Arc::clone(plugin));
            // The call keeps the permit because it runs to its end even if the client disconnects.
            let called = blocking::blocking(move || {
                let logs = LogSink::new(&invoker.limits);
                let state = State::new(&invoker.limits, logs, Arc::from("{}"), Arc::default(), None);
                (invoker.instantiate_once(&tried, state.with_control(&CallControl::yielding())), permit)
            })
            .await?;
            permit = called.1;
            let called = called.0?;
            tries += 1;
            match called.result {
                Ok(Ok(())) => return Ok(plugin.roles()),
                Ok(Err(message)) => return Err(UploadError::WrongType(message)),
                // A busy machine can cause a missed deadline, so try once more.
                Err(fault) if fault.kind == FaultKind::Deadline && tries < 2 => {}
                Err(fault) => return Err(UploadError::Start { fault }),
            }
        }
    }

    /// Compiles the plugins that have no compiled code yet, in the background: each waits until no other compilation is
    /// needed. Call this after a start, because an upgrade may have invalidated all compiled code.
    pub async fn compile_ahead(&self, plugins: Vec<(TenantId, Digest)>) {
        for (tenant, digest) in plugins {
            match self.0.loader.compile_ahead(tenant, &digest).await {
                Ok(()) => {}
                Err(SandboxError::ShutDown) => return,
                Err(error) => {
                    tracing::warn!(%digest, error = &error as &dyn std::error::Error, "background compilation of a plugin failed");
                }
            }
        }
    }

    /// How many uploads and deliveries wait for a compilation to begin, and for how long the first of them does.
    #[must_use]
    pub fn waiting_for_compiler(&self) -> (usize, Duration) {
        let (count, since) = self.0.loader.waiting();
        (count, since.map(clock::elapsed).unwrap_or_default())
    }

    /// Loads a plugin for `tenant`, and compiles it if necessary, so that a following run does not wait for it.
    ///
    /// # Errors
    /// If the engine fails. The run reports what is wrong with the plugin.
    pub async fn load(&self, tenant: TenantId, digest: &Digest) -> Result<(), SandboxError> {
        self.0.loader.plugin(tenant, digest).await.map(drop)
    }

    /// Runs a pipeline on the sandbox's threads, which tenants share fairly.
    ///
    /// Callers bound the number of concurrent runs. Dropping the future ends the pipeline after its current step; a dry
    /// run stops within milliseconds.
    ///
    /// # Errors
    /// If the engine fails. A plugin's failure is part of the [`PipelineRun`].
    pub async fn run(&self, job: PipelineJob) -> Result<PipelineRun, SandboxError> {
        let source = job.source;
        self.0.pool.run(self.progress(job).await?, source).await
    }

    /// Like [`Self::run`], but continues after a filter that rejects the event, so that every role of every step runs.
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
            ready.push(ReadyStep { plugin: step.plugin, resolved, settings: step.settings, loaded: plugin });
        }
        Ok(Progress::new(event, attributes, secrets, draft, ready))
    }

    /// Ends the threads after their current step. Waiting and new pipelines fail with [`SandboxError::ShutDown`].
    pub fn shutdown(&self) {
        self.0.pool.shut_down();
    }
}
