//! `hookwright rekey`.

use std::io::Write;

use anyhow::{Context as _, Result, ensure};

use super::style::{FAINT, HEAD, PLAIN};
use crate::app;
use crate::config::Config;
use crate::storage::sqlite::{self, Rekeyed};

/// Re-encrypts all secrets in the database with the current key. The engine must be stopped.
pub(super) async fn run(config: &Config, out: &mut impl Write) -> Result<()> {
    ensure!(
        config.database.is_none(),
        "rekey works on the SQLite database in the data directory; a PostgreSQL database is read with encryption_key_previous"
    );
    let done = sqlite::rekey(&config.data_dir, &app::keys(config)).await;
    let done = done.with_context(|| format!("cannot rekey the database in {}", config.data_dir.display()))?;
    report(done, config.encryption_key.is_some(), out)
}

fn report(done: Rekeyed, has_own_key: bool, out: &mut impl Write) -> Result<()> {
    let Rekeyed { hooks, logins, requests, unreadable } = done;
    writeln!(
        out,
        "{HEAD}Re-encrypted:{PLAIN} {hooks} hooks, {logins} logins, {requests} requests stored for retries"
    )?;
    if unreadable > 0 {
        writeln!(
            out,
            "  {unreadable} rows cannot be decrypted with any of the keys and were not changed; the log lists them"
        )?;
    }
    let what = match (has_own_key, unreadable) {
        (false, _) => "encryption_key is not set; the key in the data directory was used",
        (true, 0) => "encryption_key_previous can be removed",
        (true, _) => "add the keys of these rows to encryption_key_previous and run this command again",
    };
    writeln!(out, "  {FAINT}{what}{PLAIN}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_the_next_step() {
        for (unreadable, has_own_key, expected) in [
            (0, true, "encryption_key_previous can be removed"),
            (2, true, "2 rows cannot be decrypted"),
            (0, false, "encryption_key is not set"),
        ] {
            let mut out = anstream::StripStream::new(Vec::new());
            let done = Rekeyed { hooks: 3, logins: 1, requests: 7, unreadable };
            report(done, has_own_key, &mut out).unwrap();
            let text = String::from_utf8(out.into_inner()).unwrap();
            assert!(text.starts_with("Re-encrypted: 3 hooks, 1 logins, 7 requests"), "{text}");
            assert!(text.contains(expected), "{text}");
        }
    }
}
