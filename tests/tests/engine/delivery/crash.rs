//! No accepted event is lost when the process is killed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::{BINARY, hook};

/// Number of concurrent clients.
const CLIENTS: usize = 24;
/// Numbers of accepted events after which the process is killed.
const KILLED_AFTER: [usize; 12] = [1, 2, 5, 13, 40, 90, 150, 233, 400, 610, 800, 1_000];

/// Posts events with distinct ids until the engine is killed, and returns the accepted ids.
async fn post_until_gone(
    client: Client,
    prefix: String,
    accepted: Arc<AtomicUsize>,
    enough: usize,
    kill: Arc<Notify>,
) -> Vec<String> {
    let mut mine = Vec::new();
    for number in 0.. {
        let id = format!("{prefix}-{number}");
        let body = json!({"id": id, "type": "t", "data": {"id": id}}).to_string();
        match client.try_send("POST", "/api/v3/events", body, &[]).await {
            Ok(response) if response.status == 202 => mine.push(id),
            Ok(response) => panic!("{}: {}", response.status, String::from_utf8_lossy(&response.bytes)),
            Err(_) => break,
        }
        if accepted.fetch_add(1, Ordering::SeqCst) + 1 == enough {
            kill.notify_one();
        }
    }
    mine
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_event_arrives_although_the_process_is_killed_repeatedly() {
    // The receiver fails sometimes, so that retries are interrupted too.
    let count = AtomicUsize::new(0);
    let receiver = Receiver::responding(move |_| match count.fetch_add(1, Ordering::SeqCst) % 17 {
        16 => Reply::status(500),
        _ => Reply::status(200),
    })
    .await;
    let mut server = Server::start(BINARY).await;
    let mut client = server.tenant("acme").await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": [1, 1, 1, 1, 1, 1, 1, 1]}})).await;
    let mut accepted = HashSet::new();
    for (round, enough) in KILLED_AFTER.into_iter().enumerate() {
        let (so_far, kill) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let prefix = format!("r{round}-c{number}");
            clients.spawn(post_until_gone(
                client.clone(),
                prefix,
                Arc::clone(&so_far),
                enough,
                Arc::clone(&kill),
            ));
        }
        kill.notified().await;
        server.kill().await;
        for mine in clients.join_all().await {
            accepted.extend(mine);
        }
        server = server.restart().await;
        client = client.at(server.base());
    }

    let mut missing = accepted.clone();
    while !missing.is_empty() {
        let arrival = receiver.next().await;
        missing.remove(arrival.json()["id"].as_str().unwrap());
    }
    let posted: usize = KILLED_AFTER.iter().sum();
    assert!(accepted.len() >= posted, "{} of {posted}", accepted.len());
    for id in &accepted {
        let deliveries = client.finished(id).await;
        assert_eq!((deliveries.len(), &deliveries[0]["state"]), (1, &json!("succeeded")), "{id}");
    }
}

#[tokio::test]
async fn an_event_without_a_response_can_be_posted_again() {
    let receiver = Receiver::start().await;
    let mut server = Server::start(BINARY).await;
    let mut client = server.tenant("acme").await;
    hook(&client, &receiver, json!({})).await;
    let body = json!({"id": "once", "type": "t", "data": 1}).to_string();
    // The response may or may not arrive before the process is killed.
    let (_, ()) = tokio::join!(client.try_send("POST", "/api/v3/events", body.clone(), &[]), server.kill());
    let server = server.restart().await;
    client = client.at(server.base());
    let again = client.send("POST", "/api/v3/events", body, &[]).await;
    assert!(matches!(again.status, 200 | 202), "{again:?}");
    assert_eq!(client.finished("once").await[0]["state"], "succeeded");
    receiver.next().await;
}
