//! What the log says of hooks and deliveries, and that all output is JSON if the log is.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use hookwright_tests::{Client, Receiver, Reply, Server, TIMEOUT, scratch};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::start::hook_when;
use crate::{BINARY, hook};

const JSON: (&str, &str) = ("HOOKWRIGHT_LOG_FORMAT", "json");

/// An engine whose log is a file.
struct Logged {
    server: Server,
    client: Client,
    log: tempfile::NamedTempFile,
}

impl Logged {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let settings = [&[JSON, ("HOOKWRIGHT_LOG", "info")], settings].concat();
        let server = Server::start_logging_to(BINARY, &settings, log.reopen().unwrap()).await;
        let client = server.tenant("acme").await;
        Self { server, client, log }
    }

    /// Stops the engine, and returns the lines with this message, and how many deliveries other lines count.
    async fn end(mut self, message: &str) -> (Vec<Value>, u64) {
        assert_eq!(self.server.terminate().await, Some(0));
        let log = std::fs::read_to_string(self.log.path()).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        let lines: Vec<Value> = lines.collect();
        let left_out = lines.iter().filter_map(|line| line["exhausted"].as_u64()).sum();
        (lines.into_iter().filter(|line| line["message"] == message).collect(), left_out)
    }
}

#[tokio::test]
async fn exhausted_deliveries_are_logged_and_one_hook_does_not_flood_the_log() {
    let it = Logged::start(&[("HOOKWRIGHT_CIRCUIT_FAILURE_PERCENT", "off")]).await;
    let receiver = Receiver::responding(|_| Reply::status(500)).await;
    let bad = hook(&it.client, &receiver, json!({"types": ["bad"], "retry": {"schedule_s": []}})).await;
    let other = hook(&it.client, &receiver, json!({"types": ["other"], "retry": {"schedule_s": []}})).await;
    let mut events = Vec::new();
    for number in 0..160 {
        events.push(it.client.publish("bad", json!(number)).await);
    }
    let last = it.client.publish("other", json!(0)).await;
    for event in &events {
        it.client.finished(event).await;
    }
    let delivery = it.client.finished(&last).await.remove(0);
    let shown = it.client.get(&format!("/events/{last}")).await.expect(200);
    let (lines, left_out) = it.end("a delivery is exhausted").await;
    assert_eq!(lines.len() as u64 + left_out, 161, "each is logged or counted");
    let of = |hook: &str| lines.iter().filter(|line| line["hook"] == hook).count();
    // Five in each ten seconds, some of them about its state.
    assert!((3..100).contains(&of(&bad)), "{}", of(&bad));
    let line = lines.iter().find(|line| line["hook"] == *other).expect("the other hook is not hidden");
    assert_eq!((&line["level"], &line["attempt"]), (&json!("WARN"), &json!(1)), "{line}");
    assert_eq!((&line["delivery"], &line["event"]), (&delivery["id"], &shown["engine_id"]), "{line}");
    assert_eq!(line["outcome"], "response", "{line}");
    assert_eq!(line["reason"], "the receiver answered with status 500", "{line}");
    assert!(line["tenant"].as_str().unwrap().starts_with("ten_"), "{line}");
}

#[tokio::test]
async fn changes_of_a_hooks_state_are_logged_once() {
    let it = Logged::start(&[]).await;
    let fails = std::sync::Arc::new(AtomicBool::new(true));
    let is_failing = std::sync::Arc::clone(&fails);
    let receiver = Receiver::responding(move |arrival| match arrival.json().as_str() {
        Some("gone") => Reply::status(410),
        _ => Reply::status(if is_failing.load(SeqCst) { 500 } else { 200 }),
    })
    .await;
    let id = hook(&it.client, &receiver, json!({})).await;
    for number in 0..10 {
        it.client.publish("t", json!(number)).await;
    }
    hook_when(&it.client, &id, |hook| hook["state"]["name"] == "failing").await;
    fails.store(false, SeqCst);
    for number in 0..20 {
        let event = it.client.publish("t", json!(number)).await;
        it.client.finished(&event).await;
    }
    hook_when(&it.client, &id, |hook| hook["state"]["name"] == "ok").await;
    it.client.publish("t", json!("gone")).await;
    hook_when(&it.client, &id, |hook| hook["enabled"] == false).await;
    let log = it.log.reopen().unwrap();
    it.end("a hook is failing").await;
    let lines: Vec<Value> = std::io::BufRead::lines(std::io::BufReader::new(log))
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .filter(|line: &Value| line["hook"] == *id)
        .collect();
    let said: Vec<_> = lines.iter().map(|line| (line["level"].as_str(), line["message"].as_str())).collect();
    let expected = [
        ("WARN", "a hook is failing"),
        ("INFO", "a hook has recovered"),
        ("WARN", "a hook is disabled"),
        ("WARN", "a delivery is exhausted"),
    ];
    assert_eq!(said, expected.map(|(level, message)| (Some(level), Some(message))));
}

#[tokio::test]
async fn with_a_log_in_json_everything_that_is_written_is_json() {
    let dir = scratch::directory();
    let serve = |listen: &str| {
        let mut command = BINARY.command();
        command.args(["serve", "--listen", listen, "--admin-listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(dir.path().join("data")).env(JSON.0, JSON.1).stdin(Stdio::null()).kill_on_drop(true);
        command
    };
    let mut child = serve("127.0.0.1:0").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = Vec::new();
    let greeting = async {
        while let Some(line) = stdout.next_line().await.unwrap() {
            let line: Value = serde_json::from_str(&line).expect(&line);
            lines.push(line);
            if lines.last().unwrap()["message"] == "serving" {
                return;
            }
        }
    };
    tokio::time::timeout(TIMEOUT, greeting).await.unwrap();
    assert!(lines[0]["operator_key"].as_str().unwrap().starts_with("hwk_"), "{lines:?}");
    for address in ["listen", "admin"] {
        assert!(lines[1][address].as_str().unwrap().starts_with("http://127.0.0.1:"), "{lines:?}");
    }
    // Each has what lines of the log have.
    for member in ["timestamp", "level", "target"] {
        assert!(lines.iter().all(|line| line[member].is_string()), "{member}: {lines:?}");
    }
    let id = child.id().unwrap().to_string();
    tokio::process::Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
    let ended = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await.unwrap().unwrap();
    assert!(ended.status.success());

    for listen in ["127.0.0.1", "192.0.2.1:0"] {
        let refused = tokio::time::timeout(TIMEOUT, serve(listen).output()).await.unwrap().unwrap();
        assert!(!refused.status.success(), "{listen}");
        let output = [&refused.stdout[..], &refused.stderr[..], &ended.stderr[..]].concat();
        let lines = String::from_utf8(output).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let failed = lines.iter().find(|line| line["message"] == "the command failed").expect(listen);
        assert!(failed["error"].as_str().unwrap().contains("listen"), "{failed}");
    }
}
