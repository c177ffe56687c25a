//! `hookwright restore`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::arguments::Restore;
use super::exit::BadInput;
use super::style::{BAD, FAINT, GOOD, HEAD, MUTED, PLAIN};
use crate::app;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::private_file::{ENCRYPTION_KEY_FILE, OPERATOR_KEY_FILE};
use crate::storage::backup::{KeyPlace, Manifest};
use crate::storage::sqlite::{self, RestoredKey};

/// What this command says on PostgreSQL.
const ON_POSTGRES: &str = "the setting `database` names a PostgreSQL database, and `hookwright restore` restores data \
    directories. Restore a dump with `pg_restore --no-owner --dbname=\"$HOOKWRIGHT_DATABASE\" hookwright.dump`, and start the first \
    node with `hookwright serve --paused`";

/// Restores a backup.
pub(super) async fn run(arguments: &Restore, config: &Config, out: &mut impl Write) -> Result<ExitCode> {
    if config.database.is_some() {
        return Err(BadInput(ON_POSTGRES.to_owned()).into());
    }
    let (backup, data_dir) = (arguments.backup.as_path(), config.data_dir.as_path());
    let cannot = || format!("cannot restore {} into {}", backup.display(), data_dir.display());
    let manifest = Manifest::read(backup).with_context(cannot)?;
    let paused_since = (!arguments.start_unpaused).then(|| SystemClock.now());
    let keys = app::keys(config);
    let key = sqlite::restore(backup, &manifest, data_dir, paused_since, &keys).await.with_context(cannot)?;
    report(data_dir, &manifest, key, arguments.start_unpaused, out)?;
    Ok(ExitCode::SUCCESS)
}

fn report(
    data_dir: &Path,
    manifest: &Manifest,
    key: RestoredKey,
    unpaused: bool,
    out: &mut impl Write,
) -> Result<()> {
    let dir = data_dir.display();
    writeln!(out, "{GOOD}Restored{PLAIN} the backup of {} into {HEAD}{dir}{PLAIN}", manifest.began_at)?;
    writeln!(out, "What to do next:")?;
    writeln!(out, "  - See that no engine runs on the old data: both would send what waits.")?;
    if let Some(advice) = advice(key, manifest.encryption_key, data_dir) {
        writeln!(out, "  - {advice} The engine does not start with another key.")?;
    }
    if manifest.file(OPERATOR_KEY_FILE).is_none() {
        writeln!(
            out,
            "  - Set admin_key as it was; without it, the start makes a new operator's key and shows it."
        )?;
    }
    writeln!(
        out,
        "  - Start it: {HEAD}hookwright serve --data-dir {dir}{PLAIN}, with the other settings as they were."
    )?;
    if unpaused {
        writeln!(
            out,
            "  {MUTED}It sends at once. What was delivered since the backup is sent again.{PLAIN}"
        )?;
    } else {
        writeln!(
            out,
            "  - It is {MUTED}paused{PLAIN}: it accepts events, and sends nothing. What was unfinished when the backup began may \
             have\n    been delivered since; look through it, and cancel what must not be sent twice. Then resume it:"
        )?;
        writeln!(
            out,
            "      {FAINT}curl -X PATCH http://127.0.0.1:8080/api/v3/engine -H 'authorization: Bearer OPERATORS_KEY' \\"
        )?;
        writeln!(
            out,
            "        -H 'content-type: application/merge-patch+json' -d '{{\"paused\": false}}'{PLAIN}"
        )?;
    }
    Ok(out.flush()?)
}

/// What to do about the encryption key, if anything.
fn advice(key: RestoredKey, place: KeyPlace, data_dir: &Path) -> Option<String> {
    let found = match key {
        RestoredKey::Opens => return None,
        RestoredKey::Missing => {
            format!("{MUTED}The encryption key is not here{PLAIN}, so it was not checked:")
        }
        RestoredKey::Wrong => {
            format!("{BAD}The encryption key that is given here does not open the secrets{PLAIN}:")
        }
    };
    let file = data_dir.join(ENCRYPTION_KEY_FILE);
    let file = format!("copy the {ENCRYPTION_KEY_FILE} of the old data directory to {}", file.display());
    Some(match place {
        KeyPlace::Setting => format!("{found} set encryption_key as it was."),
        KeyPlace::DataDirectory | KeyPlace::Included => format!("{found} {file}."),
        KeyPlace::Unknown => format!("{found} set encryption_key as it was, or {file}."),
    })
}
