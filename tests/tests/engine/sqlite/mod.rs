//! What is only true of SQLite: the files of its data directory, their backups, encryption keys there, full disks.

mod backup;
mod check;
mod guide;
mod migrations;
mod missing;

use std::io::Write as _;
use std::path::Path;
use std::process::Output;

use hookwright_tests::{Client, Server, guest};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::BINARY;

/// Keys of 32 bytes in base64.
const FIRST_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const SECOND_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

/// Runs a command, with the words of `command` and `--data-dir`.
async fn run(command: &str, data_dir: &Path, environment: &[(&str, &str)]) -> Output {
    let mut process = BINARY.command();
    process.args(command.split(' ')).arg("--data-dir").arg(data_dir).envs(environment.iter().copied());
    process.kill_on_drop(true);
    let ended = tokio::time::timeout(hookwright_tests::TIMEOUT, process.output()).await;
    ended.expect("the command ends in time").unwrap()
}

/// Runs a command that must succeed, and returns what it says.
async fn succeed(command: &str, data_dir: &Path) -> String {
    let output = run(command, data_dir, &[]).await;
    assert!(output.status.success(), "{command}: {}", words(&output));
    words(&output)
}

/// Runs a command that must end with this exit code and say this.
async fn end_with(code: i32, expected: &str, command: &str, data_dir: &Path) -> String {
    let output = run(command, data_dir, &[]).await;
    let words = words(&output);
    assert_eq!(output.status.code(), Some(code), "{command}: {words}");
    assert!(words.contains(expected), "{command}: expected `{expected}` in: {words}");
    words
}

/// The names of the files in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn encryption_keys_can_be_rotated_and_a_wrong_key_is_refused() {
    let first = [("HOOKWRIGHT_ENCRYPTION_KEY", FIRST_KEY)];
    let mut server = Server::start_with(BINARY, &first).await;
    let client = server.tenant("acme").await;
    let hook = json!({"url": "https://example.com/in-the-path", "types": ["*"], "enabled": false,
        "headers": {"x-token": "do-not-show-me"}});
    let made = client.post("/hooks", hook).await.expect(201);
    let secret = format!("/hooks/{}/secret", made["id"].as_str().unwrap());
    let before = client.get(&secret).await.expect(200);
    client.post("/logins", json!({"name": "user", "secret": "another-secret"})).await.expect(201);
    for text in ["do-not-show-me", "in-the-path", "another-secret"] {
        assert_eq!(server.stored_with(text.as_bytes()).await, [""; 0], "{text}");
    }
    let running = run("rekey", server.data_dir(), &first).await;
    assert!(!running.status.success() && words(&running).contains("in use by another process"));
    server.terminate().await;

    let second = [("HOOKWRIGHT_ENCRYPTION_KEY", SECOND_KEY)];
    let both = [second[0], ("HOOKWRIGHT_ENCRYPTION_KEY_PREVIOUS", FIRST_KEY)];
    let listen = ("HOOKWRIGHT_LISTEN", "127.0.0.1:0");
    let admin_listen = ("HOOKWRIGHT_ADMIN_LISTEN", "off");
    let refused = run("serve", server.data_dir(), &[second[0], listen, admin_listen]).await;
    assert!(!refused.status.success());
    assert!(words(&refused).contains("encryption_key_previous"), "{}", words(&refused));
    let done = run("rekey", server.data_dir(), &both).await;
    assert!(done.status.success(), "{}", words(&done));
    assert!(words(&done).contains("Re-encrypted: 1 hooks, 1 logins"), "{}", words(&done));

    let server = server.restart_with(&second).await;
    let client = client.at(server.base());
    assert_eq!(client.get(&secret).await.expect(200), before);
    let mut shown = client.get(&format!("/hooks/{}", made["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(shown.as_object_mut().unwrap().remove("held"), Some(json!(0)));
    assert_eq!(shown, made);
}

/// A file system of 64 MiB that is unmounted on drop. Requires the right to mount.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    async fn at(path: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs"]).arg(path);
        let done = mount.output().await.ok()?;
        done.status.success().then(|| Self(path.to_owned()))
    }

    /// Fills the file system completely.
    fn fill(&self) {
        let mut file = std::fs::File::options().create(true).append(true).open(self.0.join("other")).unwrap();
        for size in [1 << 20, 4_096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn on_a_full_disk_the_engine_starts_reports_it_and_can_delete() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::at(dir.path()).await else {
        std::io::stderr().write_all(b"skipped: this process may not mount a file system\n").unwrap();
        return;
    };
    let data = dir.path().join("data");
    let mut server = Server::start_in(BINARY, &data, &[]).await;
    let client = server.tenant("acme").await;
    let hook = json!({"url": "https://example.com/", "types": ["*"], "enabled": false});
    let made = client.post("/hooks", hook.clone()).await.expect(201);
    client.upload("mine", guest::filter("", "(i32.const 0)")).await;
    client.publish("t", json!(1)).await;
    assert!(data.join("hookwright.reserve").exists());
    server.kill().await;
    disk.fill();

    let mut server = Server::start_in(BINARY, &data, &[]).await;
    let client = client.at(server.base());
    assert!(!data.join("hookwright.reserve").exists(), "the reserve is released");
    let health = client.send("GET", "/health", "", &[]).await;
    assert_eq!((health.status, health.json()["detail"].clone()), (503, json!("the disk is full")));
    client.send("GET", "/health/live", "", &[]).await.expect(200);
    let ready = client.clone().at(server.admin().unwrap()).send("GET", "/readyz", "", &[]).await;
    assert_eq!(ready.expect(503)["detail"], "the disk is full");
    for (path, body) in [("/events", json!({"type": "t", "data": 1})), ("/hooks", hook)] {
        let refused: Value = client.post(path, body).await.expect(503);
        assert!(refused["detail"].as_str().unwrap().contains("disk is full"), "{refused}");
    }
    client.get("/deliveries").await.expect(200);
    let path = format!("/api/v3/hooks/{}", made["id"].as_str().unwrap());
    client.send("DELETE", &path, "", &[]).await.expect(204);
    client.send("DELETE", "/api/v3/plugins/mine", "", &[]).await.expect(204);
    server.kill().await;
    drop(disk);
}

/// A generated key does not count: its text may be lost.
#[tokio::test]
async fn the_last_key_of_an_operator_cannot_remove_itself() {
    let server = Server::start(BINARY).await;
    let only = server.operator().post("/operator-keys", json!({"name": "only"})).await.expect(201);
    let mut server = server;
    server.terminate().await;
    let server = server.restart_with(&[("HOOKWRIGHT_ADMIN_KEY", "")]).await;
    let operator = Client::new(server.base(), only["key"].as_str().unwrap());
    let own = format!("/operator-keys/{}", only["id"].as_str().unwrap());
    let path = format!("/api/v3{own}");
    operator.send("DELETE", &path, "", &[]).await.expect(409);
    operator.patch(&own, json!({"role": "read"})).await.expect(409);
    operator.patch(&own, json!({"name": "still"})).await.expect(200);
    operator.post("/operator-keys", json!({"name": "reader", "role": "read"})).await.expect(201);
    operator.send("DELETE", &path, "", &[]).await.expect(409);
    let next = operator.post("/operator-keys", json!({"name": "next"})).await.expect(201);
    operator.send("DELETE", &path, "", &[]).await.expect(204);
    Client::new(server.base(), next["key"].as_str().unwrap()).get("/operator-keys").await.expect(200);
}
