//! `hookwright backup` and `hookwright restore`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hookwright_tests::{Arrival, Client, Receiver, Reply, Server, TIMEOUT};
use serde_json::{Value, json};

use super::{end_with, names, run, succeed, words};
use crate::{BINARY, hook};

/// Publishers that go on until they are stopped.
struct Load {
    answered: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    publishers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let (answered, stop) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(AtomicBool::new(false)));
        let publish = |_| {
            let (client, answered, stop) = (client.clone(), Arc::clone(&answered), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let event = client.publish("order.paid", json!({"text": "x".repeat(500)})).await;
                    answered.lock().unwrap().push(event);
                }
            })
        };
        let publishers = (0..8).map(publish).collect();
        Self { answered, stop, publishers }
    }

    fn count(&self) -> usize {
        self.answered.lock().unwrap().len()
    }

    /// Waits until `more` further events are answered.
    async fn answers(&self, more: usize) {
        let (from, began) = (self.count(), std::time::Instant::now());
        while self.count() < from + more {
            assert!(began.elapsed() < TIMEOUT, "{} answered", self.count());
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for publisher in self.publishers {
            publisher.await.unwrap();
        }
    }
}

/// Which event a receiver got.
fn event_of(arrival: &Arrival) -> String {
    arrival.header("webhook-id").to_owned()
}

async fn resume(operator: &Client) {
    operator.patch("/engine", json!({"paused": false})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_has_what_was_answered_before_it_began_and_is_restored_paused() {
    let hangs = Arc::new(AtomicBool::new(true));
    let is_hanging = Arc::clone(&hangs);
    let receiver = Receiver::responding(move |arrival| match arrival.path.as_str() {
        "/hangs" if is_hanging.load(Ordering::Relaxed) => Reply::Never,
        _ => Reply::status(204),
    })
    .await;
    let mut server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    let id = hook(&client, &receiver, json!({"types": ["order.*"]})).await;
    let slow = json!({"types": ["slow"], "url": receiver.url("/hangs")});
    hook(&client, &receiver, slow).await;
    let secret = client.get(&format!("/hooks/{id}/secret")).await.expect(200);
    let unfinished = client.publish("slow", json!(1)).await;
    assert_eq!(event_of(&receiver.next().await), unfinished);

    let scratch = tempfile::tempdir().unwrap();
    let (backup, restored) = (scratch.path().join("new/backup"), scratch.path().join("restored"));
    let load = Load::start(&client);
    load.answers(500).await;
    let before = load.answered.lock().unwrap().clone();
    let said = succeed(&format!("backup {} --with-key", backup.display()), server.data_dir()).await;
    let during = load.count() - before.len();
    assert!(during > 0, "events are accepted meanwhile");
    assert!(said.contains("it went on") && said.contains("key        included"), "{said}");
    load.answers(200).await;
    load.stop().await;
    server.kill().await;

    assert_eq!(names(&backup), ["encryption.key", "hookwright.db", "manifest.json"]);
    for file in names(&backup) {
        let mode = backup.join(&file).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    succeed(&format!("check {}", backup.display()), server.data_dir()).await;
    assert_eq!(names(&backup).len(), 3, "a check leaves nothing behind");
    let said = succeed(&format!("restore {}", backup.display()), &restored).await;
    assert!(said.contains("It is paused") && !said.contains("encryption key"), "{said}");
    assert_eq!(names(&restored), ["encryption.key", "hookwright.db"]);

    hangs.store(false, Ordering::Relaxed);
    drop(receiver.so_far());
    let server = Server::start_in(BINARY, &restored, &[]).await;
    let client = client.at(server.base());
    assert_eq!(server.operator().get("/engine").await.expect(200)["paused"], true);
    let after = client.publish("order.paid", json!(2)).await;
    for event in before.iter().chain([&unfinished, &after]) {
        client.get(&format!("/events/{event}")).await.expect(200);
    }
    assert_eq!(client.get(&format!("/hooks/{id}/secret")).await.expect(200), secret);
    assert_eq!(receiver.so_far().len(), 0, "nothing is sent until the operator resumes the engine");
    resume(&server.operator()).await;
    for event in [&unfinished, &after] {
        assert_eq!(client.finished(event).await[0]["state"], "succeeded");
    }
    let arrived: Vec<String> = receiver.so_far().iter().map(event_of).collect();
    assert!(arrived.contains(&unfinished) && arrived.contains(&after));
    succeed("check", &restored).await;
}

/// A stopped engine with a hook and an event, and a backup of it without its key.
async fn stopped_with_backup(scratch: &Path) -> (PathBuf, PathBuf, Client, String) {
    let data = scratch.join("data");
    let mut server = Server::start_in(BINARY, &data, &[]).await;
    let client = server.tenant("acme").await;
    let hook = json!({"url": "https://example.com/", "types": ["*"], "enabled": false});
    let hook = client.post("/hooks", hook).await.expect(201)["id"].as_str().unwrap().to_owned();
    client.publish("t", json!(1)).await;
    assert_eq!(server.terminate().await, Some(0));
    let backup = scratch.join("backup");
    let said = succeed(&format!("backup {}", backup.display()), &data).await;
    assert!(said.contains("not included: store") && !said.contains("it went on"), "{said}");
    assert_eq!(names(&backup), ["hookwright.db", "manifest.json"]);
    (data, backup, client, hook)
}

#[tokio::test]
async fn without_its_key_a_backup_is_restored_and_the_start_asks_for_the_key() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, backup, client, hook) = stopped_with_backup(scratch.path()).await;
    let restored = scratch.path().join("restored");
    let said = succeed(&format!("restore {} --start-unpaused", backup.display()), &restored).await;
    assert!(
        said.contains("The encryption key is not here")
            && said.contains("copy the encryption.key")
            && said.contains("It sends at once"),
        "{said}"
    );
    let listen = [("HOOKWRIGHT_LISTEN", "127.0.0.1:0"), ("HOOKWRIGHT_ADMIN_LISTEN", "off")];
    let refused = run("serve", &restored, &listen).await;
    assert!(words(&refused).contains("encryption_key"), "{}", words(&refused));
    std::fs::copy(data.join("encryption.key"), restored.join("encryption.key")).unwrap();
    let server = Server::start_in(BINARY, &restored, &[]).await;
    assert_eq!(server.operator().get("/engine").await.expect(200)["paused"], false);
    client.at(server.base()).get(&format!("/hooks/{hook}/secret")).await.expect(200);
}

#[tokio::test]
async fn what_cannot_be_backed_up_or_restored_is_refused_and_nothing_is_changed() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, backup, ..) = stopped_with_backup(scratch.path()).await;
    let path = |name: &str| scratch.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    std::fs::create_dir(path("full")).unwrap();
    std::fs::write(path("full/file"), "content").unwrap();

    end_with(1, "is not empty", &format!("backup {}", text("full")), &data).await;
    end_with(1, "there is no hookwright.db", &format!("backup {}", text("new")), &path("nothing")).await;
    end_with(1, "is not empty", &format!("restore {}", backup.display()), &path("full")).await;
    end_with(1, "is not a complete backup", &format!("restore {}", text("full")), &path("new")).await;
    assert_eq!(names(&path("full")), ["file"]);
    assert!(!path("new").exists() && !path("nothing").exists());

    std::fs::remove_file(data.join("encryption.key")).unwrap();
    let with_key = format!("backup {} --with-key", text("new"));
    end_with(2, "Leave the option out", &with_key, &data).await;
    assert!(!path("new").exists());

    let database = backup.join("hookwright.db");
    let content = std::fs::read(&database).unwrap();
    let mut damaged = content.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for (content, reason) in
        [(damaged, "SHA-256"), (content[..content.len() / 2].to_vec(), "bytes instead of")]
    {
        std::fs::write(&database, content).unwrap();
        end_with(1, reason, &format!("restore {}", backup.display()), &path("new")).await;
        end_with(1, reason, &format!("check {}", backup.display()), &data).await;
        assert!(!path("new").exists());
    }
    std::fs::write(&database, content).unwrap();
    let manifest = backup.join("manifest.json");
    let mut changed: Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    changed["schema_version"] = json!(9_999);
    std::fs::write(&manifest, changed.to_string()).unwrap();
    end_with(1, "newer than this engine", &format!("restore {}", backup.display()), &path("new")).await;
}

#[tokio::test]
async fn a_damaged_database_is_not_backed_up() {
    let scratch = tempfile::tempdir().unwrap();
    let (data, ..) = stopped_with_backup(scratch.path()).await;
    damage(&data.join("hookwright.db"));
    let target = scratch.path().join("new");
    let said = end_with(1, "no backup was made", &format!("backup {}", target.display()), &data).await;
    assert!(said.contains("hookwright check"), "{said}");
    assert!(!target.exists());
}

/// Overwrites the middle of a database.
pub(super) fn damage(database: &Path) {
    let mut content = std::fs::read(database).unwrap();
    let middle = content.len() / 2;
    content[middle..middle + 8_192].fill(0xa5);
    std::fs::write(database, content).unwrap();
}
