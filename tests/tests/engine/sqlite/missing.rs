//! A data directory whose database is missing.

use std::path::Path;

use hookwright_tests::{Client, Server};
use serde_json::json;

use super::{names, run, words};
use crate::BINARY;

/// Starts an engine by a script, since only `serve` has the option `--init`.
async fn start_with_init(dir: &Path, scratch: &Path) -> Server {
    use std::os::unix::fs::PermissionsExt as _;
    let script = scratch.join("init.sh");
    let program = BINARY.to_string();
    std::fs::write(&script, format!("#!/bin/sh\nexec {program} \"$@\" --init\n")).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    Server::start_in(BINARY.started_by(script), dir, &[]).await
}

#[tokio::test]
async fn a_start_without_the_database_is_refused_until_it_is_told_to_begin_anew() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let mut server = Server::start_in(BINARY, &dir, &[]).await;
    let client = server.tenant("acme").await;
    client.publish("t", json!(1)).await;
    server.kill().await;
    std::fs::remove_file(dir.join("hookwright.db")).unwrap();
    let left = names(&dir);
    assert!(left.contains(&"hookwright.db-wal".to_owned()), "{left:?}");
    let log = std::fs::read(dir.join("hookwright.db-wal")).unwrap();

    let off = [("HOOKWRIGHT_LISTEN", "127.0.0.1:0"), ("HOOKWRIGHT_ADMIN_LISTEN", "off")];
    for _ in 0..2 {
        let refused = run("serve", &dir, &off).await;
        assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
        for expected in ["hookwright.db is missing", "hookwright.db-wal", "--init", "hookwright restore"] {
            assert!(words(&refused).contains(expected), "{}", words(&refused));
        }
    }
    assert_eq!(names(&dir), left, "a refusal changes nothing");

    let mut server = start_with_init(&dir, scratch.path()).await;
    client.at(server.base()).get("/hooks").await.expect(401);
    let client: Client = server.tenant("acme").await;
    client.publish("t", json!(1)).await;
    assert_eq!(std::fs::read(dir.join("hookwright.db-wal.lost-1")).unwrap(), log, "the old log is kept");
    assert_eq!(server.terminate().await, Some(0));
    // The option does nothing to a database that is there.
    let server = start_with_init(&dir, scratch.path()).await;
    client.at(server.base()).get("/hooks").await.expect(200);
}
