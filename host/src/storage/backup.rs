//! A backup of a data directory: a folder with a copy of the database, what belongs to it, and a manifest.
//!
//! The manifest is written last: a folder without one is not a backup. It has the size and SHA-256 of each file, so that a
//! backup that was damaged on its way is not restored.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ring::digest;
use serde::{Deserialize, Serialize};

use super::{StorageError, sqlite};
use crate::private_file;

/// The manifest's file.
pub const MANIFEST_FILE: &str = "manifest.json";
/// How many bytes are copied or hashed at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Why a backup cannot be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The directory to write is not empty.
    #[error("{} is not empty: {what}", .dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// What to do.
        what: &'static str,
    },
    /// The directory holds no backup.
    #[error("{} is not a complete backup: {reason}", .dir.display())]
    NotABackup {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file is not as it was written.
    #[error("{} is damaged: {reason}; use another backup", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// The disk has too little room.
    #[error("{} has room for {} MB, and {} MB are needed: free some, or name a directory on another disk", .dir.display(), .free >> 20, .needed >> 20)]
    NoRoom {
        /// The directory.
        dir: PathBuf,
        /// How many bytes are free.
        free: u64,
        /// How many are needed.
        needed: u64,
    },
    /// A newer engine made the backup.
    #[error(
        "hookwright {version} made this backup, which is newer than this engine: restore it with that one"
    )]
    Newer {
        /// The version of that engine.
        version: String,
    },
    /// The database cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        Self::Storage(error.into())
    }
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Storage(error.into())
    }
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub format: u32,
    /// The version of the engine that made the backup.
    pub engine_version: String,
    /// The newest migration of the database.
    pub schema_version: i64,
    /// When the backup began. Everything that was answered before is in it.
    pub began_at: Timestamp,
    /// When it was complete.
    pub finished_at: Timestamp,
    /// How many rows the database has, by table.
    pub rows: BTreeMap<String, u64>,
    /// Where the key is that the secrets are encrypted with.
    pub encryption_key: KeyPlace,
    /// The files, each with its size and SHA-256.
    pub files: Vec<BackupFile>,
}

/// Where the encryption key of a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPlace {
    /// In the backup.
    Included,
    /// In the file `encryption.key` of the data directory that was backed up.
    DataDirectory,
    /// In the setting `encryption_key`.
    Setting,
    /// Not known: the command had no key that opens the database.
    Unknown,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// The version of the format that is written.
    pub const FORMAT: u32 = 1;

    /// Writes it into `dir`, which is a backup from then on.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn write(&self, dir: &Path) -> Result<(), BackupError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(io::Error::from)?;
        text.push(b'\n');
        Ok(private_file::create(&dir.join(MANIFEST_FILE), &text)?)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`], [`BackupError::Newer`]; else the error of the file system.
    pub fn read(dir: &Path) -> Result<Self, BackupError> {
        let not_a_backup = |reason: String| BackupError::NotABackup { dir: dir.to_owned(), reason };
        let Some(text) = private_file::read(&dir.join(MANIFEST_FILE))? else {
            let reason = format!(
                "it has no {MANIFEST_FILE}; name the directory that `hookwright backup` wrote to its end"
            );
            return Err(not_a_backup(reason));
        };
        let bad =
            |error: serde_json::Error| not_a_backup(format!("its {MANIFEST_FILE} cannot be read: {error}"));
        let head: Head = serde_json::from_str(&text).map_err(bad)?;
        if head.format > Self::FORMAT {
            return Err(BackupError::Newer { version: head.engine_version });
        }
        let manifest: Self = serde_json::from_str(&text).map_err(bad)?;
        // A manifest from elsewhere must not lead out of its directory.
        match manifest.files.iter().find(|file| file.name.contains('/') || file.name.starts_with('.')) {
            Some(file) => Err(not_a_backup(format!("its {MANIFEST_FILE} names the file `{}`", file.name))),
            None => Ok(manifest),
        }
    }

    /// The size of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        // One that was changed may say anything.
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// What it says of the file `name`.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&BackupFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// What is read of a manifest first: the rest may have another form.
#[derive(Deserialize)]
struct Head {
    format: u32,
    engine_version: String,
}

impl BackupFile {
    /// Measures the file `name` in `dir`.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn measure(dir: &Path, name: &str) -> io::Result<Self> {
        let (bytes, sha256) = copy_hashed(&dir.join(name), &mut io::sink())?;
        Ok(Self { name: name.to_owned(), bytes, sha256 })
    }

    /// Checks that the file in `dir` is as it was written, and copies it to `out` meanwhile.
    ///
    /// # Errors
    /// [`BackupError::Damaged`]; else the error of the file system.
    pub fn verify(&self, dir: &Path, out: &mut impl Write) -> Result<(), BackupError> {
        let file = dir.join(&self.name);
        let damaged = |reason: String| BackupError::Damaged { file: file.clone(), reason };
        let (bytes, sha256) = match copy_hashed(&file, out) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged("it is missing".to_owned()));
            }
            copied => copied?,
        };
        if bytes != self.bytes {
            return Err(damaged(format!("it has {bytes} bytes instead of {}", self.bytes)));
        }
        if sha256 != self.sha256 {
            return Err(damaged("its SHA-256 is not that in the manifest".to_owned()));
        }
        Ok(())
    }
}

/// Copies a file. Returns its size, and its SHA-256 in hexadecimal.
fn copy_hashed(path: &Path, out: &mut impl Write) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hash = digest::Context::new(&digest::SHA256);
    let (mut chunk, mut bytes) = (vec![0; CHUNK_BYTES], 0);
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            return Ok((bytes, hex::encode(hash.finish())));
        }
        hash.update(&chunk[..length]);
        out.write_all(&chunk[..length])?;
        bytes += length as u64;
    }
}

/// Creates `dir` if it is missing. A directory with files is refused; `what` says what to do then. Returns whether it was
/// created.
///
/// # Errors
/// [`BackupError::NotEmpty`]; else the error of the file system.
pub fn create_empty(dir: &Path, what: &'static str) -> Result<bool, BackupError> {
    match dir.read_dir() {
        Ok(entries) => {
            for entry in entries {
                // The root of a new file system has it.
                if entry?.file_name() != "lost+found" {
                    return Err(BackupError::NotEmpty { dir: dir.to_owned(), what });
                }
            }
            Ok(false)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            private_file::create_dir(dir)?;
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses a directory on a disk with less room than `needed` bytes.
///
/// # Errors
/// [`BackupError::NoRoom`].
pub fn check_room(dir: &Path, needed: u64) -> Result<(), BackupError> {
    match sqlite::disk_space(dir) {
        Some(space) if space.free < needed => {
            Err(BackupError::NoRoom { dir: dir.to_owned(), free: space.free, needed })
        }
        // A file system that reports no sizes is not full.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(dir: &Path) -> Manifest {
        std::fs::write(dir.join("one"), "content").unwrap();
        Manifest {
            format: Manifest::FORMAT,
            engine_version: "0.1.0".to_owned(),
            schema_version: 7,
            began_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
            rows: BTreeMap::from([("events".to_owned(), 3)]),
            encryption_key: KeyPlace::Included,
            files: vec![BackupFile::measure(dir, "one").unwrap()],
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written_and_tells_damage() {
        let dir = tempfile::tempdir().unwrap();
        let written = manifest(dir.path());
        assert!(matches!(Manifest::read(dir.path()), Err(BackupError::NotABackup { .. })));
        written.write(dir.path()).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), written);
        let mut copy = Vec::new();
        written.files[0].verify(dir.path(), &mut copy).unwrap();
        assert_eq!(copy, b"content");
        for (content, reason) in
            [(Some("contenu"), "SHA-256"), (Some("more content"), "12 bytes"), (None, "missing")]
        {
            match content {
                Some(content) => std::fs::write(dir.path().join("one"), content).unwrap(),
                None => std::fs::remove_file(dir.path().join("one")).unwrap(),
            }
            let error = written.files[0].verify(dir.path(), &mut io::sink()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn manifests_of_newer_engines_and_with_paths_are_refused() {
        for (change, reason) in [
            (("\"format\": 1", "\"format\": 2"), "newer than this engine"),
            (("\"one\"", "\"../one\""), "names the file"),
            (("\"files\"", "\"fils\""), "cannot be read"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            manifest(dir.path()).write(dir.path()).unwrap();
            let path = dir.path().join(MANIFEST_FILE);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(change.0), "{text}");
            std::fs::write(&path, text.replace(change.0, change.1)).unwrap();
            let error = Manifest::read(dir.path()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn only_an_empty_directory_with_room_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("a/b");
        assert!(create_empty(&inside, "").unwrap());
        assert!(!create_empty(&inside, "").unwrap());
        std::fs::create_dir(inside.join("lost+found")).unwrap();
        assert!(!create_empty(&inside, "").unwrap());
        std::fs::write(inside.join("file"), "").unwrap();
        assert!(matches!(create_empty(&inside, "do"), Err(BackupError::NotEmpty { what: "do", .. })));
        check_room(&inside, 1).unwrap();
        assert!(matches!(check_room(&inside, u64::MAX), Err(BackupError::NoRoom { .. })));
    }
}
