//! The connection to the engine breaks, and the engine is restarted.

use std::sync::{Arc, Mutex};

use hookwright_tests::{Receiver, Server};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::Listener;
use crate::{engine, hook};

/// An address that leads to the engine, wherever it listens after a restart.
struct Relay {
    address: String,
    target: Arc<Mutex<String>>,
}

impl Relay {
    async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let target = Arc::new(Mutex::new(server.base().to_owned()));
        let current = Arc::clone(&target);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = current.lock().unwrap().trim_start_matches("http://").to_owned();
                tokio::spawn(async move {
                    if let Ok(mut engine) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut client, &mut engine).await;
                    }
                });
            }
        });
        Self { address, target }
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
