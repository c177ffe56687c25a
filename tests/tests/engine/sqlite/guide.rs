//! The commands of `host/docs/operations.md` work as they are written there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hookwright_tests::{Client, TIMEOUT};
use serde_json::json;
use tokio::process::Command;

use crate::BINARY;

const PAGE: &str = include_str!("../../../../host/docs/operations.md");
const ADMIN_KEY: &str = "the-operators-key-of-the-guide";
const ENCRYPTION_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// What stands in for systemd: it starts and stops an engine with the settings of the unit.
const SYSTEMCTL: &str = r#"#!/bin/sh
set -eu
stop() {
  pid=$(cat "$ROOT/pid"); kill -TERM "$pid"
  while readlink "/proc/$pid/exe" > /dev/null; do sleep 0.1; done
  rm "$ROOT/pid"
}
start() {
  HOOKWRIGHT_ADMIN_KEY=$(cat "$ROOT/etc/hookwright/admin_key") \
  HOOKWRIGHT_ENCRYPTION_KEY=$(cat "$ROOT/etc/hookwright/encryption_key") \
  HOOKWRIGHT_LISTEN=127.0.0.1:$PORT HOOKWRIGHT_ADMIN_LISTEN=off HOOKWRIGHT_DATA_DIR=$ROOT/var/lib/hookwright \
    "$ROOT/bin/hookwright" serve > "$ROOT/log" 2>&1 &
  echo $! > "$ROOT/pid"
  until curl -fs "http://127.0.0.1:$PORT/health" > /dev/null; do
    readlink "/proc/$(cat "$ROOT/pid")/exe" > /dev/null || { cat "$ROOT/log" >&2; exit 1; }
    sleep 0.1
  done
}
sockets='hookwright.socket hookwright-admin.socket '
case "$*" in
  "stop hookwright"|"stop ${sockets}hookwright") stop ;;
  "start hookwright"|"start ${sockets}hookwright") start ;;
  "restart hookwright") stop; start ;;
  *) echo "not known here: systemctl $*" >&2; exit 1 ;;
esac
"#;
/// There is one user here.
const SUDO: &str = "#!/bin/sh\n[ \"$1 $2\" = '-u hookwright' ] && shift 2 && exec \"$@\"\n";
const INSTALL: &str = "#!/bin/sh\n[ \"$1 $2 $3 $4 $5\" = '-d -o hookwright -g hookwright' ] && shift 5 && exec mkdir -p \"$@\"\n";

/// A machine as the page expects it, in a directory.
struct Machine {
    root: PathBuf,
    port: u16,
}

impl Machine {
    fn new(root: &Path) -> Self {
        // Nobody else gets this port soon.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        for dir in ["bin", "etc/hookwright", "var/lib", "var/backups"] {
            std::fs::create_dir_all(root.join(dir)).unwrap();
        }
        std::fs::write(root.join("etc/hookwright/admin_key"), format!("{ADMIN_KEY}\n")).unwrap();
        std::fs::write(root.join("etc/hookwright/encryption_key"), format!("{ENCRYPTION_KEY}\n")).unwrap();
        let program = format!("#!/bin/sh\nexec {BINARY} \"$@\"\n");
        for (name, text) in [
            ("hookwright", program.as_str()),
            ("hookwright.new", &program),
            ("systemctl", SYSTEMCTL),
            ("sudo", SUDO),
            ("install", INSTALL),
        ] {
            let path = root.join("bin").join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { root: root.to_owned(), port }
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn run(&self, script: &str) {
        let root = self.root.display();
        let script = script
            .replace("/usr/local/bin", &format!("{root}/bin"))
            .replace("/var/", &format!("{root}/var/"))
            .replace("/etc/hookwright", &format!("{root}/etc/hookwright"))
            .replace("http://127.0.0.1:8080", &self.address());
        let mut bash = Command::new("bash");
        bash.args(["-euxc", &script]).env("ROOT", &self.root).env("PORT", self.port.to_string());
        bash.env("PATH", format!("{root}/bin:/usr/bin:/bin")).current_dir(&self.root).kill_on_drop(true);
        // The engine holds what it inherits: a pipe would stay open.
        let out = std::fs::File::create(self.root.join("out")).unwrap();
        bash.stdout(out.try_clone().unwrap()).stderr(out);
        let status = tokio::time::timeout(TIMEOUT, bash.status()).await.expect("it ends in time").unwrap();
        assert!(status.success(), "{}", std::fs::read_to_string(self.root.join("out")).unwrap());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.root.join("pid")) {
            let _ = std::process::Command::new("kill").args(["-KILL", pid.trim()]).status();
        }
    }
}

/// The blocks of the page that are marked as tested.
fn tested_blocks() -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        if line == "```sh tested" {
            blocks.push(lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n"));
        }
    }
    blocks
}

#[tokio::test]
async fn the_commands_of_the_page_back_up_restore_upgrade_and_roll_back() {
    let blocks = tested_blocks();
    for wanted in [
        "/health",
        "\"paused\": false",
        " backup ",
        " restore ",
        " check ",
        "migrate --check",
        "hookwright.old ",
    ] {
        assert!(blocks.iter().any(|block| block.contains(wanted)), "no block with `{wanted}`");
    }
    let scratch = tempfile::tempdir().unwrap();
    let machine = Machine::new(scratch.path());
    machine.run("systemctl start hookwright").await;
    let operator = Client::new(&machine.address(), ADMIN_KEY);
    operator.post("/tenants", json!({"name": "acme"})).await.expect(201);
    let of_tenant = operator.clone().with_header("hookwright-tenant", "acme");
    let key = of_tenant.post("/keys", json!({"name": "test"})).await.expect(201);
    let client = Client::new(&machine.address(), key["key"].as_str().unwrap());
    let hook = json!({"url": "https://example.com/", "types": ["*"], "enabled": false});
    let hook = client.post("/hooks", hook).await.expect(201);
    let event = client.publish("t", json!(1)).await;

    machine.run(&blocks.join("\n")).await;
    // The last of them restored the backup from before the upgrade.
    assert_eq!(operator.get("/engine").await.expect(200)["paused"], true);
    client.get(&format!("/events/{event}")).await.expect(200);
    client.get(&format!("/hooks/{}/secret", hook["id"].as_str().unwrap())).await.expect(200);
    machine.run("systemctl stop hookwright").await;
}
