//! Encryption of the whole database: checking the keys, sealing rows of earlier engines, and rotating to another key.
//!
//! It runs in small transactions and can be interrupted: each row shows whether it is sealed, and with which key.

use std::collections::BTreeSet;

use sqlx::sqlite::SqliteConnection;

use super::engine_state;
use super::hooks;
use super::rendered_rows::{self, Visited};
use super::rows::{self, HookRow};
use super::schema;
use super::script::{BEGIN, COMMIT};
use crate::domain::{HookId, TenantId};
use crate::storage::StorageError;
use crate::storage::sealing::{self, KEY_CHECK, KEY_CHECK_CURRENT, RETAINED_KEYS, Rekeyed};
use crate::vault::Vault;

/// How many rendered requests one transaction seals.
const ROWS_AT_ONCE: i64 = 200;
/// How many hooks one transaction seals: each can be megabytes.
const HOOKS_AT_ONCE: i64 = 4;
/// A database of up to this size is rewritten after its rows were sealed: this takes seconds.
const MAX_REWRITTEN_BYTES: i64 = 1 << 30;
/// In `engine_state`: rows were sealed, and [`forget_plain_text`] has not succeeded since.
const PLAIN_TEXT_TO_FORGET: &str = "plain-text-to-forget";
/// In `engine_state`: all rendered requests are sealed.
const RENDERED_SEALED: &str = "rendered-sealed";

/// Checks that the keys open everything that is sealed, before another key seals anything. Loads the retained signing keys.
///
/// # Errors
/// [`StorageError::WrongKey`], [`StorageError::NewerKey`]; else the error of the database.
pub async fn check_key(connection: &mut SqliteConnection, vault: &Vault) -> Result<(), StorageError> {
    match engine_state::get(connection, KEY_CHECK).await? {
        Some(sealed) => {
            let others = other_checks(connection).await?;
            add_check(connection, sealing::check(&sealed, &others, vault)?).await?;
        }
        None => write_first_checks(connection, vault).await?,
    }
    match engine_state::get(connection, RETAINED_KEYS).await? {
        Some(sealed) => sealing::retain(&sealed, vault),
        None => Ok(()),
    }
}

/// Whether `vault` opens what each of the keys sealed. An engine without key checks is not known by its keys.
pub async fn opens(connection: &mut SqliteConnection, vault: &Vault) -> Result<bool, StorageError> {
    if !schema::has_table(connection, "engine_state").await? {
        return Ok(false);
    }
    let (first, others) = checks(connection).await?;
    Ok(sealing::check(&first, &others, vault).is_ok())
}

/// The key checks, for [`sealing::check`].
pub async fn checks(connection: &mut SqliteConnection) -> Result<(Vec<u8>, Vec<Vec<u8>>), StorageError> {
    let first = engine_state::get(connection, KEY_CHECK).await?.unwrap_or_default();
    Ok((first, other_checks(connection).await?))
}

/// The checks of the keys that sealed rows after the key of [`KEY_CHECK`].
async fn other_checks(connection: &mut SqliteConnection) -> Result<Vec<Vec<u8>>, StorageError> {
    let query = sqlx::query_scalar("SELECT value FROM engine_state WHERE name GLOB ? || '*'");
    Ok(query.bind(KEY_CHECK_CURRENT).fetch_all(connection).await?)
}

async fn add_check(
    connection: &mut SqliteConnection,
    check: Option<(String, Vec<u8>)>,
) -> Result<(), StorageError> {
    match check {
        Some((name, sealed)) => engine_state::set(connection, &name, &sealed).await,
        None => Ok(()),
    }
}

/// Stores the key checks of a database that has none: one for each key that opens rows of an earlier engine, and one for the
/// current key. With a check of the current key alone, a later start without the older keys would not be refused.
///
/// # Errors
/// [`StorageError::WrongKey`] if there are sealed rows and none of the keys opens any.
async fn write_first_checks(connection: &mut SqliteConnection, vault: &Vault) -> Result<(), StorageError> {
    let sealed = sealed_by_earlier_engine(connection).await?;
    let keys: BTreeSet<usize> =
        sealed.iter().filter_map(|(context, sealed)| vault.opened_by(context, sealed)).collect();
    if keys.is_empty() && !sealed.is_empty() {
        return Err(StorageError::WrongKey);
    }
    // KEY_CHECK is of the oldest key: it distinguishes an older key from a newer one.
    let mut keys = keys.into_iter().rev();
    let first = keys.next().unwrap_or(0);
    let check = vault.seal_with(first, KEY_CHECK, KEY_CHECK.as_bytes());
    engine_state::set(connection, KEY_CHECK, &check).await?;
    for (number, key) in keys.filter(|key| *key > 0).enumerate() {
        let check = vault.seal_with(key, KEY_CHECK_CURRENT, KEY_CHECK_CURRENT.as_bytes());
        engine_state::set(connection, &format!("{KEY_CHECK_CURRENT}-{number}"), &check).await?;
    }
    let others = other_checks(connection).await?;
    add_check(connection, sealing::check_others(&others, vault, first == 0)?).await
}

/// The values that an engine without key checks sealed, each with its context.
async fn sealed_by_earlier_engine(
    connection: &mut SqliteConnection,
) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
    let sql = "SELECT id, authorization FROM hooks WHERE authorization IS NOT NULL";
    let hooks: Vec<(i64, Vec<u8>)> = sqlx::query_as(sql).fetch_all(&mut *connection).await?;
    let hooks = hooks.into_iter().map(|(id, sealed)| (rows::authorization_context_of(id), sealed));
    let logins = logins(connection).await?.into_iter();
    let logins = logins.map(|(tenant, name, sealed)| (rows::login_context_of(tenant, &name), sealed));
    Ok(hooks.chain(logins).collect())
}

async fn logins(connection: &mut SqliteConnection) -> Result<Vec<(TenantId, String, Vec<u8>)>, StorageError> {
    let query = sqlx::query_as("SELECT tenant_id, name, secret FROM logins");
    let rows: Vec<(i64, String, Vec<u8>)> = query.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(tenant, name, secret)| (TenantId(tenant), name, secret)).collect())
}

/// Whether the keys are checked and everything is sealed, which a start of this engine leaves behind.
pub async fn is_complete(connection: &mut SqliteConnection) -> Result<bool, StorageError> {
    Ok(engine_state::get(connection, KEY_CHECK).await?.is_some()
        && engine_state::get(connection, RENDERED_SEALED).await?.is_some())
}

/// Seals the plain rows of an earlier engine; damaged ones stay as they are. Then removes the remains of plain text, also
/// those that an interrupted start left.
///
/// # Errors
/// The error of the database.
pub async fn seal_all(connection: &mut SqliteConnection, vault: &Vault) -> Result<(), StorageError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM hooks WHERE sealed IS NULL)";
    let hooks: bool = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
    let rendered = engine_state::get(connection, RENDERED_SEALED).await?.is_none();
    if !hooks && !rendered {
        return forget_plain_text(connection).await;
    }
    // Deleted plain text is overwritten.
    sqlx::query("PRAGMA secure_delete = on").execute(&mut *connection).await?;
    let mut sealed = 0;
    if hooks {
        tracing::info!("encrypting hooks that an earlier engine stored as plain text");
        sealed += walk(connection, i64::MIN, Step::SealHooks, vault).await?;
    }
    if rendered {
        let sql = "SELECT EXISTS (SELECT 1 FROM rendered_requests)";
        if sqlx::query_scalar(sql).fetch_one(&mut *connection).await? {
            tracing::info!("encrypting rendered requests that an earlier engine stored as plain text");
            sealed += walk(connection, i64::MIN, Step::SealRendered, vault).await?;
        }
        engine_state::set(connection, RENDERED_SEALED, b"1").await?;
    }
    if sealed > 0 {
        tracing::info!(rows = sealed, "encryption is complete");
    }
    forget_plain_text(connection).await
}

/// After rows were sealed: rewrites the file, since unused parts of its pages hold copies of plain text. Then truncates the
/// log, which holds pages as they were before. If this fails, the next start tries again.
async fn forget_plain_text(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    if engine_state::get(connection, PLAIN_TEXT_TO_FORGET).await?.is_none() {
        return Ok(());
    }
    let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let bytes: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
    let rewritten = bytes <= MAX_REWRITTEN_BYTES
        && match sqlx::query("VACUUM").execute(&mut *connection).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot rewrite the database: unused parts of its file may hold plain copies of encrypted data; the \
                     next start tries again"
                );
                false
            }
        };
    if bytes > MAX_REWRITTEN_BYTES {
        tracing::warn!(
            bytes,
            "the database is too large to be rewritten at a start: unused parts of its file may hold plain copies of encrypted \
             data, until `VACUUM; DELETE FROM engine_state WHERE name = 'plain-text-to-forget'` is run on it while the \
             engine is stopped"
        );
    }
    let query = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)");
    let busy: i64 = query.fetch_one(&mut *connection).await?;
    if rewritten && busy == 0 {
        engine_state::remove(connection, PLAIN_TEXT_TO_FORGET).await?;
    }
    Ok(())
}

/// Seals everything again with the vault's current key.
///
/// # Errors
/// The error of the database.
pub async fn rekey(connection: &mut SqliteConnection, vault: &Vault) -> Result<Rekeyed, StorageError> {
    let mut done = Rekeyed::default();
    engine_state::set(connection, RETAINED_KEYS, &sealing::retained_keys(vault)).await?;
    for (tenant, name, sealed) in logins(connection).await? {
        match vault.reseal(&rows::login_context_of(tenant, &name), &sealed) {
            Ok(None) => {}
            Ok(Some(sealed)) => {
                let sql = "UPDATE logins SET secret = ? WHERE tenant_id = ? AND name = ?";
                let query = sqlx::query(sql).bind(sealed).bind(tenant.0).bind(name);
                query.execute(&mut *connection).await?;
                done.logins += 1;
            }
            Err(_) => done.unreadable += 1,
        }
    }
    let mut unreadable = 0;
    done.hooks = walk(connection, i64::MIN, Step::RekeyHooks(&mut unreadable), vault).await?;
    done.jobs = rekey_jobs(connection, vault, &mut unreadable).await?;
    done.requests = walk(connection, i64::MIN, Step::RekeyRendered(&mut unreadable), vault).await?;
    done.unreadable += unreadable;
    // Last: until then, both keys are needed.
    engine_state::set(connection, KEY_CHECK, &sealing::key_check(vault)).await?;
    let query = sqlx::query("DELETE FROM engine_state WHERE name GLOB ? || '*'").bind(KEY_CHECK_CURRENT);
    query.execute(connection).await?;
    Ok(done)
}

/// The pipelines of replays. There are few.
async fn rekey_jobs(
    connection: &mut SqliteConnection,
    vault: &Vault,
    unreadable: &mut u64,
) -> Result<u64, StorageError> {
    let (mut after, mut count) = (i64::MIN, 0);
    loop {
        let sql = "SELECT id, sealed FROM jobs WHERE id > ? AND sealed IS NOT NULL ORDER BY id LIMIT 1";
        let found: Option<(i64, Vec<u8>)> =
            sqlx::query_as(sql).bind(after).fetch_optional(&mut *connection).await?;
        let Some((job, sealed)) = found else { return Ok(count) };
        after = job;
        match vault.reseal(&rows::job_context_of(job), &sealed) {
            Ok(None) => {}
            Ok(Some(sealed)) => {
                let sql = "UPDATE jobs SET sealed = ? WHERE id = ?";
                sqlx::query(sql).bind(sealed).bind(job).execute(&mut *connection).await?;
                count += 1;
            }
            Err(_) => *unreadable += 1,
        }
    }
}

/// One pass over a table.
enum Step<'a> {
    SealHooks,
    SealRendered,
    RekeyHooks(&'a mut u64),
    RekeyRendered(&'a mut u64),
}

/// Visits a table in the order of its ids, in transactions of [`ROWS_AT_ONCE`] or [`HOOKS_AT_ONCE`] rows. Returns how many
/// rows it changed.
async fn walk(
    connection: &mut SqliteConnection,
    from: i64,
    mut step: Step<'_>,
    vault: &Vault,
) -> Result<u64, StorageError> {
    let (mut after, mut changed) = (from, 0);
    loop {
        sqlx::query(BEGIN).execute(&mut *connection).await?;
        let done = match &mut step {
            Step::SealHooks => seal_hooks(connection, after, vault).await,
            Step::SealRendered => rendered_rows::seal_some(connection, after, ROWS_AT_ONCE, vault).await,
            Step::RekeyHooks(unreadable) => rekey_hooks(connection, after, vault, unreadable).await,
            Step::RekeyRendered(unreadable) => {
                rendered_rows::rekey_some(connection, after, ROWS_AT_ONCE, vault, unreadable).await
            }
        };
        // In the transaction of the rows: even after a crash it is known that there was plain text.
        let done = match done {
            Ok((_, count)) if count > 0 && matches!(step, Step::SealHooks | Step::SealRendered) => {
                engine_state::set(connection, PLAIN_TEXT_TO_FORGET, b"1").await.and(done)
            }
            done => done,
        };
        let end = if done.is_ok() { COMMIT } else { "ROLLBACK" };
        sqlx::query(end).execute(&mut *connection).await?;
        let (last, count) = done?;
        changed += count;
        match last {
            Some(last) => after = last,
            None => return Ok(changed),
        }
    }
}

async fn seal_hooks(
    connection: &mut SqliteConnection,
    after: i64,
    vault: &Vault,
) -> Result<Visited, StorageError> {
    let sql = "SELECT * FROM hooks WHERE sealed IS NULL AND id > ? ORDER BY id LIMIT ?";
    let query = sqlx::query_as(sql).bind(after).bind(HOOKS_AT_ONCE);
    let rows: Vec<HookRow> = query.fetch_all(&mut *connection).await?;
    let (mut last, mut count) = (None, 0);
    for row in rows {
        let id = row.id;
        last = Some(id);
        let plain = hooks::plain_secrets(connection, Some(id)).await?.remove(&id).unwrap_or_default();
        // A damaged secret would be left out of the sealed hook, and its row deleted.
        let plain = plain.into_iter().collect::<Result<_, _>>();
        match plain
            .and_then(|plain| row.into_hook(plain, vault))
            .and_then(|hook| if hook.unreadable { Ok(None) } else { HookRow::of(&hook, vault).map(Some) })
        {
            Ok(Some(row)) => count += u64::from(hooks::replace(connection, row).await?),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(hook = %HookId(id), error = &error as &dyn std::error::Error, "a hook's row is damaged and stays as it is");
            }
        }
    }
    Ok((last, count))
}

async fn rekey_hooks(
    connection: &mut SqliteConnection,
    after: i64,
    vault: &Vault,
    unreadable: &mut u64,
) -> Result<Visited, StorageError> {
    type Row = (i64, Option<Vec<u8>>, Option<Vec<u8>>);
    let sql = "SELECT id, sealed, authorization FROM hooks WHERE id > ? ORDER BY id LIMIT ?";
    let query = sqlx::query_as(sql).bind(after).bind(HOOKS_AT_ONCE);
    let rows: Vec<Row> = query.fetch_all(&mut *connection).await?;
    let (mut last, mut count) = (None, 0);
    for (id, sealed, authorization) in rows {
        last = Some(id);
        let reseal = |context: String, sealed: Option<Vec<u8>>| {
            sealed.map_or(Ok(None), |sealed| vault.reseal(&context, &sealed))
        };
        let again = reseal(rows::hook_context_of(id), sealed)
            .and_then(|sealed| Ok((sealed, reseal(rows::authorization_context_of(id), authorization)?)));
        match again {
            Ok((None, None)) => {}
            Ok((sealed, authorization)) => {
                let sql = "UPDATE hooks SET sealed = ifnull(?, sealed), authorization = ifnull(?, authorization) \
                    WHERE id = ?";
                let query = sqlx::query(sql).bind(sealed).bind(authorization).bind(id);
                query.execute(&mut *connection).await?;
                count += 1;
            }
            Err(_) => {
                tracing::warn!(hook = %HookId(id), "a hook opens with none of the keys and stays as it is");
                *unreadable += 1;
            }
        }
    }
    Ok((last, count))
}
