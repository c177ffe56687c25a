//! Downloads of plugins: however slowly they are read, each takes little memory.
//!
//! What is stored is one value of up to 32 MB. It is read once, one plugin at a time, into a file without a name that all readers
//! of the same bytes share, and sent from there in pieces.

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
use crate::turns::TenantTurns;

/// What is read at once, in bytes.
const PIECE: usize = 64 * 1024;
/// What one download has in memory: a piece that is read, and one that is sent.
const IN_MEMORY: usize = 2 * PIECE;
/// Plugins that are downloaded at the same time, each by any number of readers. Each is an open file.
const MAX_FILES: usize = 32;
/// Downloads of one tenant that begin at the same time: each may have its plugin in memory for a moment.
const BEGINNING: usize = 1;

/// See the module's head.
#[derive(Debug)]
pub struct Downloads {
    /// Where the files are made.
    dir: PathBuf,
    beginning: TenantTurns,
    places: Arc<Semaphore>,
    files: Mutex<HashMap<Digest, Weak<Spooled>>>,
}

/// The bytes of a plugin, in a file that nobody else sees.
#[derive(Debug)]
struct Spooled {
    file: File,
    len: u64,
    _place: OwnedSemaphorePermit,
}

/// A plugin on its way to one reader.
#[derive(Debug)]
pub struct Download {
    /// Its size, in bytes.
    pub len: u64,
    /// Its bytes.
    pub body: Body,
}

impl Downloads {
    /// Downloads by way of files in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        let places = Arc::new(Semaphore::new(MAX_FILES));
        Self { dir, beginning: TenantTurns::new(BEGINNING), places, files: Mutex::default() }
    }

    /// Begins to download the plugin `digest`; `None` if it is not there.
    ///
    /// # Errors
    /// If too many downloads are under way, or storage fails.
    pub async fn begin(
        &self,
        directory: &Directory,
        tenant: TenantId,
        digest: &Digest,
        client: Option<&Client>,
    ) -> Result<Option<Download>, Problem> {
        let reserved = client.map(|client| client.reserve_answer(IN_MEMORY)).transpose();
        let reserved = reserved.map_err(|NoRoom| too_many())?.flatten();
        let _turn = self.beginning.turn(tenant).await;
        let mut files = self.files.lock().await;
        if let Some(spooled) = files.get(digest).and_then(Weak::upgrade) {
            return Ok(Some(Download::of(spooled, reserved)));
        }
        files.retain(|_, file| file.strong_count() > 0);
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| too_many())?;
        let Some(wasm) = directory.plugin_wasm(digest).await? else { return Ok(None) };
        let dir = self.dir.clone();
        let spooled = tokio::task::spawn_blocking(move || spool(&dir, &wasm, place)).await;
        let spooled = spooled.map_err(|error| Problem::internal("reading a plugin", &error))?;
        let spooled =
            Arc::new(spooled.map_err(|error| Problem::unavailable("writing a plugin to a file", &error))?);
        files.insert(*digest, Arc::downgrade(&spooled));
        Ok(Some(Download::of(spooled, reserved)))
    }
}

fn too_many() -> Problem {
    Problem::new(Kind::TooManyRequests, "too many downloads are under way; try again when some have ended")
}

fn spool(dir: &std::path::Path, wasm: &[u8], place: OwnedSemaphorePermit) -> io::Result<Spooled> {
    let mut file = tempfile::tempfile_in(dir)?;
    file.write_all(wasm)?;
    Ok(Spooled { file, len: wasm.len() as u64, _place: place })
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
    fn of(spooled: Arc<Spooled>, reserved: Option<Reserved>) -> Self {
        let len = spooled.len;
        let pieces = stream::try_unfold((spooled, reserved, 0), |(spooled, reserved, from)| async move {
            if from == spooled.len {
                return Ok(None);
            }
            let here = Arc::clone(&spooled);
            let piece =
                tokio::task::spawn_blocking(move || here.piece(from)).await.map_err(io::Error::other)??;
            let next = from + piece.len() as u64;
            Ok::<_, io::Error>(Some((piece, (spooled, reserved, next))))
        });
        Self { len, body: Body::from_stream(pieces) }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_download_comes_in_pieces_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        for len in [0, 1, PIECE, PIECE + 1, 3 * PIECE] {
            let wasm: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let mut download = Download::of(Arc::new(spool(dir.path(), &wasm, place).unwrap()), None);
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
}
