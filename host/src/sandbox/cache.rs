//! On-disk cache of compiled code.
//!
//! There are two files per plugin. `<digest>-<engine>.cwasm` is wasmtime's output; it is mapped, so a plugin uses
//! only the memory of the pages that its calls touch. A `.mac` file authenticates the plugin's digest, the engine's
//! compatibility hash and the code. Code that does not verify is compiled again. The key is random and is created
//! when the directory is first used. Files are written under a temporary name and renamed.
//!
//! If the cache exceeds its limit, [`super::eviction`] selects the files to remove.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ring::{digest, hmac};
use wasmtime::Engine;
use zeroize::Zeroizing;

use crate::domain::Digest;
use crate::private_file;
use crate::random;

use super::Owners;
use super::eviction::{self, Entry};
use super::mapped::Mapped;

/// Input of the MAC. Increment the number if the code compiled from the same upload changes.
const FORMAT: &[u8] = b"hookwright compiled code 1\0";

/// Prefix of temporary files.
const UNFINISHED: &str = ".tmp";

/// A cache directory.
pub(super) struct Cache {
    dir: PathBuf,
    key: Zeroizing<[u8; 64]>,
    engine: [u8; 32],
    max_bytes: u64,
}

impl Cache {
    /// # Errors
    /// If the directory or its key cannot be created or read.
    pub(super) fn open(dir: &Path, engine: &Engine, max_bytes: u64) -> io::Result<Self> {
        private_file::create_dir(dir)?;
        let cache = Self { dir: dir.to_owned(), key: key(dir)?, engine: fingerprint(engine), max_bytes };
        cache.remove_unfinished()?;
        Ok(cache)
    }

    /// Returns whether there is code for this digest. It may still fail verification.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.path(digest, "cwasm").exists()
    }

    /// Maps the code for this digest if it exists and verifies.
    pub(super) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Mapped> {
        let path = self.path(digest, "cwasm");
        let mut code = File::open(&path).ok()?;
        let expected = fs::read(self.path(digest, "mac")).ok()?;
        if let Err(error) = self.verify(digest, &mut code, &expected) {
            tracing::warn!(%digest, %error, "compiled code failed verification; compiling again");
            return None;
        }
        // The modification time records the last use for eviction. A failure only makes the code look older.
        let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        let _ =
            rustix::fs::futimens(&code, &rustix::fs::Timestamps { last_access: now, last_modification: now });
        Mapped::open(engine, &path)
            .inspect_err(|error| tracing::warn!(%digest, %error, "mapping compiled code failed"))
            .ok()
    }

    /// Creates a temporary file for code. It is removed unless it is passed to [`Self::keep`].
    ///
    /// # Errors
    /// If the file cannot be created.
    pub(super) fn begin(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.dir)
    }

    /// Stores the content of `code` under this digest.
    ///
    /// # Errors
    /// If the file cannot be read or stored.
    pub(super) fn keep(&self, digest: &Digest, mut code: tempfile::NamedTempFile) -> io::Result<()> {
        code.as_file_mut().rewind()?;
        let mut mac = self.mac(digest);
        for_each_chunk(code.as_file_mut(), |chunk| mac.update(chunk))?;
        // Mapped pages are released and read again, so the content must be on disk.
        code.as_file().sync_all()?;
        self.write(&self.path(digest, "mac"), mac.sign().as_ref())?;
        code.persist(self.path(digest, "cwasm"))?;
        Ok(())
    }

    /// Removes the files for this digest.
    pub(super) fn remove(&self, digest: &Digest) {
        for extension in ["cwasm", "mac"] {
            let path = self.path(digest, extension);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%digest, %error, "removing unused compiled code failed");
            }
        }
    }

    fn verify(&self, digest: &Digest, code: &mut File, expected: &[u8]) -> Result<(), String> {
        let mut mac = self.mac(digest);
        for_each_chunk(code, |chunk| mac.update(chunk)).map_err(|error| error.to_string())?;
        // The key is secret, so the comparison must take the same time wherever the two differ.
        let is_equal: bool = subtle::ConstantTimeEq::ct_eq(mac.sign().as_ref(), expected).into();
        if is_equal { Ok(()) } else { Err("its MAC differs".to_owned()) }
    }

    fn mac(&self, digest: &Digest) -> hmac::Context {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.key.as_slice()));
        mac.update(FORMAT);
        mac.update(&digest.0);
        mac.update(&self.engine);
        mac
    }

    fn path(&self, digest: &Digest, extension: &str) -> PathBuf {
        self.dir.join(format!("{}-{}.{extension}", digest.to_hex(), hex::encode(&self.engine[..8])))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.begin()?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes files until the cache is within its limit. `owners` returns the owners of a plugin; `recency` has the
    /// plugins in memory, with greater numbers for later uses.
    ///
    /// # Errors
    /// If the directory cannot be read or a file cannot be removed.
    pub(super) fn prune(
        &self,
        owners: impl Fn(&Digest) -> Owners,
        recency: &HashMap<Digest, u64>,
    ) -> io::Result<()> {
        let mut entries = Vec::new();
        for (path, bytes, modified) in self.files()? {
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            // Code of another engine version has no owner.
            let digest = self.digest_of(name);
            let owners = digest.as_ref().map_or(Owners::Unowned, &owners);
            let recency = digest.and_then(|digest| recency.get(&digest)).copied();
            entries.push(Entry { path, bytes, owners, used: (recency, modified) });
        }
        for path in eviction::evict(entries, self.max_bytes) {
            fs::remove_file(&path)?;
            drop(fs::remove_file(path.with_extension("mac")));
        }
        Ok(())
    }

    /// Returns the size of all code, of any engine version, and the limit, in bytes.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub(super) fn size_and_limit(&self) -> io::Result<(u64, u64)> {
        Ok((self.files()?.iter().map(|(_, bytes, _)| bytes).sum(), self.max_bytes))
    }

    fn files(&self) -> io::Result<Vec<(PathBuf, u64, SystemTime)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else { continue };
            if entry.path().extension().is_some_and(|extension| extension == "cwasm") {
                files.push((entry.path(), metadata.len(), metadata.modified()?));
            }
        }
        Ok(files)
    }

    /// Removes temporary files that a killed engine left behind.
    fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Parses the digest from a file name; `None` if the code is for another engine version.
    fn digest_of(&self, name: &str) -> Option<Digest> {
        let (digest, engine) = name.split_once('-')?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digest, &mut bytes).ok()?;
        (engine == hex::encode(&self.engine[..8])).then_some(Digest(bytes))
    }
}

fn for_each_chunk(file: &mut File, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut chunk = vec![0; 64 << 10];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(()),
            read => each(&chunk[..read]),
        }
    }
}

/// Reads the directory's key, and creates it if there is none.
fn key(dir: &Path) -> io::Result<Zeroizing<[u8; 64]>> {
    let path = dir.join("key");
    if !path.exists() {
        let fresh = Zeroizing::new(random::secret_bytes::<64>());
        // If another process creates the key first, use that one.
        match private_file::create(&path, &*fresh) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let bytes = Zeroizing::new(fs::read(&path)?);
    let key: [u8; 64] = bytes.as_slice().try_into().map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} must contain a key of exactly 64 bytes", path.display()),
        )
    })?;
    Ok(Zeroizing::new(key))
}

/// Hashes the settings that determine whether two engines can run the same compiled code.
fn fingerprint(engine: &Engine) -> [u8; 32] {
    struct Sha(digest::Context);
    impl Hasher for Sha {
        fn finish(&self) -> u64 {
            0 // Unused: the caller takes the SHA-256 digest.
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut sha = Sha(digest::Context::new(&digest::SHA256));
    engine.precompile_compatibility_hash().hash(&mut sha);
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(sha.0.finish().as_ref());
    fingerprint
}
