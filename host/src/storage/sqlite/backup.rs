//! Copies the database while an engine writes to it.
//!
//! The files are copied as they are: unlike `VACUUM INTO`, that takes no core from the engine to rewrite every row, and changes
//! no row's number. While a [`Snapshot`] is open, this is safe. The log is never emptied then, and of the log only what the snapshot
//! sees is copied into the database. So the database's file and a complete copy of the log together are the snapshot, or a
//! state after it, whatever of the log was already in the database. SQLite puts them together when the copy is opened, as
//! after a crash. Then the copy is checked.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::data_dir::{DATABASE_FILE, LOG_FILE};
use super::snapshot::Snapshot;
use super::{connection, integrity, schema, sealing};
use crate::clock;
use crate::storage::backup::{BackupError, KeyPlace, check_room};
use crate::vault::Vault;

/// How many bytes are copied before they are synced. The engine's own syncs wait for one of these: it is short.
const SYNCED_BYTES: u64 = 8 << 20;
/// What a copy needs beside the files.
const SPARE_BYTES: u64 = 16 << 20;
/// The head of a write-ahead log. It changes whenever the log begins anew.
const LOG_HEAD_BYTES: u64 = 32;
/// How often the log is copied, at most. During a snapshot it begins anew once at most.
const MAX_LOG_COPIES: usize = 4;
/// How many kinds of damage are named.
const NAMED_DAMAGE: usize = 5;

/// The tables whose rows a backup counts.
const COUNTED: [&str; 7] =
    ["tenants", "hooks", "api_keys", "plugin_versions", "events", "deliveries", "attempts"];

/// A copy of a database.
#[derive(Debug)]
pub struct DatabaseCopy {
    /// The newest migration that it has.
    pub schema_version: i64,
    /// How many rows it has, by table.
    pub rows: BTreeMap<String, u64>,
    /// Whether an engine ran meanwhile.
    pub was_online: bool,
    /// Which of the keys opens its secrets.
    pub key: KeyPlace,
    /// How long the files were copied: so long was the snapshot open.
    pub copying_took: Duration,
    /// By how many bytes the engine's write-ahead log grew meanwhile.
    pub log_growth_bytes: u64,
}

/// Copies the database of `data_dir` into the directory `target`, and checks the copy. What was committed before the call is in
/// it. Looks whether `key` opens its secrets. If the call fails, the copy is removed.
///
/// # Errors
/// [`BackupError::NoRoom`]; [`BackupError::Damaged`] if the copy is; else the error of the file system or the database.
pub async fn back_up(
    data_dir: &Path,
    target: &Path,
    key: Option<(KeyPlace, &Vault)>,
) -> Result<DatabaseCopy, BackupError> {
    let temporary = Temporary(target.join(format!("{DATABASE_FILE}.partial")));
    let snapshot = Snapshot::take(data_dir).await?;
    let began = clock::monotonic();
    let log_bytes = snapshot.log_bytes();
    let (from, to) = (data_dir.to_owned(), temporary.0.clone());
    let files = tokio::task::spawn_blocking(move || copy_files(&from, &to)).await.map_err(io::Error::from)?;
    let was_online = snapshot.is_online();
    let log_growth_bytes = snapshot.log_bytes().saturating_sub(log_bytes);
    let copying_took = clock::elapsed(began);
    snapshot.end().await?;
    // Not before: closing a file that SQLite has open releases SQLite's locks on it.
    drop(files?);
    let copy = complete(&temporary.0, key).await?;
    std::fs::rename(&temporary.0, target.join(DATABASE_FILE))?;
    File::open(target)?.sync_all()?;
    Ok(DatabaseCopy { was_online, copying_took, log_growth_bytes, ..copy })
}

/// The files of an unfinished copy. They are removed on drop.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            // Most are gone by then, and the rest is named as partial.
            let _ = std::fs::remove_file(with_suffix(&self.0, suffix));
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Copies the log, then the database. Returns the files that were read, which must stay open as long as SQLite has them open.
fn copy_files(data_dir: &Path, to: &Path) -> Result<Vec<File>, BackupError> {
    let (database, log) = (data_dir.join(DATABASE_FILE), data_dir.join(LOG_FILE));
    let bytes = |path: &Path| path.metadata().map_or(0, |about| about.len());
    let dir = to.parent().unwrap_or(Path::new("."));
    check_room(dir, bytes(&database) + 2 * bytes(&log) + SPARE_BYTES)?;
    copy_log(&log, &with_suffix(to, "-wal"))?;
    let file = File::open(&database)?;
    copy(&file, to)?;
    Ok(vec![file])
}

/// Copies a log that grows. If it begins anew meanwhile, the copy has parts of both, and is made again.
fn copy_log(from: &Path, to: &Path) -> io::Result<()> {
    for _ in 0..MAX_LOG_COPIES {
        let file = match File::open(from) {
            // An engine that was stopped has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let head = head(from)?;
        copy(&file, to)?;
        if self::head(from)? == head {
            return Ok(());
        }
    }
    Err(io::Error::other(
        "the write-ahead log begins anew again and again, which it does not under an open snapshot",
    ))
}

fn head(log: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(log)?.take(LOG_HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

fn copy(mut from: &File, to: &Path) -> io::Result<()> {
    use std::io::Seek as _;
    from.rewind()?;
    let mut out = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(to)?;
    loop {
        let copied = io::copy(&mut from.take(SYNCED_BYTES), &mut out)?;
        out.sync_data()?;
        if copied == 0 {
            return Ok(());
        }
    }
}

/// Puts the copies of database and log together, and checks the result.
async fn complete(path: &Path, key: Option<(KeyPlace, &Vault)>) -> Result<DatabaseCopy, BackupError> {
    let file = SqliteConnectOptions::new().filename(path);
    let options = connection::migration_options(file).create_if_missing(false);
    // The check reads everything, some of it several times.
    let mut connection = options.pragma("cache_size", "-65536").connect().await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
    let damage = integrity::damage(&mut connection, "PRAGMA quick_check(100)", NAMED_DAMAGE).await;
    if !damage.is_empty() {
        let reason = format!(
            "the copy of the database does not pass `PRAGMA quick_check` ({}); no backup was made. Look at the original with \
             `hookwright check`, and keep older backups",
            damage.join("; ")
        );
        return Err(BackupError::Damaged { file: path.to_owned(), reason });
    }
    let schema_version = schema::version(&mut connection).await?;
    let key = match key {
        Some((place, vault)) if sealing::opens(&mut connection, vault).await? => place,
        _ => KeyPlace::Unknown,
    };
    let mut rows = BTreeMap::new();
    for table in COUNTED {
        // The database may be one that an earlier engine left.
        if schema::has_table(&mut connection, table).await? {
            rows.insert(table.to_owned(), schema::count(&mut connection, table).await?);
        }
    }
    connection.close().await?;
    File::open(path)?.sync_all()?;
    let copying_took = Duration::ZERO;
    Ok(DatabaseCopy { schema_version, rows, key, was_online: false, copying_took, log_growth_bytes: 0 })
}
