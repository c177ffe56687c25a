//! What holds over all nodes together: limits of hooks, and that nothing is sent twice by a node that was stopped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::json;
use tokio::process::Command;
use tokio::sync::Notify;

use crate::{BINARY, hook};

/// A receiver that takes a while for each request, and how many it had at once, at most.
async fn counting() -> (Receiver, Arc<AtomicUsize>) {
    let (in_flight, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&most);
    let receiver = Receiver::responding(move |_| {
        counted.fetch_max(in_flight.fetch_add(1, SeqCst) + 1, SeqCst);
        let gate = Arc::new(Notify::new());
        let (opens, in_flight) = (Arc::clone(&gate), Arc::clone(&in_flight));
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            in_flight.fetch_sub(1, SeqCst);
            opens.notify_one();
        });
        Reply::Held(gate)
    });
    (receiver.await, most)
}

/// Publishes as long as the node is fenced or has not joined.
async fn publish(client: &Client, number: usize) -> String {
    let event = json!({"type": "a.b", "data": {"number": number}});
    loop {
        let response = client.post("/events", event.clone()).await;
        if response.status != 503 {
            return response.expect(202)["id"].as_str().unwrap().to_owned();
        }
        assert!(response.headers.contains_key("retry-after"));
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hooks_limit_holds_over_all_nodes_also_while_they_join_and_leave() {
    for limit in [1, 4] {
        let settings = [("HOOKWRIGHT_MAX_IN_FLIGHT_PER_HOOK", limit.to_string())];
        let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
        let mut first = Server::start_with(BINARY, &settings).await;
        let client = first.tenant("acme").await;
        let (receiver, most) = counting().await;
        hook(&client, &receiver, json!({})).await;
        let second = first.another_node().await;
        let clients = [client.clone(), client.clone().at(second.base())];
        let mut ids = Vec::new();
        for number in 0..60 {
            ids.push(publish(&clients[number % 2], number).await);
        }
        let third = first.another_node().await;
        let clients = [&second, &third].map(|node| client.clone().at(node.base()));
        for number in 60..120 {
            ids.push(publish(&clients[number % 2], number).await);
        }
        assert_eq!(first.terminate().await, Some(0));
        for number in 120..150 {
            ids.push(publish(&clients[number % 2], number).await);
        }
        let mut arrivals: HashMap<String, usize> = HashMap::new();
        while arrivals.len() < ids.len() {
            *arrivals.entry(receiver.next().await.header("webhook-id").to_owned()).or_default() += 1;
        }
        assert!(ids.iter().all(|id| arrivals.get(id) == Some(&1)), "{arrivals:?}");
        let most = most.load(SeqCst);
        assert!((1..=limit).contains(&most), "{most} requests at once, of {limit}");
    }
}

async fn signal(server: &Server, signal: &str) {
    let id = server.process_id().unwrap().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
}

/// It takes more than ten seconds, because only then a node counts as dead.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_stopped_sends_nothing_that_was_taken_over_and_joins_again() {
    const EVENTS: usize = 20;
    let settings = [("HOOKWRIGHT_MAX_IN_FLIGHT_PER_HOOK", "2")];
    let stopped = Server::start_with(BINARY, &settings).await;
    let client = stopped.tenant("acme").await;
    let (gate, is_open) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (held, opened) = (Arc::clone(&gate), Arc::clone(&is_open));
    let receiver = Receiver::responding(move |_| match opened.load(SeqCst) {
        0 => Reply::Held(Arc::clone(&held)),
        _ => Reply::status(200),
    });
    let receiver = receiver.await;
    hook(&client, &receiver, json!({})).await;
    let other = stopped.another_node().await;
    let mut arrivals: HashMap<String, usize> = HashMap::new();
    let mut ids = Vec::new();
    for number in 0..EVENTS {
        ids.push(publish(&client, number).await);
    }
    *arrivals.entry(receiver.next().await.header("webhook-id").to_owned()).or_default() += 1;
    signal(&stopped, "-STOP").await;
    is_open.store(1, SeqCst);
    gate.notify_waiters();
    while arrivals.len() < EVENTS || arrivals.values().sum::<usize>() == EVENTS {
        *arrivals.entry(receiver.next().await.header("webhook-id").to_owned()).or_default() += 1;
    }
    signal(&stopped, "-CONT").await;
    for number in 0..5 {
        ids.push(publish(&client, EVENTS + number).await);
    }
    for id in &ids {
        client.clone().at(other.base()).finished(id).await;
    }
    for arrival in receiver.so_far() {
        *arrivals.entry(arrival.header("webhook-id").to_owned()).or_default() += 1;
    }
    assert!(ids.iter().all(|id| arrivals.contains_key(id)));
    let repeated: usize = arrivals.values().map(|count| count - 1).sum();
    assert!((1..=2).contains(&repeated), "only what was in flight comes twice: {arrivals:?}");
}

/// The times of requests, with their events.
type Arrivals = Arc<Mutex<Vec<(Instant, String)>>>;

async fn timing() -> (Receiver, Arrivals) {
    let arrivals = Arrivals::default();
    let kept = Arc::clone(&arrivals);
    let receiver = Receiver::responding(move |arrival| {
        kept.lock().unwrap().push((Instant::now(), arrival.header("webhook-id").to_owned()));
        Reply::status(200)
    });
    (receiver.await, arrivals)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hooks_and_a_tenants_rate_hold_over_all_nodes_together() {
    const RATE: f64 = 50.0;
    let first = Server::start(BINARY).await;
    let client = first.tenant("acme").await;
    let (second, third) = (first.another_node().await, first.another_node().await);
    let nodes = [&first, &second, &third].map(|node| client.clone().at(node.base()));
    for of_tenant in [false, true] {
        let (receiver, arrivals) = timing().await;
        let hooks = match of_tenant {
            false => vec![hook(&client, &receiver, json!({"max_per_second": RATE})).await],
            true => {
                let headers = [("content-type", "application/merge-patch+json")];
                let patch = json!({"max_per_second": RATE}).to_string();
                first.operator().send("PATCH", "/api/v3/tenants/acme", patch, &headers).await.expect(200);
                vec![hook(&client, &receiver, json!({})).await, hook(&client, &receiver, json!({})).await]
            }
        };
        // All nodes know the hooks and their limits.
        for node in &nodes {
            for hook in &hooks {
                while node.get(&format!("/hooks/{hook}")).await.status != 200 {
                    tokio::task::yield_now().await;
                }
            }
        }
        let (begin, mut ids) = (Instant::now(), Vec::new());
        for number in 0..240 {
            ids.push(publish(&nodes[number % 3], number).await);
        }
        for _ in 0..ids.len() * hooks.len() {
            receiver.next().await;
        }
        let arrivals = std::mem::take(&mut *arrivals.lock().unwrap());
        for (index, (time, _)) in arrivals.iter().enumerate() {
            let elapsed = *time - begin;
            let most = RATE * (elapsed.as_secs_f64() + 0.021) + RATE / 10.0;
            assert!((index + 1) as f64 <= most, "{} within {elapsed:?}", index + 1);
        }
        let mut counts: HashMap<String, usize> = HashMap::new();
        arrivals.into_iter().for_each(|(_, id)| *counts.entry(id).or_default() += 1);
        assert!(ids.iter().all(|id| counts.get(id) == Some(&hooks.len())), "each arrives once: {counts:?}");
        for hook in &hooks {
            client.send("DELETE", &format!("/api/v3/hooks/{hook}"), "", &[]).await.expect(204);
        }
    }
}
