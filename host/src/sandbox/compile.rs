//! Turns an upload or a digest into a linked plugin.
//!
//! Compilation is the only long work that tenants cause in the host. It runs in subprocesses with limits
//! ([`super::compiler`]), a few at a time, shared fairly between tenants ([`super::fair_semaphore`]). The result is
//! kept on disk, so a plugin that runs is usually loaded, not compiled.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use wasmtime::Engine;

use crate::clock;
use crate::domain::{Digest, Fault, FaultKind, TenantId};
use crate::metrics::plugins;

use super::blocking::blocking;
use super::cache::Cache;
use super::catalog::Catalog;
use super::compiler::{CompileRequest, Compiler, Failure, MAX_CODE};
use super::fair_semaphore::{FairSemaphore, Priority};
use super::limits::Limits;
use super::plugin::{Linker, Plugin};
use super::validate::Shape;
use super::{SandboxError, UploadError, WasmSource, mapped, memory_limit, upload};

/// Maximum number of plugins loaded from disk at once.
const MAX_LOADS: usize = 2;

/// Loads, compiles and caches plugins.
pub(super) struct Loader {
    pub(super) catalog: Catalog,
    source: Arc<dyn WasmSource>,
    /// Uploads have their own permits, so they do not delay plugins that deliveries wait for.
    uploads: FairSemaphore,
    compiling: FairSemaphore,
    loading: FairSemaphore,
    context: Arc<CompileContext>,
}

/// State shared with blocking threads.
struct CompileContext {
    engine: Engine,
    linker: Linker,
    cache: Cache,
    limits: Limits,
    compiler: Compiler,
}

/// An upload that passed all checks. It is not in the catalog yet.
pub(super) struct Examined {
    pub(super) plugin: Plugin,
    pub(super) shape: Shape,
    /// Whether its code was not on disk before.
    pub(super) is_new: bool,
}

/// Destination of compiled code.
enum Target {
    Disk(tempfile::NamedTempFile),
    /// The disk is full or cannot be written to. The plugin still runs.
    Memory(std::fs::File),
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
        let context = Arc::new(CompileContext { engine, linker, cache, limits, compiler });
        let processes = memory_limit::processes();
        let uploads = FairSemaphore::new(processes);
        let (compiling, loading) = (FairSemaphore::new(processes), FairSemaphore::new(MAX_LOADS));
        Ok(Self { catalog, source, uploads, compiling, loading, context })
    }

    /// Returns the plugin with this digest for `tenant`, or a fault if its bytes are gone or are not a plugin.
    pub(super) async fn plugin(
        &self,
        tenant: TenantId,
        digest: &Digest,
    ) -> Result<Result<Arc<Plugin>, Fault>, SandboxError> {
        if let Some(plugin) = self.catalog.get(digest) {
            return Ok(Ok(plugin));
        }
        if let Some(plugin) = self.load(tenant, *digest).await? {
            return Ok(Ok(plugin));
        }
        self.compile(tenant, digest, Priority::Foreground).await
    }

    /// How many uploads and deliveries wait for a compilation, and since when the first of them does.
    pub(super) fn waiting(&self) -> (usize, Option<Instant>) {
        let [(uploads, first), (others, second)] = [self.uploads.waiting(), self.compiling.waiting()];
        (uploads + others, [first, second].into_iter().flatten().min())
    }

    /// Compiles a plugin that has no code on disk, when no other compilation is needed.
    pub(super) async fn compile_ahead(&self, tenant: TenantId, digest: &Digest) -> Result<(), SandboxError> {
        let context = Arc::clone(&self.context);
        let wanted = *digest;
        let is_there = blocking(move || {
            // Do not evict other code in the background.
            let is_full =
                context.cache.size_and_limit().map_or(true, |(bytes, limit)| bytes > limit / 10 * 9);
            is_full || context.cache.has(&wanted)
        })
        .await?;
        if !is_there {
            // A delivery reports what is wrong with the plugin.
            self.compile(tenant, digest, Priority::Background).await.map(drop)?;
        }
        Ok(())
    }

    async fn load(&self, tenant: TenantId, digest: Digest) -> Result<Option<Arc<Plugin>>, SandboxError> {
        let _permit = self.loading.acquire(tenant, digest, Priority::Foreground).await;
        if let Some(plugin) = self.catalog.get(&digest) {
            return Ok(Some(plugin)); // Another caller has loaded it meanwhile.
        }
        let context = Arc::clone(&self.context);
        let plugin = blocking(move || context.load(&digest)?.ok()).await?;
        Ok(plugin.map(|plugin| self.catalog.insert(digest, plugin)))
    }

    async fn compile(
        &self,
        tenant: TenantId,
        digest: &Digest,
        priority: Priority,
    ) -> Result<Result<Arc<Plugin>, Fault>, SandboxError> {
        let _permit = self.compiling.acquire(tenant, *digest, priority).await;
        if let Some(plugin) = self.catalog.get(digest) {
            return Ok(Ok(plugin)); // Another caller has compiled it meanwhile.
        }
        let unavailable = |message: String| Ok(Err(Fault::new(FaultKind::Unavailable, message)));
        let Some(wasm) = self.source.wasm(digest).await.map_err(SandboxError::Source)? else {
            return unavailable(format!("the plugin {digest} has been deleted"));
        };
        let (found, wasm) = blocking(move || (Digest::of(&wasm), wasm)).await?;
        if found != *digest {
            return Err(SandboxError::Source(format!(
                "the bytes stored as {digest} have the digest {found}"
            )));
        }
        match self.build(*digest, wasm.into()).await {
            // Background compilation only fills the disk cache.
            Ok(examined) if priority == Priority::Background => Ok(Ok(Arc::new(examined.plugin))),
            Ok(examined) => Ok(Ok(self.catalog.insert(*digest, examined.plugin))),
            Err(UploadError::Sandbox(error)) => Err(error),
            Err(error) => unavailable(error.to_string()),
        }
    }

    /// Checks, compiles and links an upload, without running any of its code. Dropping the future kills the compiling
    /// subprocess.
    pub(super) async fn examine(
        &self,
        tenant: TenantId,
        digest: Digest,
        upload: Bytes,
    ) -> Result<Examined, UploadError> {
        upload::check_header(&upload, &self.context.limits)?;
        let _permit = self.uploads.acquire(tenant, digest, Priority::Foreground).await;
        self.build(digest, upload).await
    }

    /// Removes the compiled code of an upload that is refused after all.
    pub(super) async fn remove_code(&self, digest: Digest) -> Result<(), SandboxError> {
        let context = Arc::clone(&self.context);
        blocking(move || context.cache.remove(&digest)).await
    }

    /// The caller must hold a permit.
    async fn build(&self, digest: Digest, upload: Bytes) -> Result<Examined, UploadError> {
        let context = Arc::clone(&self.context);
        // Skip compilation only if the code verifies.
        let loaded = blocking(move || context.load(&digest)).await?;
        let is_new = loaded.is_none();
        let (shape, linked) = match loaded {
            Some(linked) => (self.describe(upload).await?, linked),
            None => self.compile_to_disk(digest, upload).await?,
        };
        let plugin = linked.map_err(|error| UploadError::WrongType(format!("{error:#}")));
        let plugin = plugin.and_then(|plugin| match plugin.roles().is_empty() {
            true => Err(UploadError::WrongType("the function of a role is missing".to_owned())),
            false => Ok(plugin),
        });
        if plugin.is_err() && is_new {
            self.remove_code(digest).await?;
        }
        Ok(Examined { plugin: plugin?, shape, is_new })
    }

    async fn describe(&self, upload: Bytes) -> Result<Shape, UploadError> {
        let null = std::fs::OpenOptions::new().write(true).open("/dev/null");
        let null = null.map_err(SandboxError::Compiler)?;
        let request = CompileRequest::new(&self.context.limits, false);
        match self.context.compiler.compile(request, upload, null).await {
            Ok(shape) => Ok(shape),
            Err(Failure::Upload(error)) => Err(error),
            Err(Failure::DiskFull) => {
                Err(SandboxError::Compiler(std::io::ErrorKind::StorageFull.into()).into())
            }
        }
    }

    async fn compile_to_disk(
        &self,
        digest: Digest,
        upload: Bytes,
    ) -> Result<(Shape, wasmtime::Result<Plugin>), UploadError> {
        let (context, began) = (&self.context, clock::monotonic());
        let mut target = context.target(&digest)?;
        let shape = loop {
            let request = CompileRequest::new(&context.limits, true);
            let file = target.file().try_clone().map_err(SandboxError::Compiler)?;
            match (context.compiler.compile(request, upload.clone(), file).await, &target) {
                (Ok(shape), _) => break shape,
                (Err(Failure::Upload(error)), _) => return Err(error),
                (Err(Failure::DiskFull), Target::Disk(_)) => {
                    tracing::error!(%digest, "disk full: compiled code is kept in memory only");
                    target = Target::Memory(mapped::memory_file().map_err(SandboxError::Compiler)?);
                }
                (Err(Failure::DiskFull), Target::Memory(_)) => {
                    let full = std::io::ErrorKind::StorageFull.into();
                    return Err(SandboxError::Compiler(full).into());
                }
            }
        };
        plugins::COMPILE_SECONDS.observe(clock::elapsed(began));
        let (context, recency) = (Arc::clone(context), self.catalog.recency());
        let source = Arc::clone(&self.source);
        let linked = blocking(move || {
            let linked = context.store_and_link(&digest, target);
            if let Err(error) = context.cache.prune(|digest| source.owners(digest), &recency) {
                tracing::error!(%error, "evicting compiled code failed");
            }
            linked
        })
        .await??;
        Ok((shape, linked))
    }
}

impl CompileContext {
    /// Loads a plugin from the disk cache, if its code verifies.
    fn load(&self, digest: &Digest) -> Option<wasmtime::Result<Plugin>> {
        self.cache.load(&self.engine, digest).map(|code| self.linker.link_mapped(code))
    }

    fn target(&self, digest: &Digest) -> Result<Target, SandboxError> {
        match self.cache.begin() {
            Ok(file) => Ok(Target::Disk(file)),
            Err(error) => {
                tracing::error!(%digest, %error, "storing compiled code failed");
                mapped::memory_file().map(Target::Memory).map_err(SandboxError::Compiler)
            }
        }
    }

    /// Stores and links code that has just been compiled.
    fn store_and_link(
        &self,
        digest: &Digest,
        target: Target,
    ) -> Result<wasmtime::Result<Plugin>, SandboxError> {
        let mut code = match target {
            Target::Memory(file) => file,
            Target::Disk(file) => {
                let copy = file.as_file().try_clone().map_err(SandboxError::Compiler)?;
                match self.cache.keep(digest, file) {
                    Ok(()) => {
                        if let Some(linked) = self.load(digest) {
                            return Ok(linked);
                        }
                    }
                    Err(error) => tracing::error!(%digest, %error, "storing compiled code failed"),
                }
                copy
            }
        };
        let component =
            mapped::in_memory(&self.engine, &mut code, MAX_CODE).map_err(SandboxError::Compiler)?;
        Ok(component.and_then(|component| self.linker.link(&component)))
    }
}

impl Target {
    fn file(&self) -> &std::fs::File {
        match self {
            Self::Disk(file) => file.as_file(),
            Self::Memory(file) => file,
        }
    }
}
