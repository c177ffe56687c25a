//! `hookwright migrate`: an installation moves from SQLite to PostgreSQL.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hookwright_tests::database::{self, Database};
use hookwright_tests::{Arrival, Client, Program, Receiver, Reply, Server, TIMEOUT, guest, without_last_use};
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx_postgres::PgConnection;
use tokio::process::Command;

/// The program, with its database in the data directory unless it is told otherwise.
const SQLITE: Program = Program::on_sqlite(env!("CARGO_BIN_EXE_hookwright-under-test"));

fn migrate(data_dir: &Path, to: Option<&str>, more: &[&str]) -> Command {
    let mut command = SQLITE.command();
    command.args(["migrate", "--from"]).arg(format!("sqlite:{}", data_dir.display())).args(more);
    command.args(to.iter().flat_map(|to| ["--to", to]));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub(super) async fn output(mut command: Command) -> (Output, String) {
    let ended = tokio::time::timeout(TIMEOUT, command.output()).await.expect("it ends in time").unwrap();
    let text = String::from_utf8_lossy(&[ended.stdout.as_slice(), &ended.stderr].concat()).into_owned();
    (ended, text)
}

pub(super) async fn database(name: &str) -> Database {
    Database::on(database::server(), &format!("hookwright_{name}_{}", std::process::id())).await
}

/// The settings of a node: those that `migrate` names.
fn node(url: &str, data_dir: &Path) -> Vec<(&'static str, String)> {
    let key = std::fs::read_to_string(data_dir.join("encryption.key")).unwrap();
    vec![("HOOKWRIGHT_DATABASE", url.to_owned()), ("HOOKWRIGHT_ENCRYPTION_KEY", key.trim().to_owned())]
}

async fn start_node(settings: &[(&'static str, String)]) -> Server {
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Server::start_with(SQLITE, &settings).await
}

/// What the API answers about everything that does not change.
async fn answers(client: &Client, operator: &Client, paths: &[String]) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for path in paths {
        all.insert(path.clone(), without_last_use(client.get(path).await.expect(200)));
    }
    all.insert("/tenants".to_owned(), operator.get("/tenants").await.expect(200));
    all
}

/// A receiver: `/hangs` and `/fails` do so until the switch is on.
async fn receiver(works: &Arc<AtomicBool>) -> Receiver {
    let works = Arc::clone(works);
    Receiver::responding(move |arrival: &Arrival| {
        match (arrival.path.as_str(), works.load(Ordering::Relaxed)) {
            ("/hangs", false) => Reply::Never,
            ("/fails", false) => Reply::status(500),
            _ => Reply::status(204),
        }
    })
    .await
}

#[tokio::test]
async fn an_installation_moves_with_everything_and_goes_on() {
    let works = Arc::new(AtomicBool::new(false));
    let receiver = receiver(&works).await;
    let mut old = Server::start(SQLITE).await;
    let client = old.tenant("acme").await;
    client.post("/projects", json!({"id": 7, "name": "first"})).await.expect(201);
    client.post("/logins", json!({"name": "user", "secret": "the-login's-secret"})).await.expect(201);
    client.upload("mine", guest::filter("", "(i32.const 0)")).await;
    let mut paths: Vec<String> =
        ["/projects", "/keys", "/logins", "/hooks", "/plugins", "/plugins/mine"].map(str::to_owned).into();
    for (path, types, more) in [
        ("/works", "works", json!({"pipeline": [{"plugin": "mine"}], "headers": {"x-token": "t"}})),
        ("/hangs", "hangs", json!({})),
        ("/fails", "fails", json!({"retry": {"schedule_s": [3600]}})),
        ("/off", "off", json!({"enabled": false, "description": "a\ttab, a \\ and ü"})),
    ] {
        let mut hook = json!({"url": receiver.url(path), "types": [types]});
        hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let id = client.post("/hooks", hook).await.expect(201)["id"].as_str().unwrap().to_owned();
        paths.extend([format!("/hooks/{id}"), format!("/hooks/{id}/secret")]);
    }
    let named = json!({"id": "own-id", "type": "works", "data": {"text": "a\\b\tc\né"}});
    client.post("/events", named.clone()).await.expect(202);
    let done = client.finished("own-id").await;
    let failed = client.publish("fails", json!(1)).await;
    let waiting = client.deliveries_when(&failed, |delivery| delivery["state"] == "waiting").await;
    paths.extend(["/events/own-id".to_owned(), format!("/events/{failed}")]);
    paths.extend(
        done.iter().chain(&waiting).map(|one| format!("/deliveries/{}", one["id"].as_str().unwrap())),
    );
    drop(receiver.so_far());
    let hanging = client.publish("hangs", json!(2)).await;
    assert_eq!(receiver.next().await.header("webhook-id"), hanging);
    let before = answers(&client, &old.operator(), &paths).await;

    let target = database("migrate_whole").await;
    let (refused, text) = output(migrate(old.data_dir(), Some(&target.url()), &[])).await;
    assert!(!refused.status.success() && text.contains("in use by another process"), "{text}");
    old.kill().await;
    let data_dir = old.data_dir().to_owned();
    let (counted, text) = output(migrate(&data_dir, Some(&target.url()), &["--dry-run"])).await;
    assert!(counted.status.success() && text.contains("nothing was moved"), "{text}");
    let (moved, text) = output(migrate(&data_dir, Some(&target.url()), &[])).await;
    assert!(moved.status.success() && text.contains("All of it arrived"), "{text}");
    let key = std::fs::read_to_string(data_dir.join("encryption.key")).unwrap();
    assert!(text.contains("encryption.key") && !text.contains(key.trim()), "no secret is shown: {text}");
    let (refused, text) = output(migrate(&data_dir, Some(&target.url()), &[])).await;
    assert!(!refused.status.success() && text.contains("not empty"), "{text}");

    works.store(true, Ordering::Relaxed);
    let new = start_node(&node(&target.url(), &data_dir)).await;
    let client = client.at(new.base());
    // What was in memory only is sent by the node.
    assert_eq!(receiver.next().await.header("webhook-id"), hanging);
    assert_eq!(client.finished(&hanging).await[0]["state"], "succeeded");
    assert_eq!(answers(&client, &new.operator(), &paths).await, before);
    let again = client.post("/events", named).await.expect(200);
    assert_eq!((again["duplicate"].clone(), again["id"].clone()), (json!(true), json!("own-id")));
    let retry = format!("/deliveries/{}/retry", waiting[0]["id"].as_str().unwrap());
    client.post(&retry, json!({})).await.expect(202);
    assert_eq!(receiver.next().await.header("webhook-id"), failed);
    let next = client.publish("works", json!(3)).await;
    assert!(next > hanging, "new ids are greater");
    assert_eq!(client.finished(&next).await[0]["state"], "succeeded");
}

#[tokio::test]
async fn a_move_that_is_killed_leaves_a_database_that_no_node_uses_and_begins_anew() {
    let mut old = Server::start(SQLITE).await;
    let client = old.tenant("acme").await;
    let event = client.publish("a", json!(1)).await;
    old.terminate().await;
    let data_dir = old.data_dir().to_owned();
    let target = database("migrate_killed").await;

    // The tables are there, so that one of the last can be locked: the move stops in the middle.
    let begun = hookwright::storage::transfer::Target::connect(&target.url()).await;
    let mut begun = begun.unwrap();
    begun.begin().await.unwrap();
    begun.close().await.unwrap();
    let mut lock = PgConnection::connect(&target.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE rendered_requests IN ACCESS EXCLUSIVE MODE")
        .execute(&mut lock)
        .await
        .unwrap();
    let mut stopped = migrate(&data_dir, Some(&target.url()), &[]).spawn().unwrap();
    let waits =
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'rendered_requests'::regclass)";
    wait_for(&mut lock, waits).await;
    stopped.kill().await.unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    let gone = "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()";
    wait_for(&mut lock, gone).await;

    let settings = node(&target.url(), &data_dir);
    let mut serve = SQLITE.command();
    serve
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"])
        .arg(data_dir.join("node"));
    serve.env("HOOKWRIGHT_ADMIN_KEY", hookwright_tests::server::ADMIN_KEY).envs(settings.clone());
    let (refused, text) = output(serve).await;
    assert!(!refused.status.success() && text.contains("hookwright migrate"), "{text}");
    let (moved, text) = output(migrate(&data_dir, Some(&target.url()), &[])).await;
    assert!(moved.status.success() && text.contains("begins anew"), "{text}");
    let new = start_node(&settings).await;
    assert_eq!(client.at(new.base()).get(&format!("/events/{event}")).await.expect(200)["id"], event);
}

async fn wait_for(connection: &mut PgConnection, condition: &'static str) {
    let began = std::time::Instant::now();
    while !sqlx::query_scalar::<_, bool>(condition).fetch_one(&mut *connection).await.unwrap() {
        assert!(began.elapsed() < TIMEOUT, "still not: {condition}");
    }
}
