//! `hookwright migrate --check`.

use hookwright_tests::Server;
use serde_json::Value;

use super::check::execute;
use super::{end_with, run, succeed};
use crate::BINARY;

#[tokio::test]
async fn a_look_at_the_schema_says_what_a_start_would_do_and_changes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let check = "migrate --check";
    end_with(1, "there is no hookwright.db", check, &dir).await;
    let mut server = Server::start_in(BINARY, &dir, &[]).await;
    let said = succeed(check, &dir).await;
    assert!(said.contains("The schema is current"), "{said}");
    assert_eq!(server.terminate().await, Some(0));

    execute(&dir, "DELETE FROM _sqlx_migrations WHERE version = 16").await;
    for _ in 0..2 {
        let said = end_with(3, "0016 kept bodies: at once", check, &dir).await;
        assert!(
            said.contains("The beginnings of requests' bodies") && said.contains("hookwright backup"),
            "{said}"
        );
    }
    let json: Value = serde_json::from_slice(&run("migrate --check --json", &dir, &[]).await.stdout).unwrap();
    assert_eq!((&json["state"], &json["pending"][0]["version"]), (&"pending".into(), &16.into()));

    execute(&dir, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").await;
    end_with(1, "differ from those of this version: [1]", check, &dir).await;
    execute(&dir, "DELETE FROM _sqlx_migrations WHERE version = 1; UPDATE _sqlx_migrations SET version = 9999 WHERE version = 15")
        .await;
    end_with(4, "A newer version changed the schema", check, &dir).await;
}
