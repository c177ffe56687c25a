//! `hookwright migrate --check`: what a start of this version would do to the schema.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::cli::exit::FAILED;
use crate::cli::style::{BAD, FAINT, GOOD, HEAD, MUTED, PLAIN};
use crate::config::Config;
use crate::sandbox::Count;
use crate::storage::{SchemaStatus, postgres, sqlite};

/// The exit code if migrations are pending.
const PENDING: u8 = 3;
/// The exit code if the database is of a newer version.
const NEWER: u8 = 4;
/// How many rows a migration reads or rewrites each second, roughly: on a slow disk, or with large rows, it is fewer.
const ROWS_PER_SECOND: u64 = 200_000;

/// Says how the schema of the database compares with this version. Nothing is changed.
pub(super) async fn run(config: &Config, as_json: bool, out: &mut impl Write) -> Result<ExitCode> {
    let status = match &config.database {
        Some(url) => {
            postgres::status_of(url.reveal()).await.context("cannot read the PostgreSQL database")?
        }
        None => {
            let dir = config.data_dir.display();
            sqlite::status_of(&config.data_dir)
                .await
                .with_context(|| format!("cannot read the database in {dir}"))?
        }
    };
    match as_json {
        true => write_json(&status, out)?,
        false => write_text(&status, config.database.is_some(), out)?,
    }
    Ok(ExitCode::from(code(&status)))
}

fn code(status: &SchemaStatus) -> u8 {
    match status {
        SchemaStatus { changed, .. } if !changed.is_empty() => FAILED,
        SchemaStatus { is_too_new: true, .. } => NEWER,
        SchemaStatus { pending, .. } if !pending.is_empty() => PENDING,
        _ => 0,
    }
}

fn state(status: &SchemaStatus) -> &'static str {
    match code(status) {
        FAILED => "changed",
        NEWER => "newer",
        PENDING => "pending",
        _ => "current",
    }
}

#[derive(Serialize)]
struct Report<'a> {
    state: &'static str,
    schema_version: i64,
    known_version: i64,
    pending: Vec<Migration<'a>>,
    changed: &'a [i64],
}

#[derive(Serialize)]
struct Migration<'a> {
    version: i64,
    name: &'a str,
    purpose: &'a str,
    rows: u64,
    about_seconds: u64,
}

fn write_json(status: &SchemaStatus, out: &mut impl Write) -> Result<()> {
    let pending = status.pending.iter().map(|migration| Migration {
        version: migration.version,
        name: &migration.name,
        purpose: &migration.purpose,
        rows: migration.rows,
        about_seconds: migration.rows.div_ceil(ROWS_PER_SECOND),
    });
    let report = Report {
        state: state(status),
        schema_version: status.version,
        known_version: status.known,
        pending: pending.collect(),
        changed: &status.changed,
    };
    crate::cli::json::write(&report, out)
}

fn write_text(status: &SchemaStatus, is_shared: bool, out: &mut impl Write) -> Result<()> {
    let SchemaStatus { version, known, pending, changed, .. } = status;
    let engine = env!("CARGO_PKG_VERSION");
    writeln!(out, "The database has schema version {version}; hookwright {engine} knows {known}.")?;
    match state(status) {
        "changed" => {
            writeln!(out, "{BAD}These migrations differ from those of this version: {changed:?}.{PLAIN}")?;
            writeln!(
                out,
                "It does not start on this database. Use the release that the database comes from."
            )?;
        }
        "newer" => {
            writeln!(out, "{BAD}A newer version changed the schema: this one does not start on it.{PLAIN}")?;
            writeln!(out, "Use that version, or restore a backup from before the upgrade.")?;
        }
        "pending" => {
            writeln!(out, "{MUTED}The next start of this version applies:{PLAIN}")?;
            for migration in pending {
                writeln!(
                    out,
                    "  {HEAD}{:04} {}{PLAIN}: {}",
                    migration.version,
                    migration.name,
                    duration(migration.rows)
                )?;
                if !migration.purpose.is_empty() {
                    writeln!(out, "       {FAINT}{}{PLAIN}", migration.purpose)?;
                }
            }
            let advice = match is_shared {
                true => "Nodes of the version before go on meanwhile. Make a backup first.",
                false => {
                    "An older version does not start on it afterwards. Make a backup first: `hookwright backup`."
                }
            };
            writeln!(out, "{advice}")?;
        }
        _ if version > known => {
            writeln!(out, "{GOOD}This version works with it{PLAIN}, beside newer nodes.")?;
        }
        _ => writeln!(out, "{GOOD}The schema is current{PLAIN}: a start changes nothing.")?,
    }
    Ok(out.flush()?)
}

/// Roughly how long it takes.
fn duration(rows: u64) -> String {
    match rows.div_ceil(ROWS_PER_SECOND) {
        0 => "at once".to_owned(),
        1 => format!("about a second for {} rows", Count(rows)),
        seconds @ 2..120 => format!("about {seconds} s for {} rows", Count(rows)),
        seconds => format!("about {} min for {} rows", seconds.div_ceil(60), Count(rows)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::PendingMigration;

    fn status(pending: &[u64]) -> SchemaStatus {
        let pending = pending.iter().map(|rows| PendingMigration {
            version: 7,
            name: "things".to_owned(),
            purpose: "Things have colours.".to_owned(),
            tables: Vec::new(),
            rows: *rows,
        });
        SchemaStatus {
            version: 6,
            known: 7,
            pending: pending.collect(),
            changed: Vec::new(),
            is_too_new: false,
        }
    }

    #[test]
    fn the_exit_code_and_the_text_say_what_a_start_would_do() {
        let current = SchemaStatus { version: 7, ..status(&[]) };
        for (status, expected_code, expected) in [
            (current.clone(), 0, "a start changes nothing"),
            (SchemaStatus { version: 8, ..current.clone() }, 0, "beside newer nodes"),
            (status(&[0]), PENDING, "0007 things: at once"),
            (status(&[150_000]), PENDING, "about a second for 150,000 rows"),
            (status(&[60_000_000]), PENDING, "about 5 min for 60,000,000 rows"),
            (SchemaStatus { is_too_new: true, ..current.clone() }, NEWER, "restore a backup"),
            (SchemaStatus { changed: vec![3], ..current }, FAILED, "differ from those of this version: [3]"),
        ] {
            assert_eq!(code(&status), expected_code, "{expected}");
            let mut out = anstream::StripStream::new(Vec::new());
            write_text(&status, false, &mut out).unwrap();
            let text = String::from_utf8(out.into_inner()).unwrap();
            assert!(text.contains(expected), "{text}");
            let mut out = Vec::new();
            write_json(&status, &mut out).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(json["state"], state(&status));
        }
    }
}
