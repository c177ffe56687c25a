//! From an upload, or a digest, to a plugin that is ready.
//!
//! Compiling is the one thing that tenants make the host do at length. It happens in processes with limits of their own
//! ([`super::compiler`]), a few at a time, tenants in turn ([`super::lane`]), and its result is kept on disk. What runs is
//! therefore loaded, hardly ever compiled.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::Engine;

use crate::domain::{Digest, Fault, FaultKind, TenantId};

use super::cache::Cache;
use super::catalog::Catalog;
use super::compiler::{Compiler, Failure, MAX_CODE, Order};
use super::lane::{Lane, Urgency};
use super::limits::Limits;
use super::plugin::{Linker, Plugin};
use super::validate::Shape;
use super::{SandboxError, UploadError, WasmSource, mapped, memory_limit, upload};

/// Plugins that are loaded from disk at once.
const LOADS: usize = 2;

/// Makes plugins ready, and keeps them so.
pub(super) struct Loader {
    pub(super) catalog: Catalog,
    source: Arc<dyn WasmSource>,
    /// Uploads have places of their own, beside plugins that deliveries wait for.
    uploads: Lane,
    compiling: Lane,
    loading: Lane,
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

/// What an upload turned out to be. It is not in the catalog yet.
pub(super) struct Examined {
    pub(super) plugin: Plugin,
    pub(super) shape: Shape,
    /// Its code was not on disk before.
    pub(super) is_new: bool,
}

/// Where the code that a compiler writes goes.
enum Target {
    Disk(tempfile::NamedTempFile),
    /// The disk is full, which is no reason not to run.
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
        let workshop = Arc::new(Workshop { engine, linker, cache, limits, compiler });
        let places = memory_limit::processes();
        let (uploads, compiling, loading) = (Lane::new(places), Lane::new(places), Lane::new(LOADS));
        Ok(Self { catalog, source, uploads, compiling, loading, workshop })
    }

    /// The plugin with this digest, for `tenant`; a fault where nobody has its bytes, or they are no plugin.
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
        self.compile(tenant, digest, Urgency::Awaited).await
    }

    /// Compiles a plugin for which there is no code on disk, when nobody waits for another.
    pub(super) async fn compile_ahead(&self, tenant: TenantId, digest: &Digest) -> Result<(), SandboxError> {
        let workshop = Arc::clone(&self.workshop);
        let wanted = *digest;
        let is_there = blocking(move || {
            // Code that would push out other code is compiled when it is needed.
            let is_full = workshop.cache.fill().map_or(true, |(bytes, most)| bytes > most / 10 * 9);
            is_full || workshop.cache.has(&wanted)
        })
        .await?;
        if !is_there {
            // What is wrong with it is for a delivery to say.
            self.compile(tenant, digest, Urgency::Ahead).await.map(drop)?;
        }
        Ok(())
    }

    async fn load(&self, tenant: TenantId, digest: Digest) -> Result<Option<Arc<Plugin>>, SandboxError> {
        let _place = self.loading.place(tenant, digest, Urgency::Awaited).await;
        if let Some(plugin) = self.catalog.get(&digest) {
            return Ok(Some(plugin)); // Somebody else was waiting for the same.
        }
        let workshop = Arc::clone(&self.workshop);
        let plugin = blocking(move || workshop.load(&digest)?.ok()).await?;
        Ok(plugin.map(|plugin| self.catalog.insert(digest, plugin)))
    }

    async fn compile(
        &self,
        tenant: TenantId,
        digest: &Digest,
        urgency: Urgency,
    ) -> Result<Result<Arc<Plugin>, Fault>, SandboxError> {
        let _place = self.compiling.place(tenant, *digest, urgency).await;
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
        match self.build(*digest, wasm.into()).await {
            // Who compiles ahead wants the code on disk, and nothing in memory.
            Ok(examined) if urgency == Urgency::Ahead => Ok(Ok(Arc::new(examined.plugin))),
            Ok(examined) => Ok(Ok(self.catalog.insert(*digest, examined.plugin))),
            Err(UploadError::Sandbox(error)) => Err(error),
            Err(error) => unavailable(error.to_string()),
        }
    }

    /// Everything from the bytes to a plugin that is linked and on disk; no code of its own has run. Dropping the future
    /// ends the process that compiles.
    pub(super) async fn examine(
        &self,
        tenant: TenantId,
        digest: Digest,
        upload: Bytes,
    ) -> Result<Examined, UploadError> {
        upload::glance(&upload, &self.workshop.limits)?;
        let _place = self.uploads.place(tenant, digest, Urgency::Awaited).await;
        self.build(digest, upload).await
    }

    /// Removes from disk what was compiled of an upload that is refused after all.
    pub(super) async fn forget(&self, digest: Digest) -> Result<(), SandboxError> {
        let workshop = Arc::clone(&self.workshop);
        blocking(move || workshop.cache.remove(&digest)).await
    }

    /// For a caller that has a place.
    async fn build(&self, digest: Digest, upload: Bytes) -> Result<Examined, UploadError> {
        let workshop = Arc::clone(&self.workshop);
        // Only code that verifies spares compiling.
        let loaded = blocking(move || workshop.load(&digest)).await?;
        let is_new = loaded.is_none();
        let (shape, linked) = match loaded {
            Some(linked) => (self.describe(upload).await?, linked),
            None => self.compile_to_disk(digest, upload).await?,
        };
        let plugin = linked.map_err(|error| UploadError::WrongType(format!("{error:#}")));
        let plugin = plugin.and_then(|plugin| match plugin.roles().is_empty() {
            true => Err(UploadError::WrongType("a role's function is missing".to_owned())),
            false => Ok(plugin),
        });
        if plugin.is_err() && is_new {
            self.forget(digest).await?;
        }
        Ok(Examined { plugin: plugin?, shape, is_new })
    }

    async fn describe(&self, upload: Bytes) -> Result<Shape, UploadError> {
        let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null");
        let nowhere = nowhere.map_err(SandboxError::Compiler)?;
        let order = Order::new(&self.workshop.limits, false);
        match self.workshop.compiler.compile(order, upload, nowhere).await {
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
        let workshop = &self.workshop;
        let mut target = workshop.target(&digest)?;
        let shape = loop {
            let order = Order::new(&workshop.limits, true);
            let file = target.file().try_clone().map_err(SandboxError::Compiler)?;
            match (workshop.compiler.compile(order, upload.clone(), file).await, &target) {
                (Ok(shape), _) => break shape,
                (Err(Failure::Upload(error)), _) => return Err(error),
                (Err(Failure::DiskFull), Target::Disk(_)) => {
                    tracing::error!(%digest, "the disk is full: compiled code cannot be kept");
                    target = Target::Memory(mapped::memory_file().map_err(SandboxError::Compiler)?);
                }
                (Err(Failure::DiskFull), Target::Memory(_)) => {
                    let full = std::io::ErrorKind::StorageFull.into();
                    return Err(SandboxError::Compiler(full).into());
                }
            }
        };
        let (workshop, recency) = (Arc::clone(workshop), self.catalog.recency());
        let source = Arc::clone(&self.source);
        let linked = blocking(move || {
            let linked = workshop.take_in(&digest, target);
            if let Err(error) = workshop.cache.prune(|digest| source.owners(digest), &recency) {
                tracing::error!(%error, "compiled code that has no more room cannot be removed");
            }
            linked
        })
        .await??;
        Ok((shape, linked))
    }
}

impl Workshop {
    /// The plugin whose code is on disk, if it verifies.
    fn load(&self, digest: &Digest) -> Option<wasmtime::Result<Plugin>> {
        self.cache.load(&self.engine, digest).map(|code| self.linker.link_mapped(code))
    }

    fn target(&self, digest: &Digest) -> Result<Target, SandboxError> {
        match self.cache.begin() {
            Ok(file) => Ok(Target::Disk(file)),
            Err(error) => {
                tracing::error!(%digest, %error, "compiled code cannot be kept");
                mapped::memory_file().map(Target::Memory).map_err(SandboxError::Compiler)
            }
        }
    }

    /// Links code that has just been compiled.
    fn take_in(&self, digest: &Digest, target: Target) -> Result<wasmtime::Result<Plugin>, SandboxError> {
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
                    Err(error) => tracing::error!(%digest, %error, "compiled code cannot be kept"),
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

/// Runs `work` where it holds up nothing else.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SandboxError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| SandboxError::Panicked(error.to_string()))
}
