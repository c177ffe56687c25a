//! What the operator does after a move: the settings of the nodes. Secrets are not shown; files that hold them are named.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use url::Url;

use crate::cli::style::{FAINT, HEAD, PLAIN};
use crate::private_file::{ENCRYPTION_KEY_FILE, OPERATOR_KEY_FILE};
use crate::storage::StorageError;
use crate::storage::transfer::Source;
use crate::vault::{Keys, Vault};

/// Which key opens the secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyOf {
    /// That of the file in the data directory.
    File,
    /// That of the setting `encryption_key`, as it is now.
    Setting,
    /// Several of them: the last rotation did not end.
    Several,
    /// None that is known here.
    Unknown,
}

impl KeyOf {
    /// Finds it.
    pub(super) async fn find(
        source: &mut Source,
        data_dir: &Path,
        keys: &Keys,
    ) -> Result<Self, StorageError> {
        let only = |current| Keys { current, previous: Vec::new() };
        let file = Vault::open_existing(data_dir, &only(None))?;
        let setting = keys.current.clone().map(|key| Vault::open_existing(Path::new(""), &only(Some(key))));
        let setting = setting.transpose()?.flatten();
        let all = Vault::open_existing(data_dir, keys)?;
        for (vault, key) in [(setting, Self::Setting), (file, Self::File), (all, Self::Several)] {
            if let Some(vault) = vault
                && source.opens_with(&vault).await?
            {
                return Ok(key);
            }
        }
        Ok(Self::Unknown)
    }

    /// What to set, without a secret.
    fn advice(self, data_dir: &Path) -> String {
        let file = data_dir.join(ENCRYPTION_KEY_FILE);
        let file = file.display();
        match self {
            Self::File => format!("the content of the file {file}:\n      HOOKWRIGHT_ENCRYPTION_KEY=\"$(cat {file})\""),
            Self::Setting => "the same key as now; it opens the secrets".to_owned(),
            Self::Several => "the same key as now, and encryption_key_previous, too: the secrets are encrypted with several \
                keys. `hookwright rekey` encrypts them with one"
                .to_owned(),
            Self::Unknown => "the same key as before. It was not given to this command, so it was not checked".to_owned(),
        }
    }
}

/// Writes the settings of the nodes.
pub(super) fn write(data_dir: &Path, url: &str, key: KeyOf, out: &mut impl Write) -> Result<()> {
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    writeln!(out)?;
    writeln!(out, "{HEAD}Set on each node, to the same values:{PLAIN}")?;
    writeln!(out, "  database          {}", without_password(url))?;
    writeln!(out, "  encryption_key    {}", key.advice(&data_dir))?;
    let hash = data_dir.join(OPERATOR_KEY_FILE);
    let admin_key = if hash.exists() {
        "the operator's key, which the first start showed, or a new one"
    } else {
        "the operator's key, as before"
    };
    writeln!(out, "  admin_key         {admin_key}")?;
    writeln!(out, "and the other settings as before. Each node needs a data directory of its own.")?;
    writeln!(
        out,
        "{FAINT}The database in {} is unchanged.\nDo not start an engine on it again: it would deliver what waits once more.{PLAIN}",
        data_dir.display()
    )?;
    Ok(out.flush()?)
}

fn without_password(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return "the URL of --to".to_owned() };
    // It fails only for URLs that cannot have a password.
    let _ = parsed.password().is_some().then(|| parsed.set_password(Some("…")));
    parsed.to_string().replace("%E2%80%A6", "…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(key: KeyOf, url: &str) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        write(Path::new("/data"), url, key, &mut out).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn the_advice_names_the_key_and_shows_no_password() {
        for (key, expected) in [
            (KeyOf::File, "HOOKWRIGHT_ENCRYPTION_KEY=\"$(cat /data/encryption.key)\""),
            (KeyOf::Setting, "the same key as now"),
            (KeyOf::Several, "encryption_key_previous"),
            (KeyOf::Unknown, "not checked"),
        ] {
            let text = written(key, "postgres://user:secret@host:5432/name");
            assert!(text.contains(expected), "{text}");
            assert!(text.contains("postgres://user:…@host:5432/name") && !text.contains("secret@"), "{text}");
        }
        assert!(written(KeyOf::File, "postgres://user@host/name").contains("postgres://user@host/name"));
    }
}
