//! `hookwright check`.

use std::path::Path;

use hookwright_tests::{Server, guest};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::backup::damage;
use super::{FIRST_KEY, end_with, run, succeed, words};
use crate::BINARY;

/// A data directory with a plugin, a hook and an unfinished delivery.
async fn data_dir(dir: &Path) {
    let mut server = Server::start_in(BINARY, dir, &[("HOOKWRIGHT_PAUSED", "true")]).await;
    let client = server.tenant("acme").await;
    client.upload("mine", guest::filter("", "(i32.const 0)")).await;
    let hook = json!({"url": "https://example.com/", "types": ["*"]});
    client.post("/hooks", hook).await.expect(201);
    client.publish("t", json!("x".repeat(20_000))).await;
    let said = succeed("check", dir).await;
    assert!(said.contains("No damage found"), "{said}");
    assert_eq!(server.terminate().await, Some(0));
}

/// Runs statements on a database.
pub(super) async fn execute(dir: &Path, sql: &'static str) {
    let file = SqliteConnectOptions::new().filename(dir.join("hookwright.db"));
    let mut connection: SqliteConnection = file.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// The results of a check, by name.
async fn results(dir: &Path, environment: &[(&str, &str)]) -> (bool, Value) {
    let output = run("check --json", dir, environment).await;
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", words(&output)));
    assert_eq!(report["ok"], output.status.success());
    let rows = report["findings"].as_array().unwrap().iter();
    let named = rows.map(|row| (row["check"].as_str().unwrap().to_owned(), row["result"].clone()));
    (output.status.success(), Value::Object(named.collect()))
}

#[tokio::test]
async fn a_check_finds_each_kind_of_damage_and_nothing_else() {
    let scratch = tempfile::tempdir().unwrap();
    let sound = scratch.path().join("sound");
    data_dir(&sound).await;
    let (is_sound, all) = results(&sound, &[]).await;
    assert!(is_sound && all.as_object().unwrap().values().all(|result| result == "ok"), "{all}");
    for (check, sql) in [
        ("events of deliveries", "DELETE FROM events"),
        ("tenants", "DELETE FROM tenants"),
        ("configuration changes", "DELETE FROM directory_changes WHERE revision = 2"),
        ("configuration changes", "UPDATE directory_changes SET kind = 'unknown' WHERE revision = 2"),
        (
            "plugins",
            "UPDATE plugin_blobs SET wasm = zeroblob(9) WHERE rowid = (SELECT max(rowid) FROM plugin_blobs)",
        ),
        ("secrets", "UPDATE hooks SET sealed = zeroblob(60)"),
        ("rows", "UPDATE events SET event_type = ''"),
        ("rows", "UPDATE events SET deliveries = '{'"),
        ("rows", "UPDATE deliveries SET made_by = 9"),
        ("rows", "UPDATE tenants SET options = '[]'"),
        ("rows", "UPDATE api_keys SET scopes = '{'"),
        ("rows", "UPDATE hooks SET subscription = '{}'"),
        ("rows", "UPDATE plugin_versions SET roles = '['"),
        ("rows", "UPDATE audit_log SET changes = ''"),
        ("schema", "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1"),
    ] {
        let dir = scratch.path().join("damaged");
        copy(&sound, &dir);
        // An unfinished delivery may still be in its event's row alone.
        let mut server = Server::start_in(BINARY, &dir, &[]).await;
        assert_eq!(server.terminate().await, Some(0));
        execute(&dir, sql).await;
        let (is_sound, found) = results(&dir, &[]).await;
        let failed: Vec<_> =
            found.as_object().unwrap().iter().filter(|(_, result)| *result == "failed").collect();
        assert!(!is_sound && failed.len() == 1 && failed[0].0 == check, "{sql}: {found}");
        std::fs::remove_dir_all(dir).unwrap();
    }
    damage(&sound.join("hookwright.db"));
    let said = end_with(1, "Damage found", "check", &sound).await;
    assert!(said.contains("restore the latest backup"), "{said}");
    std::fs::write(sound.join("hookwright.db"), "something else, and not a database".repeat(1_000)).unwrap();
    end_with(1, "cannot be read", "check", &sound).await;
    end_with(1, "--data-dir", "check", &scratch.path().join("nothing")).await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    data_dir(&dir).await;
    execute(&dir, "UPDATE events SET event_type = ''").await;
    let said = end_with(1, "Damage found", "check", &dir).await;
    assert!(said.contains("stored event is damaged") && said.contains("; row evt_"), "{said}");
    assert!(said.contains(") of events"), "{said}");
}

#[tokio::test]
async fn without_the_right_key_secrets_are_not_checked() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    data_dir(&dir).await;
    std::fs::remove_file(dir.join("encryption.key")).unwrap();
    let (is_sound, found) = results(&dir, &[]).await;
    assert!(is_sound, "{found}");
    assert_eq!((&found["encryption key"], &found["secrets"]), (&json!("skipped"), &json!("skipped")));
    let (is_sound, found) = results(&dir, &[("HOOKWRIGHT_ENCRYPTION_KEY", FIRST_KEY)]).await;
    assert!(!is_sound, "{found}");
    assert_eq!((&found["encryption key"], &found["secrets"]), (&json!("failed"), &json!("skipped")));
}

/// Copies the files of a stopped engine.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
