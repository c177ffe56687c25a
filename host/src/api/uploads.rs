//! Receives uploads of plugins into unnamed temporary files, so that slow clients use little memory.
//!
//! An upload is in memory only while the sandbox or the storage reads it. Uploads wait for that memory in
//! order of arrival, so a legal upload succeeds regardless of the memory of other requests.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::{ContentType, Payload};
use super::problem::{Kind, Problem};
use crate::storage::DeliveryStore;

/// The maximum size of an upload, in bytes.
pub const MAX_UPLOAD_LEN: usize = 32 * 1024 * 1024;
/// The maximum number of uploads of all tenants that are received or examined at the same time. Each is an
/// open file.
const MAX_FILES: usize = 32;
/// How long an upload waits for one of these files.
const FILE_TIMEOUT: Duration = Duration::from_secs(30);
/// The memory for uploads, in bytes: enough for the largest upload and smaller ones at the same time.
const MEMORY: usize = MAX_UPLOAD_LEN / 2 * 3;
/// After how many bytes the space on the disk is checked again.
const CHECK_INTERVAL: usize = 1024 * 1024;
/// The memory of one permit, in bytes.
const UNIT: usize = 64 * 1024;

/// See the [module documentation](self).
pub struct Uploads {
    /// The directory of the temporary files.
    dir: PathBuf,
    /// Knows whether there is space.
    deliveries: Arc<dyn DeliveryStore>,
    files: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// An upload that has arrived.
#[derive(Debug)]
pub struct Upload {
    file: Arc<File>,
    len: usize,
    memory: Arc<Semaphore>,
    _file_permit: OwnedSemaphorePermit,
}

/// The bytes of an upload with the permit for their memory.
struct Loaded {
    bytes: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl Uploads {
    /// Creates the service; temporary files go into `dir`, on the volume of `deliveries`.
    #[must_use]
    pub fn new(dir: PathBuf, deliveries: Arc<dyn DeliveryStore>) -> Self {
        let (files, memory) = (Semaphore::new(MAX_FILES), Semaphore::new(MEMORY / UNIT));
        Self { dir, deliveries, files: Arc::new(files), memory: Arc::new(memory) }
    }

    /// Receives the body of a request into a file.
    ///
    /// # Errors
    /// Fails if the content type is not WebAssembly, the body exceeds [`MAX_UPLOAD_LEN`] or does not arrive
    /// in time, the file cannot be written, or storage has no space left.
    pub async fn receive(&self, payload: Payload) -> Result<Upload, Problem> {
        let permit = tokio::time::timeout(FILE_TIMEOUT, Arc::clone(&self.files).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Problem::new(Kind::Unavailable, "too many uploads are in progress; try again later"));
        };
        // What is left of a full disk is for recording attempts.
        self.deliveries.check().await?;
        let mut parts = payload.parts(ContentType::Wasm, MAX_UPLOAD_LEN)?;
        let dir = self.dir.clone();
        let file = blocking(move || tempfile::tempfile_in(dir)).await?;
        let (mut file, mut len, mut checked) = (tokio::fs::File::from_std(file), 0, 0);
        while let Some(part) = parts.next().await? {
            file.write_all(&part).await.map_err(|error| unavailable(&error))?;
            len += part.len();
            if len - checked >= CHECK_INTERVAL {
                self.deliveries.check().await?;
                checked = len;
            }
        }
        file.flush().await.map_err(|error| unavailable(&error))?;
        let file = Arc::new(file.into_std().await);
        Ok(Upload { file, len, memory: Arc::clone(&self.memory), _file_permit: permit })
    }
}

impl Upload {
    /// Loads the bytes when memory is available. They count as used memory until the last clone is dropped.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub async fn load(&self) -> Result<Bytes, Problem> {
        let units = u32::try_from(self.len.div_ceil(UNIT)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.memory).acquire_many_owned(units).await;
        let permit = permit.map_err(|error| Problem::internal("waiting for memory", &error))?;
        let (file, len) = (Arc::clone(&self.file), self.len);
        // The permit goes along: the read ends even if the client leaves.
        let read = move || {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(Loaded { bytes, _permit: permit })
        };
        Ok(Bytes::from_owner(blocking(read).await?))
    }
}

impl AsRef<[u8]> for Loaded {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| Problem::internal("accessing the file of an upload", &error))?;
    done.map_err(|error| unavailable(&error))
}

fn unavailable(error: &io::Error) -> Problem {
    Problem::unavailable("writing an upload to a file", error)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::{FromRequest as _, Request};
    use futures_util::{FutureExt as _, stream};
    use http::header::CONTENT_TYPE;

    use std::path::Path;

    use super::*;
    use crate::storage::sqlite::{self, SqliteOptions};

    async fn uploads(dir: &Path) -> (Uploads, tempfile::TempDir) {
        let database = tempfile::tempdir().unwrap();
        let storage = sqlite::open(database.path(), SqliteOptions::default()).await.unwrap();
        (Uploads::new(dir.to_owned(), storage.stores().deliveries), database)
    }

    async fn payload(len: usize) -> Payload {
        let piece = move |from: usize| Bytes::from(vec![7; UNIT.min(len - from)]);
        let pieces = (0..len).step_by(UNIT).map(move |from| Ok::<_, io::Error>(piece(from)));
        let request = Request::builder().header(CONTENT_TYPE, "application/wasm");
        let request = request.body(Body::from_stream(stream::iter(pieces))).unwrap();
        let Ok(payload) = Payload::from_request(request, &()).await;
        payload
    }

    #[tokio::test]
    async fn uploads_of_all_legal_sizes_are_received_and_larger_ones_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (uploads, _database) = uploads(dir.path()).await;
        for len in [0, 1, UNIT, UNIT + 1, MAX_UPLOAD_LEN] {
            let upload = uploads.receive(payload(len).await).await.unwrap();
            let bytes = upload.load().await.unwrap();
            assert!(bytes.len() == len && bytes.iter().all(|byte| *byte == 7), "{len}");
        }
        let refused = uploads.receive(payload(MAX_UPLOAD_LEN + 1).await).await;
        assert_eq!(refused.unwrap_err().kind(), Kind::TooLarge);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(uploads.files.available_permits(), MAX_FILES);
    }

    #[tokio::test]
    async fn uploads_wait_until_memory_is_available() {
        let dir = tempfile::tempdir().unwrap();
        let (uploads, _database) = uploads(dir.path()).await;
        let large = uploads.receive(payload(MAX_UPLOAD_LEN).await).await.unwrap();
        let other = uploads.receive(payload(MAX_UPLOAD_LEN).await).await.unwrap();
        let small = uploads.receive(payload(UNIT).await).await.unwrap();
        let held = large.load().await.unwrap();
        assert_eq!(small.load().await.unwrap().len(), UNIT, "a small upload fits next to the largest");
        let mut waiting = other.load().boxed();
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        assert_eq!(waiting.await.unwrap().len(), MAX_UPLOAD_LEN);
        assert_eq!(uploads.memory.available_permits(), MEMORY / UNIT);
    }
}
