//! `hookwright migrate`: says what a start would do to the schema, or moves an installation from SQLite to PostgreSQL.

mod check;
mod next_steps;
mod progress;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use self::next_steps::KeyOf;
use self::progress::ProgressLine;
use super::arguments::Migrate;
use super::exit::BadInput;
use super::style::{FAINT, GOOD, HEAD, MUTED, PLAIN};
use crate::app;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::sandbox;
use crate::storage::transfer::{self, Count, Found, Moved, Source, Target};

/// Looks at the schema, or moves the installation, or counts it.
pub(super) async fn run(arguments: &Migrate, config: &Config, out: &mut impl Write) -> Result<ExitCode> {
    match &arguments.from {
        Some(from) => move_from(from, arguments, config, out).await.map(|()| ExitCode::SUCCESS),
        None => check::run(config, arguments.json, out).await,
    }
}

async fn move_from(from: &str, arguments: &Migrate, config: &Config, out: &mut impl Write) -> Result<()> {
    let data_dir = data_dir(from)?;
    let url = config.database.as_ref().map(|url| url.reveal().to_owned());
    let in_source = || format!("cannot read the data directory {}", data_dir.display());
    let mut source = Source::open(&data_dir).await.with_context(in_source)?;
    let key = KeyOf::find(&mut source, &data_dir, &app::keys(config)).await.with_context(in_source)?;
    if arguments.dry_run {
        return dry_run(source, url.as_deref(), out).await;
    }
    let Some(url) = url else {
        return Err(BadInput("name the destination: --to postgres://user@host/name".to_owned()).into());
    };
    let mut target = Target::connect(&url).await.context("cannot use the destination")?;
    if target.look().await.context("cannot use the destination")? == Found::Interrupted {
        writeln!(out, "An earlier `hookwright migrate` into this database was interrupted: it begins anew.")?;
        out.flush()?;
    }
    let mut line = ProgressLine::new();
    let mut show = |progress| line.show(progress);
    let moved = transfer::run(&mut source, &mut target, SystemClock.now(), &mut show).await;
    line.end();
    let moved = moved.context("cannot move the installation")?;
    source.close().await.with_context(in_source)?;
    target.close().await.context("cannot close the connection to the destination")?;
    report(&moved, out)?;
    next_steps::write(&data_dir, &url, key, out)
}

fn data_dir(from: &str) -> Result<PathBuf> {
    match from.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => Ok(Path::new(path).to_owned()),
        _ => Err(BadInput(format!(
            "--from `{from}`: expected sqlite: and the path of the data directory, such as sqlite:/var/lib/hookwright"
        ))
        .into()),
    }
}

async fn dry_run(mut source: Source, url: Option<&str>, out: &mut impl Write) -> Result<()> {
    let counts = transfer::count(&mut source).await.context("cannot read the data directory")?;
    source.close().await.context("cannot read the data directory")?;
    writeln!(out, "{HEAD}{:<24}{:>16}{PLAIN}", "to move", "rows")?;
    for Count { what, source, .. } in counts {
        writeln!(out, "{what:<24}{:>16}", sandbox::Count(source))?;
    }
    match url {
        None => writeln!(out, "{FAINT}No destination is named; nothing was moved.{PLAIN}")?,
        Some(url) => {
            let mut target = Target::connect(url).await.context("cannot use the destination")?;
            target.look().await.context("cannot use the destination")?;
            target.close().await.context("cannot close the connection to the destination")?;
            writeln!(out, "{FAINT}The destination is empty; nothing was moved.{PLAIN}")?;
        }
    }
    Ok(out.flush()?)
}

fn report(moved: &Moved, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{HEAD}{:<24}{:>16}{:>16}{PLAIN}", "moved", "source", "destination")?;
    for Count { what, source, target } in &moved.counts {
        writeln!(out, "{what:<24}{:>16}{:>16}", sandbox::Count(*source), sandbox::Count(*target))?;
    }
    writeln!(out, "{GOOD}All of it arrived.{PLAIN}")?;
    if moved.replaced > 0 {
        writeln!(
            out,
            "{MUTED}PostgreSQL cannot store U+0000. Values with U+FFFD in its place: {}, among them{PLAIN}",
            sandbox::Count(moved.replaced)
        )?;
        for value in &moved.replacements {
            writeln!(out, "  {value}")?;
        }
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_directories_are_moved() {
        assert_eq!(data_dir("sqlite:/var/lib/hookwright").unwrap(), Path::new("/var/lib/hookwright"));
        for from in ["/var/lib/hookwright", "sqlite:", "postgres://host/name", ""] {
            assert!(data_dir(from).unwrap_err().is::<BadInput>(), "{from}");
        }
    }
}
