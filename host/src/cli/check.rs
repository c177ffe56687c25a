//! `hookwright check`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::arguments::Check;
use super::exit::FAILED;
use super::style::{BAD, FAINT, GOOD, MUTED, PLAIN};
use crate::app;
use crate::config::Config;
use crate::storage::backup::{BackupError, MANIFEST_FILE, Manifest};
use crate::storage::{Finding, Verdict, postgres, sqlite};
use crate::vault::Vault;

/// Checks a directory, or the database of the settings. The exit code is that of a failure if anything is damaged.
pub(super) async fn run(arguments: &Check, config: &Config, out: &mut impl Write) -> Result<ExitCode> {
    let keys = app::keys(config);
    let (what, findings) = match (&arguments.dir, &config.database) {
        (None, Some(url)) => {
            let vault =
                Vault::open_existing(&config.data_dir, &keys).context("cannot read the encryption key")?;
            let findings = postgres::check(url.reveal(), vault.as_ref()).await;
            ("the PostgreSQL database".to_owned(), findings.context("cannot check the PostgreSQL database")?)
        }
        (dir, _) => {
            let dir = dir.as_deref().unwrap_or(&config.data_dir);
            let cannot = || format!("cannot check {}", dir.display());
            let mut findings = backup_files(dir).with_context(cannot)?;
            // Of a backup whose key is elsewhere, the key of the data directory may be the one.
            let vault = match Vault::open_existing(dir, &keys).with_context(cannot)? {
                None => Vault::open_existing(&config.data_dir, &keys).with_context(cannot)?,
                vault => vault,
            };
            if findings.iter().all(|finding| finding.verdict != Verdict::Failed) {
                findings.extend(sqlite::check(dir, vault.as_ref()).await.with_context(cannot)?);
            }
            (dir.display().to_string(), findings)
        }
    };
    let is_sound = findings.iter().all(|finding| finding.verdict != Verdict::Failed);
    match arguments.json {
        true => write_json(&findings, is_sound, out)?,
        false => write_text(&what, &findings, is_sound, out)?,
    }
    Ok(ExitCode::from(if is_sound { 0 } else { FAILED }))
}

/// Checks the files of a backup against its manifest. Other directories have none.
fn backup_files(dir: &Path) -> Result<Vec<Finding>, BackupError> {
    const FILES: &str = "files of the backup";
    if !dir.join(MANIFEST_FILE).exists() {
        return Ok(Vec::new());
    }
    let manifest = Manifest::read(dir)?;
    for file in &manifest.files {
        match file.verify(dir, &mut io::sink()) {
            Ok(()) => {}
            Err(error @ BackupError::Damaged { .. }) => {
                return Ok(vec![Finding::failed(FILES, error.to_string(), "use another backup")]);
            }
            Err(error) => return Err(error),
        }
    }
    let detail = format!("{} of {}, as the manifest says", manifest.files.len(), manifest.began_at);
    Ok(vec![Finding::ok(FILES, detail)])
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    findings: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    check: &'a str,
    result: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
}

fn write_json(findings: &[Finding], ok: bool, out: &mut impl Write) -> Result<()> {
    let findings = findings.iter().map(|finding| Row {
        check: finding.check,
        result: finding.verdict.as_str(),
        detail: &finding.detail,
        remedy: finding.remedy,
    });
    let report = Report { ok, findings: findings.collect() };
    super::json::write(&report, out)
}

fn write_text(what: &str, findings: &[Finding], is_sound: bool, out: &mut impl Write) -> Result<()> {
    for Finding { check, verdict, detail, remedy } in findings {
        let style = match verdict {
            Verdict::Ok => GOOD.to_string(),
            Verdict::Skipped => FAINT.to_string(),
            Verdict::Warning => MUTED.to_string(),
            Verdict::Failed => BAD.to_string(),
        };
        writeln!(out, "{style}{:<8}{PLAIN}  {check:<22}  {detail}", verdict.as_str())?;
        if let Some(remedy) = remedy {
            writeln!(out, "{:34}{FAINT}{remedy}{PLAIN}", "")?;
        }
    }
    match is_sound {
        true => writeln!(out, "{GOOD}No damage found{PLAIN} in {what}")?,
        false => writeln!(out, "{BAD}Damage found{PLAIN} in {what}")?,
    }
    Ok(out.flush()?)
}
