//! Puts a backup into an empty data directory.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::data_dir::{DATABASE_FILE, DataDir, IfLost};
use super::{connection, engine_state, schema, sealing};
use crate::domain::UnixMillis;
use crate::private_file::{ENCRYPTION_KEY_FILE, OPERATOR_KEY_FILE};
use crate::storage::StorageError;
use crate::storage::backup::{BackupError, Manifest, check_room, create_empty};
use crate::storage::hook_states::{PAUSED, paused_to_value};
use crate::vault::{Keys, Vault};

/// What a restored data directory may need beside the backup's size.
const SPARE_BYTES: u64 = 64 << 20;
/// The files that a backup may have.
const FILES: [&str; 3] = [DATABASE_FILE, ENCRYPTION_KEY_FILE, OPERATOR_KEY_FILE];
/// What to do with a directory that has files.
const NAME_ANOTHER: &str = "name a directory that is empty or does not exist yet, or move its files away, with everything of an \
    interrupted restore";

/// Whether the secrets of a restored database can be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoredKey {
    /// They can.
    Opens,
    /// No key is known here.
    Missing,
    /// The key that is known here is another one.
    Wrong,
}

/// Restores `backup` into `data_dir`, which must be empty or missing. With `paused_since`, the engine sends nothing after its
/// start until it is resumed. Returns whether `keys`, or the key of
/// the backup, open its secrets.
///
/// # Errors
/// [`BackupError`]; the directory is then as empty as before.
pub async fn restore(
    backup: &Path,
    manifest: &Manifest,
    data_dir: &Path,
    paused_since: Option<UnixMillis>,
    keys: &Keys,
) -> Result<RestoredKey, BackupError> {
    if manifest.schema_version > schema::newest() {
        return Err(BackupError::Newer { version: manifest.engine_version.clone() });
    }
    let is_known = |name: &str| FILES.contains(&name);
    if manifest.file(DATABASE_FILE).is_none() || !manifest.files.iter().all(|file| is_known(&file.name)) {
        let reason = "its manifest names other files than those of a data directory".to_owned();
        return Err(BackupError::NotABackup { dir: backup.to_owned(), reason });
    }
    let created = create_empty(data_dir, NAME_ANOTHER)?;
    // No engine and no other restore begins on it meanwhile. What one of them has begun before is its own.
    let lock = DataDir::take(data_dir, IfLost::Refuse)?;
    create_empty(data_dir, NAME_ANOTHER)?;
    let written = Written { data_dir: data_dir.to_owned(), created, is_complete: false };
    check_room(data_dir, manifest.bytes().saturating_add(SPARE_BYTES))?;
    let key = put(backup, manifest, data_dir, paused_since, keys).await?;
    drop(lock);
    written.complete();
    Ok(key)
}

async fn put(
    backup: &Path,
    manifest: &Manifest,
    data_dir: &Path,
    paused_since: Option<UnixMillis>,
    keys: &Keys,
) -> Result<RestoredKey, BackupError> {
    let database = data_dir.join(restoring(DATABASE_FILE));
    for file in &manifest.files {
        let (file, backup) = (file.clone(), backup.to_owned());
        let to = data_dir.join(restoring(&file.name));
        let copying = tokio::task::spawn_blocking(move || {
            let mut out = File::options().create_new(true).write(true).mode(0o600).open(to)?;
            file.verify(&backup, &mut out)?;
            Ok::<_, BackupError>(out.sync_all()?)
        });
        copying.await.map_err(io::Error::from)??;
    }
    let key_file = data_dir.join(restoring(ENCRYPTION_KEY_FILE));
    if key_file.exists() {
        std::fs::rename(key_file, data_dir.join(ENCRYPTION_KEY_FILE))?;
    }
    let vault = Vault::open_existing(data_dir, keys)?;
    let key = mark(&database, paused_since, vault.as_ref()).await?;
    for file in manifest.files.iter().filter(|file| file.name == OPERATOR_KEY_FILE) {
        std::fs::rename(data_dir.join(restoring(&file.name)), data_dir.join(&file.name))?;
    }
    // Last: a directory with a key and no database is refused by a start.
    std::fs::rename(database, data_dir.join(DATABASE_FILE))?;
    File::open(data_dir)?.sync_all()?;
    Ok(key)
}

fn restoring(name: &str) -> String {
    format!("{name}.restoring")
}

/// Marks the engine as paused, and looks whether `vault` opens the secrets.
async fn mark(
    database: &Path,
    paused_since: Option<UnixMillis>,
    vault: Option<&Vault>,
) -> Result<RestoredKey, BackupError> {
    let file = SqliteConnectOptions::new().filename(database);
    let mut connection = connection::migration_options(file).create_if_missing(false).connect().await?;
    let has_state = schema::has_table(&mut connection, "engine_state").await?;
    match paused_since {
        Some(since) if has_state => {
            engine_state::set(&mut connection, PAUSED, &paused_to_value(since)).await?;
        }
        Some(_) => {
            let what =
                "the backup is of an engine that could not be paused: restore it with --start-unpaused";
            return Err(StorageError::Missing(what.to_owned()).into());
        }
        None => {}
    }
    let key = match vault {
        None => RestoredKey::Missing,
        Some(vault) if sealing::opens(&mut connection, vault).await? => RestoredKey::Opens,
        Some(_) => RestoredKey::Wrong,
    };
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
    connection.close().await?;
    Ok(key)
}

/// What was written. It is removed on drop unless it is complete.
struct Written {
    data_dir: PathBuf,
    created: bool,
    is_complete: bool,
}

impl Written {
    fn complete(mut self) {
        self.is_complete = true;
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if self.is_complete {
            return;
        }
        for entry in self.data_dir.read_dir().into_iter().flatten().flatten() {
            // The directory was empty before.
            let _ = std::fs::remove_file(entry.path());
        }
        if self.created {
            let _ = std::fs::remove_dir(&self.data_dir);
        }
    }
}
