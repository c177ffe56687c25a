//! `hookwright backup`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use super::arguments::Backup;
use super::exit::BadInput;
use super::style::{FAINT, GOOD, HEAD, MUTED, PLAIN};
use crate::app;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::domain::UnixMillis;
use crate::private_file::{self, ENCRYPTION_KEY_FILE, OPERATOR_KEY_FILE};
use crate::sandbox::Count;
use crate::storage::backup::{BackupError, BackupFile, KeyPlace, Manifest, create_empty};
use crate::storage::sqlite::{self, DATABASE_FILE, DatabaseCopy};
use crate::vault::Vault;

/// What to do if the directory has files.
const NAME_ANOTHER: &str = "name a directory that does not exist yet, for each backup another one; what an interrupted backup \
    left can be removed";

/// What this command says on PostgreSQL.
const ON_POSTGRES: &str = "the database is on PostgreSQL, whose own tools make its backups. Everything that the nodes share is in \
    the database, except the settings. A small one:

  pg_dump --format=custom --file=hookwright.dump \"$HOOKWRIGHT_DATABASE\"

A large one, or to lose less than a day: base backups with archived WAL, such as `pg_basebackup`, pgBackRest or those of your
provider. Store encryption_key elsewhere. To restore, stop all nodes, and into an empty database:

  pg_restore --no-owner --dbname=\"$HOOKWRIGHT_DATABASE\" hookwright.dump
  hookwright check
  hookwright serve --paused";

/// Backs up the data directory.
pub(super) async fn run(arguments: &Backup, config: &Config, out: &mut impl Write) -> Result<ExitCode> {
    if config.database.is_some() {
        return Err(BadInput(ON_POSTGRES.to_owned()).into());
    }
    let (data_dir, target) = (config.data_dir.as_path(), arguments.target.as_path());
    let key_file = data_dir.join(ENCRYPTION_KEY_FILE);
    if arguments.with_key && !key_file.exists() {
        return Err(BadInput(format!(
            "--with-key: there is no {}: the engine has its key from the setting encryption_key. Leave the option out, and \
             store that key elsewhere",
            key_file.display()
        ))
        .into());
    }
    let began_at = now();
    let created = create_empty(target, NAME_ANOTHER).with_context(|| cannot(data_dir, target))?;
    let made = make(arguments, config, began_at).await;
    if made.is_err() && created {
        // It is empty again, unless somebody else put something there.
        let _ = std::fs::remove_dir(target);
    }
    let (copy, manifest) = made.with_context(|| cannot(data_dir, target))?;
    if arguments.json {
        super::json::write(&manifest, out)?;
    } else {
        report(data_dir, target, &copy, &manifest, out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn cannot(data_dir: &Path, target: &Path) -> String {
    format!("cannot back up {} to {}", data_dir.display(), target.display())
}

fn now() -> Timestamp {
    let UnixMillis(now) = SystemClock.now();
    Timestamp::from_millisecond(now).unwrap_or_default()
}

async fn make(
    arguments: &Backup,
    config: &Config,
    began_at: Timestamp,
) -> Result<(DatabaseCopy, Manifest), BackupError> {
    let (data_dir, target) = (config.data_dir.as_path(), arguments.target.as_path());
    let keys = app::keys(config);
    let vault = Vault::open_existing(data_dir, &keys)?;
    let place = if keys.current.is_some() { KeyPlace::Setting } else { KeyPlace::DataDirectory };
    let copy = sqlite::back_up(data_dir, target, vault.as_ref().map(|vault| (place, vault))).await?;
    let mut names = vec![DATABASE_FILE];
    let key_file = arguments.with_key.then_some(ENCRYPTION_KEY_FILE);
    for name in [Some(OPERATOR_KEY_FILE), key_file].into_iter().flatten() {
        if let Some(content) = private_file::read(&data_dir.join(name))?.map(zeroize::Zeroizing::new) {
            private_file::create(&target.join(name), content.as_bytes())?;
            names.push(name);
        }
    }
    let files = names.into_iter().map(|name| BackupFile::measure(target, name)).collect::<Result<_, _>>()?;
    let manifest = Manifest {
        format: Manifest::FORMAT,
        engine_version: env!("CARGO_PKG_VERSION").to_owned(),
        schema_version: copy.schema_version,
        began_at,
        finished_at: now(),
        rows: copy.rows.clone(),
        encryption_key: match copy.key {
            KeyPlace::DataDirectory if arguments.with_key => KeyPlace::Included,
            key => key,
        },
        files,
    };
    manifest.write(target)?;
    Ok((copy, manifest))
}

fn report(
    data_dir: &Path,
    target: &Path,
    copy: &DatabaseCopy,
    manifest: &Manifest,
    out: &mut impl Write,
) -> Result<()> {
    let (from, to) = (data_dir.display(), target.display());
    writeln!(out, "{GOOD}Backed up{PLAIN} {from} to {HEAD}{to}{PLAIN}")?;
    let megabytes = manifest.bytes().div_ceil(1 << 20);
    let took = manifest.finished_at.duration_since(manifest.began_at);
    writeln!(
        out,
        "  database   {} MB, copied in {} ms; it passes SQLite's check ({} ms in all)",
        Count(megabytes),
        copy.copying_took.as_millis(),
        took.as_millis()
    )?;
    let rows = manifest.rows.iter().map(|(table, rows)| format!("{table} {}", Count(*rows)));
    writeln!(out, "  rows       {}", rows.collect::<Vec<_>>().join(", "))?;
    if copy.was_online {
        let grown = copy.log_growth_bytes.div_ceil(1 << 20);
        writeln!(out, "  engine     it went on; its log grew by {} MB meanwhile", Count(grown))?;
    }
    let key = match manifest.encryption_key {
        KeyPlace::Included => format!("{MUTED}included: who has this backup can read all secrets{PLAIN}"),
        KeyPlace::DataDirectory => format!(
            "{MUTED}not included: store {from}/{ENCRYPTION_KEY_FILE} elsewhere; secrets cannot be read without it{PLAIN}"
        ),
        KeyPlace::Setting => {
            "not included: a restored engine needs the same setting encryption_key".to_owned()
        }
        KeyPlace::Unknown => format!(
            "{MUTED}not checked: this command has no key that opens the database; a restored engine needs the same one{PLAIN}"
        ),
    };
    writeln!(out, "  key        {key}")?;
    writeln!(out, "  {FAINT}hookwright restore {to} --data-dir DIR{PLAIN}")?;
    Ok(())
}
