//! `hookwright rekey`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::style::{FAINT, HEAD, PLAIN};
use crate::app;
use crate::config::Config;
use crate::storage::{NodeStatus, Rekeyed, postgres, sqlite};
use crate::vault::Vault;

/// Re-encrypts all secrets in the database with the current key. An engine on SQLite must be stopped; nodes on PostgreSQL may
/// run if each of them has both keys.
pub(super) async fn run(config: &Config, out: &mut impl Write) -> Result<ExitCode> {
    let (keys, has_own_key) = (app::keys(config), config.encryption_key.is_some());
    let Some(url) = &config.database else {
        let done = sqlite::rekey(&config.data_dir, &keys).await;
        let done =
            done.with_context(|| format!("cannot rekey the database in {}", config.data_dir.display()))?;
        report(done, has_own_key, out)?;
        return Ok(ExitCode::SUCCESS);
    };
    let vault = Vault::open_existing(&config.data_dir, &keys).context("cannot read the encryption key")?;
    let vault =
        vault.context("set encryption_key to the new key, and encryption_key_previous to the old one")?;
    let done = postgres::rekey(url.reveal(), &vault).await.context("cannot rekey the PostgreSQL database")?;
    let nodes = postgres::running_nodes(url.reveal()).await.context("cannot read the list of nodes")?;
    report(done, has_own_key, out)?;
    report_nodes(&nodes, out)?;
    Ok(ExitCode::SUCCESS)
}

/// Names the nodes that may lack the new key: nobody else knows which keys they have.
fn report_nodes(nodes: &[NodeStatus], out: &mut impl Write) -> Result<()> {
    for NodeStatus { node, address, .. } in nodes {
        let number = node.0;
        writeln!(out, "  {FAINT}node {number} on {address} is running: it must have the new key{PLAIN}")?;
    }
    Ok(out.flush()?)
}

fn report(done: Rekeyed, has_own_key: bool, out: &mut impl Write) -> Result<()> {
    let Rekeyed { hooks, logins, requests, jobs, unreadable } = done;
    writeln!(
        out,
        "{HEAD}Re-encrypted:{PLAIN} {hooks} hooks, {logins} logins, {requests} requests stored for retries, {jobs} replays"
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
            let done = Rekeyed { hooks: 3, logins: 1, requests: 7, jobs: 0, unreadable };
            report(done, has_own_key, &mut out).unwrap();
            let text = String::from_utf8(out.into_inner()).unwrap();
            assert!(text.starts_with("Re-encrypted: 3 hooks, 1 logins, 7 requests"), "{text}");
            assert!(text.contains(expected), "{text}");
        }
    }
}
