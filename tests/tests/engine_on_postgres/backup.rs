//! Backups with PostgreSQL's own tools, and what the engine's commands say of a database there.

use std::path::Path;
use std::process::Output;

use hookwright::storage::postgres::temporary;
use hookwright_tests::{Program, Receiver, Server, guest};
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx_postgres::PgConnection;
use tokio::process::Command;

use super::migrate::{database, output};
use crate::{BINARY, hook};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// The program, on a database that its settings name.
const ON_GIVEN: Program = Program::on_sqlite(env!("CARGO_BIN_EXE_hookwright-under-test"));

async fn run(command: &str, url: &str, data_dir: &Path) -> (Output, String) {
    let mut process = BINARY.command();
    process.args(command.split(' ')).arg("--data-dir").arg(data_dir);
    process.env("HOOKWRIGHT_DATABASE", url).env("HOOKWRIGHT_ENCRYPTION_KEY", KEY).kill_on_drop(true);
    output(process).await
}

async fn node(url: &str, paused: &str) -> Server {
    let settings =
        [("HOOKWRIGHT_DATABASE", url), ("HOOKWRIGHT_ENCRYPTION_KEY", KEY), ("HOOKWRIGHT_PAUSED", paused)];
    Server::start_with(ON_GIVEN, &settings).await
}

/// A program of PostgreSQL.
fn program(name: &str) -> Command {
    let installed = temporary::installed().map(|directory| directory.join(name));
    Command::new(installed.filter(|path| path.exists()).unwrap_or_else(|| name.into()))
}

#[tokio::test]
async fn a_dump_that_the_page_names_is_restored_into_a_paused_engine() {
    let (original, copy) = (database("backup_original").await, database("backup_copy").await);
    let scratch = tempfile::tempdir().unwrap();
    let (said, text) = run("backup b", &original.url(), scratch.path()).await;
    assert_eq!(said.status.code(), Some(2), "{text}");
    for expected in ["pg_dump --format=custom", "pg_restore --no-owner", "serve --paused"] {
        assert!(text.contains(expected), "{text}");
    }
    let (said, text) = run("restore b", &original.url(), scratch.path()).await;
    assert!(said.status.code() == Some(2) && text.contains("pg_restore"), "{text}");

    let receiver = Receiver::start().await;
    let mut old = node(&original.url(), "true").await;
    let client = old.tenant("acme").await;
    hook(&client, &receiver, json!({})).await;
    let event = client.publish("t", json!(1)).await;
    let dump = scratch.path().join("hookwright.dump");
    let mut dumping = program("pg_dump");
    dumping.arg("--format=custom").arg(format!("--file={}", dump.display())).arg(original.url());
    let (dumped, text) = output(dumping).await;
    assert!(dumped.status.success(), "{text}");
    old.kill().await;
    let mut restoring = program("pg_restore");
    restoring.args(["--no-owner", &format!("--dbname={}", copy.url())]).arg(&dump);
    let (restored, text) = output(restoring).await;
    assert!(restored.status.success(), "{text}");

    let (checked, text) = run("check", &copy.url(), scratch.path()).await;
    assert!(checked.status.success() && text.contains("No damage found"), "{text}");
    let new = node(&copy.url(), "true").await;
    let client = client.at(new.base());
    client.get(&format!("/events/{event}")).await.expect(200);
    assert_eq!(receiver.so_far().len(), 0);
    new.operator().patch("/engine", json!({"paused": false})).await.expect(200);
    assert_eq!(receiver.next().await.header("webhook-id"), event);
}

#[tokio::test]
async fn a_check_finds_damage_and_a_look_at_the_schema_says_what_a_start_would_do() {
    let database = database("backup_check").await;
    let scratch = tempfile::tempdir().unwrap();
    let url = database.url();
    let (unused, text) = run("check", &url, scratch.path()).await;
    assert!(!unused.status.success() && text.contains("no engine has used this database yet"), "{text}");
    let (empty, text) = run("migrate --check", &url, scratch.path()).await;
    assert!(empty.status.code() == Some(3) && text.contains("schema version 0"), "{text}");

    let node = node(&url, "true").await;
    let client = node.tenant("acme").await;
    client.upload("mine", guest::filter("", "(i32.const 0)")).await;
    let hook = json!({"url": "https://example.com/", "types": ["*"]});
    client.post("/hooks", hook).await.expect(201);
    client.publish("t", json!(1)).await;
    let (sound, text) = run("check --json", &url, scratch.path()).await;
    let report: Value = serde_json::from_slice(&sound.stdout).unwrap_or_else(|_| panic!("{text}"));
    assert!(sound.status.success() && report["ok"] == true, "{text}");
    let (current, text) = run("migrate --check", &url, scratch.path()).await;
    assert!(current.status.code() == Some(0) && text.contains("The schema is current"), "{text}");

    let mut connection = PgConnection::connect(&url).await.unwrap();
    for (check, sql, back) in [
        (
            "secrets",
            "UPDATE hooks SET sealed = sealed || '\\x00'",
            "UPDATE hooks SET sealed = substring(sealed FOR length(sealed) - 1)",
        ),
        (
            "configuration changes",
            "UPDATE directory_revision SET revision = revision + 1",
            "UPDATE directory_revision SET revision = revision - 1",
        ),
        (
            "rows",
            "UPDATE api_keys SET scopes = '{' || scopes",
            "UPDATE api_keys SET scopes = substring(scopes FROM 2)",
        ),
        (
            "plugins",
            "UPDATE plugin_blobs SET digest = digest || '\\x00'",
            "UPDATE plugin_blobs SET digest = substring(digest FOR 32)",
        ),
    ] {
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        let (damaged, text) = run("check --json", &url, scratch.path()).await;
        let report: Value = serde_json::from_slice(&damaged.stdout).unwrap_or_else(|_| panic!("{text}"));
        let failed = report["findings"].as_array().unwrap().iter().filter(|row| row["result"] == "failed");
        let failed: Vec<_> = failed.map(|row| row["check"].clone()).collect();
        assert_eq!((damaged.status.code(), failed), (Some(1), vec![json!(check)]), "{text}");
        sqlx::raw_sql(back).execute(&mut connection).await.unwrap();
    }
    sqlx::raw_sql("INSERT INTO engine_state VALUES ('required-migration', '9999')")
        .execute(&mut connection)
        .await
        .unwrap();
    let (newer, text) = run("migrate --check", &url, scratch.path()).await;
    assert_eq!(newer.status.code(), Some(4), "{text}");
}
