//! Compiled code on disk.
//!
//! Two files for each plugin: `<digest>-<engine>.cwasm`, as wasmtime wrote it, to be mapped, so that
//! a hundred plugins cost the memory of the pages which their calls touch; and a MAC beside it, over
//! the plugin's digest, the engine's compatibility hash and the code. What doesn't verify is
//! compiled anew. The key is made of random bytes when the directory is first used. Files are
//! written under another name and moved. The oldest go when the cache has grown over its bound.

use std::fs::{self, File};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use zeroize::Zeroizing;

use crate::domain::Digest;
use crate::private_file;

use super::mapped::Mapped;

/// Part of the MAC: to be counted up when what is compiled from the same upload changes.
const FORMAT: &[u8] = b"hookwright compiled code 1\0";

/// The cache in one directory.
pub(super) struct Cache {
    dir: PathBuf,
    key: Zeroizing<[u8; 64]>,
    engine: [u8; 32],
    max_bytes: u64,
}

impl Cache {
    /// # Errors
    /// Where the directory or its key can't be made or read.
    pub(super) fn open(dir: &Path, engine: &Engine, max_bytes: u64) -> io::Result<Self> {
        private_file::create_dir(dir)?;
        let cache = Self { dir: dir.to_owned(), key: key(dir)?, engine: fingerprint(engine), max_bytes };
        cache.prune()?;
        Ok(cache)
    }

    /// The code for these bytes, if it is here and is what this engine wrote.
    pub(super) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Mapped> {
        let path = self.path(digest, "cwasm");
        let code = File::open(&path).ok()?;
        let expected = fs::read(self.path(digest, "mac")).ok()?;
        if let Err(error) = self.verify(digest, code, &expected) {
            tracing::warn!(%digest, %error, "compiled code does not verify and is compiled anew");
            return None;
        }
        Mapped::open(engine, &path)
            .inspect_err(|error| tracing::warn!(%digest, %error, "compiled code cannot be mapped"))
            .ok()
    }

    /// # Errors
    /// Where the code can't be written.
    pub(super) fn store(&self, digest: &Digest, code: &[u8]) -> io::Result<()> {
        let mut mac = self.mac(digest);
        mac.update(code);
        self.write(&self.path(digest, "mac"), &mac.finalize().into_bytes())?;
        self.write(&self.path(digest, "cwasm"), code)?;
        self.prune()
    }

    /// Removes what is here for these bytes.
    pub(super) fn remove(&self, digest: &Digest) {
        for extension in ["cwasm", "mac"] {
            let path = self.path(digest, extension);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%digest, %error, "compiled code that nobody wants cannot be removed");
            }
        }
    }

    fn verify(&self, digest: &Digest, mut code: File, expected: &[u8]) -> Result<(), String> {
        let mut mac = self.mac(digest);
        let mut chunk = vec![0; 64 << 10];
        loop {
            let read = code.read(&mut chunk).map_err(|error| error.to_string())?;
            if read == 0 {
                return mac.verify_slice(expected).map_err(|error| error.to_string());
            }
            mac.update(&chunk[..read]);
        }
    }

    fn mac(&self, digest: &Digest) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&(*self.key).into());
        mac.update(FORMAT);
        mac.update(&digest.0);
        mac.update(&self.engine);
        mac
    }

    fn path(&self, digest: &Digest, extension: &str) -> PathBuf {
        self.dir.join(format!("{}-{}.{extension}", digest.to_hex(), hex::encode(&self.engine[..8])))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(bytes)?;
        // Pages of it are forgotten and read again: what is mapped must be on disk.
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes the oldest files until the rest is within bounds.
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else { continue };
            if entry.path().extension().is_some_and(|extension| extension == "cwasm") {
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        files.sort();
        for (_, bytes, path) in files {
            if total <= self.max_bytes {
                break;
            }
            total -= bytes;
            fs::remove_file(&path)?;
            drop(fs::remove_file(path.with_extension("mac")));
        }
        Ok(())
    }
}

/// The directory's key; a new one where there is none yet.
fn key(dir: &Path) -> io::Result<Zeroizing<[u8; 64]>> {
    let path = dir.join("key");
    if !path.exists() {
        let fresh = Zeroizing::new(rand::random::<[u8; 64]>());
        // Whoever of two processes comes second reads the first's.
        match private_file::create(&path, &*fresh) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let bytes = Zeroizing::new(fs::read(&path)?);
    let key: [u8; 64] = bytes.as_slice().try_into().map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} does not hold a key of 64 bytes", path.display()),
        )
    })?;
    Ok(Zeroizing::new(key))
}

/// A hash of everything that makes two engines' code exchangeable.
fn fingerprint(engine: &Engine) -> [u8; 32] {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn finish(&self) -> u64 {
            0 // Not asked for: the digest is taken instead.
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut sha = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sha);
    sha.0.finalize().into()
}
