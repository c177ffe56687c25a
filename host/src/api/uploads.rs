//! Uploads of plugins as they arrive: each goes into a file without a name, so that a slow sender takes hardly any memory.
//!
//! An upload is in memory only while the sandbox or the storage reads it, and uploads wait for that in order of arrival. So a legal
//! upload gets through whatever memory other requests hold.

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

/// The greatest size of an upload, in bytes.
pub const MAX_UPLOAD_LEN: usize = 32 * 1024 * 1024;
/// Uploads of all tenants that arrive or are examined at the same time. Each is an open file.
const MAX_FILES: usize = 32;
/// How long an upload waits for one of these files.
const FILE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of uploads in memory at the same time: the largest upload, and smaller ones beside it.
const MEMORY: usize = MAX_UPLOAD_LEN / 2 * 3;
/// What one permit of that memory stands for, in bytes.
const UNIT: usize = 64 * 1024;

/// See the module's head.
#[derive(Debug)]
pub struct Uploads {
    /// The directory of the files.
    dir: PathBuf,
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

/// The bytes of an upload, and the memory that they take.
struct Loaded {
    bytes: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

impl Uploads {
    /// Uploads arrive in files in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        let (files, memory) = (Semaphore::new(MAX_FILES), Semaphore::new(MEMORY / UNIT));
        Self { dir, files: Arc::new(files), memory: Arc::new(memory) }
    }

    /// Takes a request's body in.
    ///
    /// # Errors
    /// If it is no Wasm by its type, larger than [`MAX_UPLOAD_LEN`], doesn't arrive, or cannot be written.
    pub async fn receive(&self, payload: Payload) -> Result<Upload, Problem> {
        let permit = tokio::time::timeout(FILE_TIMEOUT, Arc::clone(&self.files).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Problem::new(
                Kind::Unavailable,
                "too many uploads are under way; try again in a moment",
            ));
        };
        let mut parts = payload.parts(ContentType::Wasm, MAX_UPLOAD_LEN)?;
        let dir = self.dir.clone();
        let file = blocking(move || tempfile::tempfile_in(dir)).await?;
        let (mut file, mut len) = (tokio::fs::File::from_std(file), 0);
        while let Some(part) = parts.next().await? {
            file.write_all(&part).await.map_err(|error| unavailable(&error))?;
            len += part.len();
        }
        file.flush().await.map_err(|error| unavailable(&error))?;
        let file = Arc::new(file.into_std().await);
        Ok(Upload { file, len, memory: Arc::clone(&self.memory), _file_permit: permit })
    }
}

impl Upload {
    /// The bytes, in memory until the last part of them is dropped. Waits until there is memory for them.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub async fn load(&self) -> Result<Bytes, Problem> {
        let units = u32::try_from(self.len.div_ceil(UNIT)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.memory).acquire_many_owned(units).await;
        let permit = permit.map_err(|error| Problem::internal("waiting for memory", &error))?;
        let (file, mut bytes) = (Arc::clone(&self.file), vec![0; self.len]);
        let read = move || file.read_exact_at(&mut bytes, 0).map(|()| bytes);
        let bytes = blocking(read).await?;
        Ok(Bytes::from_owner(Loaded { bytes, _permit: permit }))
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
    let done = done.map_err(|error| Problem::internal("an upload's file", &error))?;
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

    use super::*;

    async fn payload(len: usize) -> Payload {
        let piece = move |from: usize| Bytes::from(vec![7; UNIT.min(len - from)]);
        let pieces = (0..len).step_by(UNIT).map(move |from| Ok::<_, io::Error>(piece(from)));
        let request = Request::builder().header(CONTENT_TYPE, "application/wasm");
        let request = request.body(Body::from_stream(stream::iter(pieces))).unwrap();
        let Ok(payload) = Payload::from_request(request, &()).await;
        payload
    }

    #[tokio::test]
    async fn an_upload_of_any_legal_size_is_read_back_and_a_larger_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(dir.path().to_owned());
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
    async fn uploads_wait_for_memory_and_get_it() {
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(dir.path().to_owned());
        let large = uploads.receive(payload(MAX_UPLOAD_LEN).await).await.unwrap();
        let other = uploads.receive(payload(MAX_UPLOAD_LEN).await).await.unwrap();
        let small = uploads.receive(payload(UNIT).await).await.unwrap();
        let held = large.load().await.unwrap();
        assert_eq!(small.load().await.unwrap().len(), UNIT, "a small one fits beside the largest");
        let mut waiting = other.load().boxed();
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        assert_eq!(waiting.await.unwrap().len(), MAX_UPLOAD_LEN);
        assert_eq!(uploads.memory.available_permits(), MEMORY / UNIT);
    }
}
