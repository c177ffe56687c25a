//! The connection to the engine breaks, and the engine is restarted.

use std::sync::{Arc, Mutex};

use hookwright_tests::{Arrival, Receiver, Reply, Server};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Listener;
use crate::{engine, hook};

/// An address that leads to the engine, wherever it listens after a restart.
struct Relay {
    address: String,
    target: Arc<Mutex<String>>,
    cuts: watch::Sender<()>,
}

impl Relay {
    async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let target = Arc::new(Mutex::new(server.base().to_owned()));
        let current = Arc::clone(&target);
        let cuts = watch::Sender::new(());
        let cut = cuts.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = current.lock().unwrap().trim_start_matches("http://").to_owned();
                let mut cut = cut.subscribe();
                tokio::spawn(async move {
                    if let Ok(mut engine) = TcpStream::connect(target).await {
                        tokio::select! {
                            _ = copy_bidirectional(&mut client, &mut engine) => {}
                            _ = cut.changed() => {}
                        }
                    }
                });
            }
        });
        Self { address, target, cuts }
    }

    /// Breaks every connection; new ones lead to nothing.
    fn breaks(&self) {
        "127.0.0.1:1".clone_into(&mut self.target.lock().unwrap());
        self.cuts.send_replace(());
    }

    fn leads_to(&self, server: &Server) {
        server.base().clone_into(&mut self.target.lock().unwrap());
    }
}

#[tokio::test]
async fn a_restart_of_the_engine_hides_no_delivery_and_repeats_none() {
    let (mut server, client) = engine().await;
    let relay = Relay::to(&server).await;
    let (remote, local) = (Receiver::start().await, Receiver::start().await);
    hook(&client, &remote, json!({})).await;
    let key = client.post("/keys", json!({"name": "k"})).await.expect(201)["key"].clone();
    let target = local.url("/");
    let mut listener =
        Listener::start(&relay.address, key.as_str().unwrap(), &["--json", "--forward", &target]).await;
    let mut events = vec![client.publish("order.paid", json!({"n": 0})).await];
    listener.object("forwarded").await;
    for _ in 0..2 {
        assert_eq!(server.terminate().await, Some(0));
        let end = listener.object("disconnected").await;
        assert_eq!(end["reason"], "the engine shuts down");
        server = server.restart().await;
        let client = client.clone().at(server.base());
        // The listener does not reach the engine yet.
        for n in 1..=3 {
            events.push(client.publish("order.paid", json!({"n": n})).await);
        }
        relay.leads_to(&server);
        let (mut created, mut forwarded) = (Vec::new(), 0);
        while created.len() < 3 || forwarded < 3 {
            let told: Value = serde_json::from_str(&listener.line().await.unwrap()).unwrap();
            match told["kind"].as_str().unwrap() {
                "delivery" if told["change"] == "created" => {
                    created.push(told["delivery"]["event_id"].as_str().unwrap().to_owned());
                }
                "forwarded" => {
                    assert_eq!(told["outcome"], "response", "{told}");
                    forwarded += 1;
                }
                _ => {}
            }
        }
        assert_eq!(created, events[events.len() - 3..], "in their order");
    }
    let last = client.at(server.base()).publish("order.paid", json!({"n": 9})).await;
    assert_eq!(listener.object("forwarded").await["event_id"], last);
    events.push(last);
    let mut arrived: Vec<_> =
        local.so_far().iter().map(|arrival| arrival.header("webhook-id").to_owned()).collect();
    arrived.sort();
    events.sort();
    assert_eq!(arrived, events, "each arrived once");
}

#[tokio::test]
async fn an_abrupt_break_hides_no_delivery_and_repeats_none() {
    let (server, client) = engine().await;
    let relay = Relay::to(&server).await;
    let (remote, local) = (Receiver::start().await, Receiver::start().await);
    hook(&client, &remote, json!({})).await;
    let key = client.post("/keys", json!({"name": "k"})).await.expect(201)["key"].clone();
    let target = local.url("/");
    let mut listener =
        Listener::start(&relay.address, key.as_str().unwrap(), &["--json", "--forward", &target]).await;
    let mut events = vec![client.publish("order.paid", json!({})).await];
    listener.object("forwarded").await;
    relay.breaks();
    listener.object("disconnected").await;
    events.push(client.publish("order.paid", json!({})).await);
    relay.leads_to(&server);
    assert_eq!(listener.object("forwarded").await["event_id"], events[1]);
    events.push(client.publish("order.paid", json!({})).await);
    assert_eq!(listener.object("forwarded").await["event_id"], events[2]);
    let arrived: Vec<_> =
        local.so_far().iter().map(|arrival| arrival.header("webhook-id").to_owned()).collect();
    assert_eq!(arrived, events, "each arrived once");
}

/// What an engine answers to a stream that tells nothing, and then ends.
fn stream(events: &str) -> Reply {
    let headers = vec![("content-type", "text/event-stream".to_owned())];
    Reply::Status(200, headers, events.as_bytes().to_vec())
}

/// An engine whose streams are these, and that has a delivery after so many lists. It begins with two.
async fn scripted(lists: usize, streams: Vec<Reply>) -> Receiver {
    let (listed, opened) = (Mutex::new(0), Mutex::new(streams.into_iter()));
    let delivery = json!({
        "id": "dlv_01m8rz4g3k2v7", "hook": "hook_1", "event": "evt_1", "event_id": "order-1", "type": "order.paid",
        "trigger": "event", "state": "pending", "attempt_count": 0, "next_attempt_at": null,
        "created_at": "2026-06-01T09:30:00.000Z",
    });
    Receiver::responding(move |arrival: &Arrival| {
        if arrival.path.starts_with("/api/v3/stream") {
            return opened.lock().unwrap().next().expect("no other stream is opened");
        }
        let mut listed = listed.lock().unwrap();
        *listed += 1;
        let deliveries = if *listed > lists { vec![&delivery] } else { Vec::new() };
        let page = json!({"data": deliveries, "next": null});
        Reply::Status(200, Vec::new(), page.to_string().into_bytes())
    })
    .await
}

#[tokio::test]
async fn what_a_slow_stream_leaves_out_is_listed() {
    const LAGGED: &str = "event: hello\ndata: {}\n\nevent: lagged\ndata: {\"missed\":1}\n\n\
                          event: end\ndata: {\"reason\":\"lifetime\"}\n\n";
    let end = Reply::Status(401, problem(), b"{\"detail\":\"no\"}".to_vec());
    let engine = scripted(3, vec![stream(LAGGED), end]).await;
    let mut listener = Listener::spawn(&engine.url(""), "k", &["--json"]);
    for kind in ["listening", "connected", "delivery", "disconnected"] {
        let told: Value = serde_json::from_str(&listener.line().await.unwrap()).unwrap();
        assert_eq!(told["kind"], kind, "{told}");
    }
}

fn problem() -> Vec<(&'static str, String)> {
    vec![("content-type", "application/problem+json".to_owned())]
}

#[tokio::test]
async fn only_the_engine_itself_can_end_it_once_it_is_connected() {
    let hello = || stream("event: hello\ndata: {}\n\n");
    let streams = vec![
        hello(),
        // A load balancer, while the engine is deployed.
        Reply::status(404),
        Reply::status(302),
        hello(),
        Reply::Status(404, problem(), b"{\"detail\":\"no \\u001b[2Jsuch hook\"}".to_vec()),
    ];
    let engine = scripted(usize::MAX, streams).await;
    let mut listener = Listener::start(&engine.url(""), "k", &["--json"]).await;
    listener.object("connected").await;
    listener.object("disconnected").await;
    let (code, error) = listener.end().await;
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("404: no such hook"), "{error}");
}
