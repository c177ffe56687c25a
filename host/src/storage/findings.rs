//! What a check of a database found, for people and programs to read.

use super::error::StorageError;

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Ok,
    /// It could not be checked; the detail says why.
    Skipped,
    /// The engine works with it. Something should be mended.
    Warning,
    /// Something is damaged or missing.
    Failed,
}

impl Verdict {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name of the check.
    pub check: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it, unless nothing is wrong.
    pub remedy: Option<&'static str>,
}

impl Finding {
    /// Nothing is wrong.
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, detail: detail.into(), remedy: None }
    }

    /// It could not be checked.
    pub fn skipped(check: &'static str, detail: impl Into<String>, remedy: &'static str) -> Self {
        Self { check, verdict: Verdict::Skipped, detail: detail.into(), remedy: Some(remedy) }
    }

    /// Something should be mended.
    pub fn warning(check: &'static str, detail: impl Into<String>, remedy: &'static str) -> Self {
        Self { check, verdict: Verdict::Warning, detail: detail.into(), remedy: Some(remedy) }
    }

    /// Something is damaged or missing.
    pub fn failed(check: &'static str, detail: impl Into<String>, remedy: &'static str) -> Self {
        Self { check, verdict: Verdict::Failed, detail: detail.into(), remedy: Some(remedy) }
    }

    /// Failed if there are any of `what`, and else not.
    fn none_of(check: &'static str, count: i64, what: &str) -> Self {
        match count {
            0 => Self::ok(check, format!("no {what}")),
            _ => Self::failed(check, format!("{count} {what}"), RESTORE_OR_REPORT),
        }
    }
}

/// Counts secrets that open, and names some that do not.
#[derive(Debug, Default)]
pub(super) struct SecretCount {
    readable: u64,
    unreadable: u64,
    named: Vec<String>,
}

impl SecretCount {
    /// Adds a secret; `what` names its row.
    pub(super) fn add(&mut self, opens: bool, what: impl FnOnce() -> String) {
        if opens {
            self.readable += 1;
            return;
        }
        self.unreadable += 1;
        if self.named.len() < 5 {
            self.named.push(what());
        }
    }

    /// What was found.
    pub(super) fn finding(self) -> Finding {
        let Self { readable, unreadable, named } = self;
        if unreadable == 0 {
            return Finding::ok(SECRETS, format!("all {readable} can be decrypted"));
        }
        let more = if named.len() as u64 == unreadable { "" } else { ", …" };
        let detail = format!(
            "{unreadable} of {} cannot be decrypted: {}{more}",
            readable + unreadable,
            named.join(", ")
        );
        Finding::failed(
            SECRETS,
            detail,
            "give the key that they were encrypted with in encryption_key_previous and run `hookwright rekey`; if it is \
             lost, replace these hooks and logins",
        )
    }
}

/// Counts rows that can be read, and names some that cannot.
#[derive(Debug, Default)]
pub(super) struct RowCount {
    /// What was not read, and why; empty if all was.
    left_out: &'static str,
    readable: u64,
    damaged: u64,
    named: Vec<String>,
}

impl RowCount {
    /// How many are named.
    const NAMED: usize = 20;

    /// Nothing is counted yet. Rows with secrets are read only with a vault that opens them.
    pub(super) fn new(has_vault: bool) -> Self {
        let left_out = if has_vault { "" } else { "; without the key, hooks and requests were left out" };
        Self { left_out, ..Self::default() }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, read: Result<(), StorageError>) {
        let Err(error) = read else {
            self.readable += 1;
            return;
        };
        self.damaged += 1;
        if self.named.len() < Self::NAMED {
            self.named.push(error.to_string());
        }
    }

    /// What was found.
    pub(super) fn finding(self) -> Finding {
        let Self { left_out, readable, damaged, named } = self;
        if damaged == 0 {
            return Finding::ok(ROWS, format!("all {readable} can be read{left_out}"));
        }
        let more = if named.len() as u64 == damaged { "" } else { "; …" };
        let detail = format!(
            "{damaged} of {} cannot be read: {}{more}{left_out}",
            readable + damaged,
            named.join("; ")
        );
        Finding::failed(ROWS, detail, CORRECT_ROWS)
    }
}

/// Not all rows could be read.
pub(super) fn rows_unread(error: &StorageError) -> Finding {
    Finding::failed(ROWS, format!("cannot be read to the end: {error}"), CORRECT_ROWS)
}

/// The name of the check of rows.
const ROWS: &str = "rows";
/// The name of the check of the encryption key.
const KEY: &str = "encryption key";
/// The name of the check of secrets.
const SECRETS: &str = "secrets";
/// The name of the check of the schema.
const SCHEMA: &str = "schema";
/// The name of the check that deliveries have their events.
const EVENTS: &str = "events of deliveries";
/// The name of the check of the plugins' bytes.
const PLUGINS: &str = "plugins";
/// The name of the check of the log of configuration changes.
const CHANGES: &str = "configuration changes";
/// The name of the check that what belongs to tenants has one.
const TENANTS: &str = "tenants";

/// What to do without a key.
const GIVE_THE_KEY: &str =
    "run the command with the engine's encryption_key, or on a data directory with encryption.key";
/// What to do about rows that should not be there.
const RESTORE_OR_REPORT: &str = "restore a backup from before, or report it with this output";

/// What to do about rows that cannot be read.
const CORRECT_ROWS: &str = "the engine leaves them out, or answers with an error: correct or delete them while it is stopped, \
    or restore a backup from before";

/// What the state of the schema means.
pub(super) fn schema_finding(status: &super::SchemaStatus) -> Finding {
    let detail = format!("version {}", status.version);
    if !status.changed.is_empty() {
        return Finding::failed(
            SCHEMA,
            format!("{detail}; migrations differ from those of this engine: {:?}", status.changed),
            "use the released engine that this database comes from",
        );
    }
    match (status.is_too_new, status.pending.len()) {
        (true, _) => Finding::failed(
            SCHEMA,
            format!("{detail}, of a newer engine; this one knows {}", status.known),
            "use that engine, or one that is newer still",
        ),
        (false, 0) => Finding::ok(SCHEMA, detail),
        (false, pending) => Finding::warning(
            SCHEMA,
            format!("{detail}; {pending} migrations are pending"),
            "the next start of this engine applies them; `hookwright migrate --check` says what they do",
        ),
    }
}

/// A finding instead of all checks of rows, if their schema is not that of this engine.
pub(super) fn rows_of_other_schema(status: &super::SchemaStatus) -> Option<Finding> {
    let is_other = status.version < status.known || status.is_too_new;
    is_other.then(|| {
        Finding::skipped(
            ROWS,
            "the schema is not that of this engine",
            "run the command of the engine that uses this database",
        )
    })
}

/// `found`: unfinished deliveries whose event is missing.
pub(super) fn events_finding(found: i64) -> Finding {
    Finding::none_of(EVENTS, found, "unfinished deliveries without their event")
}

/// `found`: rows of configuration whose tenant is missing.
pub(super) fn tenants_finding(found: i64) -> Finding {
    Finding::none_of(TENANTS, found, "hooks, keys, projects or logins without their tenant")
}

/// `found`: changes of configuration that are missing or damaged.
pub(super) fn changes_finding(found: i64) -> Finding {
    Finding::none_of(CHANGES, found, "changes that are missing or cannot be read")
}

/// `found` of `all` plugins are missing or damaged.
pub(super) fn plugins_finding(found: i64, all: i64) -> Finding {
    if found == 0 {
        return Finding::ok(PLUGINS, format!("all {all} have their digest"));
    }
    let detail = format!("{found} of {all} are missing or do not have their digest");
    Finding::failed(PLUGINS, detail, "upload these plugins again, or restore a backup")
}

/// `checked` is `None` without a key.
pub(super) fn key_finding(checked: Option<Result<(), StorageError>>) -> Finding {
    match checked {
        Some(Ok(())) => Finding::ok(KEY, "it is the one that the database is encrypted with"),
        Some(Err(error)) => Finding::failed(KEY, error.to_string(), GIVE_THE_KEY),
        None => Finding::skipped(KEY, "there is none here", GIVE_THE_KEY),
    }
}

/// Instead of [`SecretCount::finding`], without a key that opens them.
pub(super) fn secrets_skipped() -> Finding {
    Finding::skipped(SECRETS, "not checked without the key", GIVE_THE_KEY)
}
