//! From an upload, or a digest, to a plugin that is ready.
//!
//! Compiling is the one thing that tenants make the host do at length: it happens on one core, one
//! plugin at a time, after the caps of [`super::validate`] and within the bounds of [`super::compiler`], and its
//! result is kept on disk. What runs is therefore loaded, hardly ever compiled.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use wasmtime::Engine;

use crate::allocator;
use crate::domain::{Digest, Fault, FaultKind};

use super::cache::Cache;
use super::catalog::Catalog;
use super::compiler::Compiler;
use super::limits::Limits;
use super::plugin::{Linker, Plugin};
use super::validate::{self, Shape};
use super::{SandboxError, UploadError, WasmSource, engine, mapped, upload};

/// Makes plugins ready, and keeps them so.
pub(super) struct Loader {
    pub(super) catalog: Catalog,
    source: Arc<dyn WasmSource>,
    /// One upload at a time is compiled, and beside it one plugin that a delivery waits for. Two may load what others
    /// compiled.
    uploads: Semaphore,
    compiling: Semaphore,
    loading: Semaphore,
    workshop: Arc<Workshop>,
}

/// What blocking threads work with.
struct Workshop {
    engine: Engine,
    linker: Linker,
    cache: Cache,
    limits: Limits,
    compiler: Compiler,
}

impl Loader {
    pub(super) fn new(
        engine: Engine,
        limits: Limits,
        compiler: Compiler,
        cache: Cache,
        catalog: Catalog,
        source: Arc<dyn WasmSource>,
    ) -> wasmtime::Result<Self> {
        let linker = Linker::new(&engine)?;
        let workshop = Arc::new(Workshop { engine, linker, cache, limits, compiler });
        let (uploads, compiling, loading) = (Semaphore::new(1), Semaphore::new(1), Semaphore::new(2));
        Ok(Self { catalog, source, uploads, compiling, loading, workshop })
    }

    /// The plugin with this digest; a fault where nobody has its bytes, or they are no plugin.
    pub(super) async fn plugin(&self, digest: &Digest) -> Result<Result<Arc<Plugin>, Fault>, SandboxError> {
        if let Some(plugin) = self.catalog.get(digest) {
            return Ok(Ok(plugin));
        }
        if let Some(plugin) = self.load(*digest).await? {
            return Ok(Ok(plugin));
        }
        let _turn = self.compiling.acquire().await.map_err(|_| SandboxError::ShutDown)?;
        if let Some(plugin) = self.catalog.get(digest) {
            return Ok(Ok(plugin)); // Many wait for a plugin that is new; the first has compiled it.
        }
        let unavailable = |message: String| Ok(Err(Fault::new(FaultKind::Unavailable, message)));
        let Some(wasm) = self.source.wasm(digest).await.map_err(SandboxError::Source)? else {
            return unavailable(format!("the bytes of {digest} are not here any more"));
        };
        let (found, wasm) = blocking(move || (Digest::of(&wasm), wasm)).await?;
        if found != *digest {
            return Err(SandboxError::Source(format!("what is stored as {digest} is something else")));
        }
        match self.compile_in_turn(*digest, wasm.into()).await {
            Ok((plugin, _)) => Ok(Ok(plugin)),
            Err(UploadError::Sandbox(error)) => Err(error),
            Err(error) => unavailable(error.to_string()),
        }
    }

    async fn load(&self, digest: Digest) -> Result<Option<Arc<Plugin>>, SandboxError> {
        let _turn = self.loading.acquire().await.map_err(|_| SandboxError::ShutDown)?;
        if let Some(plugin) = self.catalog.get(&digest) {
            return Ok(Some(plugin)); // Somebody else was waiting for the same.
        }
        let workshop = Arc::clone(&self.workshop);
        let plugin = blocking(move || {
            let code = workshop.cache.load(&workshop.engine, &digest)?;
            workshop.linker.link_mapped(code).ok()
        })
        .await?;
        Ok(plugin.map(|plugin| self.catalog.insert(digest, plugin)))
    }

    /// Everything from the bytes to a plugin that is linked and on disk; no code of its own has run.
    pub(super) async fn compile(
        &self,
        digest: Digest,
        upload: bytes::Bytes,
    ) -> Result<(Arc<Plugin>, Shape), UploadError> {
        let _turn = self.uploads.acquire().await.map_err(|_| SandboxError::ShutDown)?;
        self.compile_in_turn(digest, upload).await
    }

    /// Removes from disk what was compiled of an upload that is refused after all.
    pub(super) async fn forget(&self, digest: Digest) -> Result<(), SandboxError> {
        let workshop = Arc::clone(&self.workshop);
        blocking(move || workshop.cache.remove(&digest)).await
    }

    /// As [`Self::compile`], for a caller whose turn it is.
    async fn compile_in_turn(
        &self,
        digest: Digest,
        upload: bytes::Bytes,
    ) -> Result<(Arc<Plugin>, Shape), UploadError> {
        let workshop = Arc::clone(&self.workshop);
        let (plugin, shape) = on_own_thread(move || workshop.compile(&digest, &upload)).await??;
        Ok((self.catalog.insert(digest, plugin), shape))
    }
}

impl Workshop {
    fn compile(&self, digest: &Digest, upload: &[u8]) -> Result<(Plugin, Shape), UploadError> {
        let wasm = upload::component(upload, &self.limits)?;
        let shape = validate::component(&wasm, engine::features(&self.engine), &self.limits)?;
        let linked = match self.cache.load(&self.engine, digest) {
            Some(code) => self.linker.link_mapped(code),
            None => self.compile_to_disk(digest, &wasm)?,
        };
        let plugin = linked.map_err(|error| UploadError::WrongType(format!("{error:#}")))?;
        if plugin.roles().is_empty() {
            return Err(UploadError::WrongType("a role's function is missing".to_owned()));
        }
        Ok((plugin, shape))
    }

    fn compile_to_disk(&self, digest: &Digest, wasm: &[u8]) -> Result<wasmtime::Result<Plugin>, UploadError> {
        let code = self.compiler.compile(wasm)?;
        match self.cache.store(digest, &code) {
            Ok(()) => {
                if let Some(code) = self.cache.load(&self.engine, digest) {
                    return Ok(self.linker.link_mapped(code));
                }
            }
            Err(error) => tracing::error!(%digest, %error, "compiled code cannot be kept"),
        }
        // A disk that is full is no reason not to run: kept in memory only.
        let component = mapped::in_memory(&self.engine, &code);
        let component = component.map_err(|error| UploadError::Compile(format!("{error:#}")))?;
        Ok(self.linker.link(&component))
    }
}

/// Runs `work` on a thread of its own, with which goes what the allocator keeps for it: compiling a small
/// plugin takes tens of megabytes for a moment.
async fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SandboxError> {
    let (reply, answer) = oneshot::channel();
    let work = move || {
        let done = work();
        allocator::release();
        drop(reply.send(done));
    };
    let thread = std::thread::Builder::new().name("sandbox-compile".to_owned());
    thread.spawn(work).map_err(SandboxError::Threads)?;
    answer.await.map_err(|_| SandboxError::Panicked("the thread that compiles".to_owned()))
}

/// Runs `work` where it holds up nothing else.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SandboxError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SandboxError::Panicked(error.to_string()))
}
