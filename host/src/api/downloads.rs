//! Downloads of plugins with bounded memory, however slowly clients read.
//!
//! Storage holds the bytes of a plugin as one value of up to 32 MiB. They are read once, one plugin of a
//! tenant at a time, into an unnamed temporary file. All downloads of the same bytes share that file and send
//! it in pieces.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::problem::{Kind, Problem};
use crate::clients::{Client, NoRoom, Reserved};
use crate::directory::Directory;
use crate::domain::{Digest, TenantId};
use crate::tenant_limiter::TenantLimiter;

/// The size of one read from the file, in bytes.
const PIECE: usize = 64 * 1024;
/// The memory of one download, in bytes: one piece that is read and one that is sent.
const IN_MEMORY: usize = 2 * PIECE;
/// The maximum number of plugins that are downloaded at the same time, each by any number of clients. Each is
/// an open file.
const MAX_FILES: usize = 32;
/// The maximum number of plugins that one tenant downloads at the same time.
const MAX_FILES_OF_TENANT: usize = 4;
/// The maximum number of downloads of one tenant that start at the same time: each may briefly hold its
/// plugin in memory.
const MAX_STARTING: usize = 1;

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Downloads {
    /// The directory of the temporary files.
    dir: PathBuf,
    starting: TenantLimiter,
    permits: Arc<Semaphore>,
    files: Mutex<Files>,
}

/// The plugins that are being downloaded.
#[derive(Debug, Default)]
struct Files {
    spooled: HashMap<Digest, Weak<Spooled>>,
    /// The same files by the tenants that download them, for the limit per tenant.
    by_tenant: HashMap<(TenantId, Digest), Weak<TenantFile>>,
}

/// A plugin that one tenant downloads, any number of times at once.
#[derive(Debug)]
struct TenantFile(Arc<Spooled>);

/// The bytes of a plugin in an unnamed file.
#[derive(Debug)]
struct Spooled {
    file: File,
    len: u64,
    _permit: OwnedSemaphorePermit,
}

/// One download of a plugin.
#[derive(Debug)]
pub struct Download {
    /// The size of the plugin, in bytes.
    pub len: u64,
    /// The bytes of the plugin.
    pub body: Body,
}

impl Downloads {
    /// Creates the service; temporary files go into `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        let permits = Arc::new(Semaphore::new(MAX_FILES));
        Self { dir, starting: TenantLimiter::new(MAX_STARTING), permits, files: Mutex::default() }
    }

    /// Starts a download of the plugin `digest`; `None` if there is no such plugin.
    ///
    /// # Errors
    /// Fails if too many downloads are in progress, or if storage fails.
    pub async fn start(
        &self,
        directory: &Directory,
        tenant: TenantId,
        digest: &Digest,
        client: Option<&Client>,
    ) -> Result<Option<Download>, Problem> {
        let reserved = client.map(|client| client.reserve_answer(IN_MEMORY)).transpose();
        let reserved = reserved.map_err(|NoRoom| too_many())?.flatten();
        let _permit = self.starting.acquire(tenant).await;
        let mut files = self.files.lock().await;
        if let Some(tenant_file) = files.find(tenant, digest)? {
            return Ok(Some(Download::of(tenant_file, reserved)));
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| too_many())?;
        let Some(wasm) = directory.plugin_wasm(digest).await? else { return Ok(None) };
        let dir = self.dir.clone();
        let spooled = tokio::task::spawn_blocking(move || spool(&dir, &wasm, permit)).await;
        let spooled = spooled.map_err(|error| Problem::internal("reading a plugin", &error))?;
        let spooled =
            Arc::new(spooled.map_err(|error| Problem::unavailable("writing a plugin to a file", &error))?);
        files.spooled.insert(*digest, Arc::downgrade(&spooled));
        Ok(Some(Download::of(files.share(tenant, *digest, spooled), reserved)))
    }
}

impl Files {
    /// The file of the plugin `digest`, if it is being downloaded already.
    ///
    /// # Errors
    /// Fails if the tenant downloads too many other plugins.
    fn find(&mut self, tenant: TenantId, digest: &Digest) -> Result<Option<Arc<TenantFile>>, Problem> {
        self.spooled.retain(|_, file| file.strong_count() > 0);
        self.by_tenant.retain(|_, file| file.strong_count() > 0);
        if let Some(tenant_file) = self.by_tenant.get(&(tenant, *digest)).and_then(Weak::upgrade) {
            return Ok(Some(tenant_file));
        }
        if self.by_tenant.keys().filter(|(holder, _)| *holder == tenant).count() >= MAX_FILES_OF_TENANT {
            return Err(too_many());
        }
        let spooled = self.spooled.get(digest).and_then(Weak::upgrade);
        Ok(spooled.map(|spooled| self.share(tenant, *digest, spooled)))
    }

    fn share(&mut self, tenant: TenantId, digest: Digest, spooled: Arc<Spooled>) -> Arc<TenantFile> {
        let tenant_file = Arc::new(TenantFile(spooled));
        self.by_tenant.insert((tenant, digest), Arc::downgrade(&tenant_file));
        tenant_file
    }
}

fn too_many() -> Problem {
    Problem::new(
        Kind::TooManyRequests,
        "too many downloads are in progress; try again when some have finished",
    )
}

fn spool(dir: &std::path::Path, wasm: &[u8], permit: OwnedSemaphorePermit) -> io::Result<Spooled> {
    let mut file = tempfile::tempfile_in(dir)?;
    file.write_all(wasm)?;
    Ok(Spooled { file, len: wasm.len() as u64, _permit: permit })
}

impl Spooled {
    fn piece(&self, from: u64) -> io::Result<Bytes> {
        let len = usize::try_from(self.len - from).unwrap_or(PIECE).min(PIECE);
        let mut piece = vec![0; len];
        self.file.read_exact_at(&mut piece, from)?;
        Ok(piece.into())
    }
}

impl Download {
    fn of(tenant_file: Arc<TenantFile>, reserved: Option<Reserved>) -> Self {
        let len = tenant_file.0.len;
        let pieces =
            stream::try_unfold((tenant_file, reserved, 0), |(tenant_file, reserved, from)| async move {
                if from == tenant_file.0.len {
                    return Ok(None);
                }
                let here = Arc::clone(&tenant_file.0);
                let piece = tokio::task::spawn_blocking(move || here.piece(from))
                    .await
                    .map_err(io::Error::other)??;
                let next = from + piece.len() as u64;
                Ok::<_, io::Error>(Some((piece, (tenant_file, reserved, next))))
            });
        Self { len, body: Body::from_stream(pieces) }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_download_is_complete_and_sent_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        for len in [0, 1, PIECE, PIECE + 1, 3 * PIECE] {
            let wasm: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let spooled = Arc::new(spool(dir.path(), &wasm, permit).unwrap());
            let mut download = Download::of(Arc::new(TenantFile(spooled)), None);
            assert_eq!(download.len, len as u64);
            let mut received = Vec::new();
            while let Some(frame) = download.body.frame().await {
                let piece = frame.unwrap().into_data().unwrap();
                assert!(piece.len() <= PIECE);
                received.extend_from_slice(&piece);
            }
            assert_eq!(received, wasm);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_tenant_downloads_few_plugins_at_the_same_time_each_any_number_of_times() {
        let dir = tempfile::tempdir().unwrap();
        let permits = Arc::new(Semaphore::new(MAX_FILES));
        let mut files = Files::default();
        let digest = |n: usize| Digest::of(&n.to_le_bytes());
        let (one, other) = (TenantId(1), TenantId(2));
        let spool_for = |files: &mut Files, tenant, n| {
            let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
            let spooled = Arc::new(spool(dir.path(), &[], permit).unwrap());
            files.spooled.insert(digest(n), Arc::downgrade(&spooled));
            files.share(tenant, digest(n), spooled)
        };
        let mut downloading: Vec<_> =
            (0..MAX_FILES_OF_TENANT).map(|n| spool_for(&mut files, one, n)).collect();
        let next = spool_for(&mut files, other, 100);
        let kind = |found: Result<Option<Arc<TenantFile>>, Problem>| {
            found.map(|it| it.is_some()).map_err(|it| it.kind())
        };
        assert_eq!(kind(files.find(one, &digest(0))), Ok(true));
        assert_eq!(kind(files.find(other, &digest(0))), Ok(true));
        for n in [100, 101] {
            assert_eq!(kind(files.find(one, &digest(n))), Err(Kind::TooManyRequests));
        }
        downloading.pop();
        assert_eq!(kind(files.find(one, &digest(100))), Ok(true));
        assert_eq!(kind(files.find(one, &digest(101))), Ok(false));
        drop((downloading, next));
        assert_eq!(kind(files.find(one, &digest(100))), Ok(false));
        assert_eq!(
            (files.spooled.len(), files.by_tenant.len(), permits.available_permits()),
            (0, 0, MAX_FILES)
        );
    }
}
