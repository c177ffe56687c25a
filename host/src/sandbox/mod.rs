//! Runs tenants' code: the only part of the engine that names wasmtime.
//!
//! ```text
//! upload → size → what is it → wrap → validate, caps, contract → compile, to disk → link → try out → Inspected
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

mod cache;
mod catalog;
mod compile;
pub mod compiler;
mod deadline;
mod engine;
mod errors;
mod fault;
mod invoke;
mod limits;
mod logs;
mod mapped;
mod pipeline;
mod plugin;
mod pool;
mod queue;
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

use bytes::Bytes;

use crate::domain::Digest;

pub use compiler::Compiler;
pub use errors::{SandboxError, UploadError};
pub use limits::{Count, Limits};
pub use types::*;

use self::compile::Loader;
use self::invoke::Invoker;
use self::logs::LogSink;
use self::pipeline::{Progress, ReadyStep};
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
    /// Threads for calls, at least 1; as many as there are cores is right.
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
    trying: tokio::sync::Semaphore,
}

impl Sandbox {
    /// Makes the engine and starts its threads.
    ///
    /// # Errors
    /// Where the engine can't be made with these limits, the cache's directory can't be used, or
    /// threads can't be started.
    pub fn start(config: SandboxConfig, source: Arc<dyn WasmSource>) -> Result<Self, SandboxError> {
        let threads = config.threads.max(1);
        let engine = engine::build(&config.limits, threads + 1)?;
        let cache = cache::Cache::open(&config.cache_dir, &engine, CACHE_BYTES)
            .map_err(|source| SandboxError::Cache { path: config.cache_dir.clone(), source })?;
        let catalog = catalog::Catalog::new(READY_PLUGINS, config.warm_code_bytes);
        let loader =
            Loader::new(engine.clone(), config.limits.clone(), config.compiler, cache, catalog, source)?;
        let ticker = deadline::Ticker::start(&engine).map_err(SandboxError::Threads)?;
        let invoker = Arc::new(Invoker { engine, limits: config.limits, ticker });
        let pool = Pool::start(&invoker, threads).map_err(SandboxError::Threads)?;
        let trying = tokio::sync::Semaphore::new(1);
        Ok(Self(Arc::new(Inner { loader, invoker, pool, trying })))
    }

    /// Everything that an upload must pass, short of storing it: size, not precompiled, wrapping,
    /// validation, contract and imports, compiling (kept on disk), and one instance of it.
    ///
    /// # Errors
    /// Says what was found and what to do instead; [`UploadError::Sandbox`] where the failure is
    /// ours and the same upload may be taken later.
    pub async fn inspect(&self, upload: Bytes) -> Result<Inspected, UploadError> {
        // Megabytes are not hashed where connections wait.
        let hashed = upload.clone();
        let digest = compile::blocking(move || Digest::of(&hashed)).await?;
        let inspected = self.compile_and_try(digest, upload).await;
        if let Err(UploadError::WrongType(_) | UploadError::Start { .. }) = inspected {
            self.0.loader.forget(digest).await?;
        }
        inspected
    }

    async fn compile_and_try(&self, digest: Digest, upload: Bytes) -> Result<Inspected, UploadError> {
        let size_bytes = upload.len() as u64;
        let (plugin, shape) = self.0.loader.compile(digest, upload).await?;
        let roles = plugin.roles();
        let _turn = self.0.trying.acquire().await.map_err(|_| SandboxError::ShutDown)?;
        let invoker = Arc::clone(&self.0.invoker);
        let tried = compile::blocking(move || {
            let logs = LogSink::new(&invoker.limits);
            let state = State::new(&invoker.limits, logs, Arc::from("{}"), Arc::default(), None);
            invoker.try_out(&plugin, state)
        })
        .await??;
        match tried.answer {
            Ok(Ok(())) => Ok(Inspected { digest, roles, imports: shape.imports, size_bytes }),
            Ok(Err(words)) => Err(UploadError::WrongType(words)),
            Err(fault) => Err(UploadError::Start { fault }),
        }
    }

    /// Has a plugin's code at hand, which may have to be compiled first, so that a run just after has not to wait for it.
    ///
    /// # Errors
    /// Only for our own failures; what is wrong with the plugin is for the run to say.
    pub async fn load(&self, digest: &Digest) -> Result<(), SandboxError> {
        self.0.loader.plugin(digest).await.map(drop)
    }

    /// Runs a pipeline on the sandbox's own threads, tenants taking turns.
    ///
    /// How many run at once is the callers' to bound. Dropping the answer's future ends the
    /// pipeline after its current step.
    ///
    /// # Errors
    /// Only for our own failures; what a plugin does wrong is in the [`PipelineRun`].
    pub async fn run(&self, job: PipelineJob) -> Result<PipelineRun, SandboxError> {
        let PipelineJob { event, attributes, draft, steps, secrets } = job;
        let mut ready = Vec::with_capacity(steps.len());
        for step in steps {
            let (resolved, plugin) = match step.resolved {
                Ok(resolved) => {
                    let plugin = self.0.loader.plugin(&resolved.digest).await?;
                    (Some(resolved), plugin)
                }
                Err(fault) => (None, Err(fault)),
            };
            ready.push(ReadyStep { plugin: step.plugin, resolved, settings: step.settings, ready: plugin });
        }
        self.0.pool.run(Progress::new(event, attributes, secrets, draft, ready)).await
    }

    /// Ends the threads after their current step. Pipelines that wait end with
    /// [`SandboxError::ShutDown`], as do new ones.
    pub fn shutdown(&self) {
        self.0.pool.shut_down();
    }
}
