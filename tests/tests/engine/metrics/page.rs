//! The page as a whole.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use hookwright_tests::Receiver;
use serde_json::json;

use super::scrape::{Scrape, response, scrape, scrape_until};
use crate::{engine, hook};

/// Figures that need SQLite, or a setting.
const NOT_EVERYWHERE: [&str; 3] =
    ["hookwright_wal_bytes", "hookwright_tenant_events_accepted_total", "hookwright_tenant_attempts_total"];

/// The first column of the tables in `host/docs/metrics.md`, with the types.
fn documented() -> BTreeSet<(String, String)> {
    let page = include_str!("../../../../host/docs/metrics.md");
    let cells = |line: &'static str| -> Vec<&'static str> { line.split('|').map(str::trim).collect() };
    let rows = page.lines().filter(|line| line.starts_with("| `")).map(cells);
    rows.map(|cells| (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())).collect()
}

async fn busy() -> (hookwright_tests::Server, Scrape) {
    let (server, client) = engine().await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let event = client.publish("order.paid", json!({"n": 1})).await;
    client.finished(&event).await;
    let scrape = scrape_until(&server, |scrape| scrape.has("hookwright_database_bytes")).await;
    (server, scrape)
}

#[tokio::test]
async fn the_page_about_metrics_lists_every_figure_with_its_type() {
    let (_server, scrape) = busy().await;
    let exported: BTreeSet<(String, String)> = scrape.types.into_iter().collect();
    let documented = documented();
    let missing: Vec<_> = exported.difference(&documented).collect();
    assert!(missing.is_empty(), "host/docs/metrics.md lacks {missing:?}");
    let too_many: Vec<_> = documented
        .difference(&exported)
        .filter(|(name, _)| !NOT_EVERYWHERE.contains(&name.as_str()))
        .collect();
    assert!(too_many.is_empty(), "host/docs/metrics.md has {too_many:?}, which is not exported");
}

#[tokio::test]
async fn labels_name_no_hook_url_or_event() {
    let (_server, scrape) = busy().await;
    for (name, labels) in scrape.labels() {
        for forbidden in ["hook_", "evt_", "dlv_", "127.0.0.1", "order.paid", "acme", "tenant=\""] {
            assert!(!labels.contains(forbidden), "{name}: {labels}");
        }
    }
}

#[tokio::test]
async fn the_format_is_the_one_that_the_client_accepts() {
    let (server, _) = engine().await;
    for (accept, content_type, ends_with_eof) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", false),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            true,
        ),
    ] {
        let response = response(&server, &[("accept", accept)]).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.headers["content-type"], content_type);
        assert_eq!(response.bytes.ends_with(b"# EOF\n"), ends_with_eof);
    }
}

/// Prometheus's own check, if it is installed (Debian: `apt-get install prometheus`).
#[tokio::test]
async fn promtool_has_nothing_to_say() {
    let (server, _) = busy().await;
    let page = response(&server, &[]).await.bytes;
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        return;
    };
    promtool.stdin.take().unwrap().write_all(&page).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_api_has_no_metrics() {
    let (server, client) = engine().await;
    assert_eq!(client.send("GET", "/metrics", "", &[]).await.status, 404);
    assert_eq!(response(&server, &[]).await.status, 200);
    assert!(scrape(&server).await.has("hookwright_nodes"));
}
