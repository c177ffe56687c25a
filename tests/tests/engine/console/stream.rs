//! Streams of what happens to deliveries, and counts of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use hookwright_tests::{Arrival, Client, Receiver, Reply, Server, TIMEOUT};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::{BINARY, engine, hook};

/// An open stream.
struct Stream {
    body: Incoming,
    text: String,
}

impl Stream {
    async fn open(server: &Server, key: &str, query: &str) -> Self {
        let began = std::time::Instant::now();
        let mut response = Self::request(server, key, query).await;
        // A node that was held up refuses streams until it has reached its database again.
        while response.status() == 503 && began.elapsed() < TIMEOUT {
            response = Self::request(server, key, query).await;
        }
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self { body: response.into_body(), text: String::new() };
        assert_eq!(stream.next().await.0, "hello");
        stream
    }

    async fn request(server: &Server, key: &str, query: &str) -> http::Response<Incoming> {
        let http = HttpClient::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let request = http::Request::get(format!("{}/api/v3/stream{query}", server.base()));
        let request = request.header("authorization", format!("Bearer {key}")).body(Empty::new()).unwrap();
        http.request(request).await.unwrap()
    }

    /// The next event: its name and data.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned())
                };
                let event = field("event:").zip(field("data:"));
                self.text = rest.to_owned();
                if let Some((name, data)) = event {
                    return (name, serde_json::from_str(&data).unwrap());
                }
                continue;
            }
            let frame = tokio::time::timeout(TIMEOUT, self.body.frame()).await.expect("the stream goes on");
            let frame = frame.expect("the stream has not ended").unwrap();
            self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    async fn change(&mut self) -> Value {
        let (name, data) = self.next().await;
        assert_eq!(name, "delivery", "{data}");
        data
    }
}

#[tokio::test]
async fn a_stream_shows_each_delivery_and_attempt_as_they_happen() {
    let (server, client) = engine().await;
    let key = client.post("/keys", json!({"name": "cli", "scopes": ["deliveries:read"]})).await.expect(201);
    let is_up = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_up);
    let rule = move |_: &Arrival| Reply::status(if asked.load(Relaxed) { 200 } else { 500 });
    let receiver = Receiver::responding(rule).await;
    let hook = hook(&client, &receiver, json!({"retry": {"schedule_s": [600]}})).await;
    let mut stream = Stream::open(&server, key["key"].as_str().unwrap(), "").await;
    let event =
        client.post("/events", json!({"type": "order.paid", "id": "order-1", "data": 1})).await.expect(202);
    let created = stream.change().await;
    assert_eq!((&created["change"], &created["delivery"]["hook"]), (&json!("created"), &json!(hook)));
    assert_eq!((&created["delivery"]["event_id"], &created["attempt"]), (&event["id"], &Value::Null));
    assert_eq!(created["delivery"]["type"], "order.paid");
    let attempted = stream.change().await;
    let (delivery, attempt) = (&attempted["delivery"], &attempted["attempt"]);
    assert_eq!((&attempted["change"], &delivery["id"]), (&json!("attempted"), &created["delivery"]["id"]));
    assert_eq!((&delivery["state"], &delivery["attempt_count"]), (&json!("waiting"), &json!(1)));
    assert_eq!((&attempt["outcome"], &attempt["status"]), (&json!("response"), &json!(500)));
    // It is on disk when it is told.
    let path = format!("/deliveries/{}", delivery["id"].as_str().unwrap());
    let stored = client.get(&path).await.expect(200);
    assert_eq!(
        (&stored["attempts"][0]["id"], &stored["next_attempt_at"]),
        (&attempt["id"], &delivery["next_attempt_at"])
    );
    let cancelled = client.post(&format!("{path}/cancel"), json!({})).await.expect(202);
    assert_eq!(cancelled["state"], "cancelled");
    let change = stream.change().await;
    assert_eq!((&change["change"], &change["delivery"]["state"]), (&json!("cancelled"), &json!("cancelled")));
    is_up.store(true, Relaxed);
    client.post(&format!("{path}/retry"), json!({})).await.expect(202);
    assert_eq!(stream.change().await["change"], "retried");
    let last = stream.change().await;
    assert_eq!((&last["delivery"]["state"], &last["attempt"]["number"]), (&json!("succeeded"), &json!(2)));
}

#[tokio::test]
async fn a_stream_shows_only_its_own_tenant_and_what_its_filters_select() {
    let (server, client) = engine().await;
    let key = client.post("/keys", json!({"name": "cli"})).await.expect(201)["key"].clone();
    let key = key.as_str().unwrap();
    let other = server.tenant("other").await;
    let receiver = Receiver::start().await;
    let (first, second) =
        (hook(&client, &receiver, json!({})).await, hook(&client, &receiver, json!({})).await);
    hook(&other, &receiver, json!({})).await;
    let mut all = Stream::open(&server, key, "").await;
    let mut of_first = Stream::open(&server, key, &format!("?hook={first}")).await;
    let mut of_type = Stream::open(&server, key, "?type=order.*").await;
    let foreign = other.publish("order.paid", json!({})).await;
    other.finished(&foreign).await;
    for event_type in ["user.created", "order.paid"] {
        let event = client.publish(event_type, json!({})).await;
        client.finished(&event).await;
    }
    let hooks = [json!(first), json!(second)];
    for _ in 0..8 {
        assert!(hooks.contains(&all.change().await["delivery"]["hook"]));
    }
    for _ in 0..4 {
        assert_eq!(of_first.change().await["delivery"]["hook"], hooks[0]);
        assert_eq!(of_type.change().await["delivery"]["type"], "order.paid");
    }
    let hidden = client.post("/keys", json!({"name": "hooks", "scopes": ["hooks:read"]})).await.expect(201);
    let refused = Stream::request(&server, hidden["key"].as_str().unwrap(), "").await;
    assert_eq!(refused.status(), 403);
    for query in ["?hook=1", "?state=waiting"] {
        assert_eq!(Stream::request(&server, key, query).await.status(), 400, "{query}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_key_and_at_the_shutdown() {
    let (mut server, client) = engine().await;
    let made = client.post("/keys", json!({"name": "cli"})).await.expect(201);
    let mut ended = Stream::open(&server, made["key"].as_str().unwrap(), "").await;
    let path = format!("/api/v3/keys/{}", made["id"].as_str().unwrap());
    client.send("DELETE", &path, "", &[]).await.expect(204);
    assert_eq!(ended.next().await, ("end".to_owned(), json!({"reason": "key"})));
    assert!(ended.body.frame().await.is_none());
    let other = client.post("/keys", json!({"name": "cli"})).await.expect(201);
    let mut open = Stream::open(&server, other["key"].as_str().unwrap(), "").await;
    assert_eq!(server.terminate().await, Some(0));
    assert_eq!(open.next().await, ("end".to_owned(), json!({"reason": "shutdown"})));
}

#[tokio::test]
async fn streams_of_a_tenant_are_limited() {
    let (server, client) = engine().await;
    let key = client.post("/keys", json!({"name": "cli"})).await.expect(201)["key"].clone();
    let key = key.as_str().unwrap();
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(Stream::open(&server, key, "").await);
    }
    let refused = Stream::request(&server, key, "").await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"5".parse().unwrap()));
    drop(open);
    // The engine learns of the ends when it looks next.
    let began = std::time::Instant::now();
    while Stream::request(&server, key, "").await.status() != 200 {
        assert!(began.elapsed() < TIMEOUT);
        tokio::task::yield_now().await;
    }
}

/// A client that reads nothing: what it gets fills the buffers of the connection.
#[tokio::test]
async fn a_stream_that_nobody_reads_gives_up_its_place_when_it_ends() {
    let (server, client) = engine().await;
    let key = client.post("/keys", json!({"name": "cli"})).await.expect(201)["key"].clone();
    let lazy = client.post("/keys", json!({"name": "lazy"})).await.expect(201);
    let receiver = Receiver::start().await;
    for _ in 0..10 {
        hook(&client, &receiver, json!({"paused": true})).await;
    }
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut unread =
        socket.connect(server.base().trim_start_matches("http://").parse().unwrap()).await.unwrap();
    let (host, lazy_key) = (server.base().trim_start_matches("http://"), lazy["key"].as_str().unwrap());
    let head =
        format!("GET /api/v3/stream HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {lazy_key}\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut unread, head.as_bytes()).await.unwrap();
    let key = key.as_str().unwrap();
    let mut others = Vec::new();
    // The place is taken when only 15 are left.
    let began = std::time::Instant::now();
    while others.len() < 15 || Stream::request(&server, key, "").await.status() != 429 {
        assert!(began.elapsed() < TIMEOUT);
        if others.len() < 15 {
            others.push(Stream::open(&server, key, "?type=never.*").await);
        }
    }
    let event = format!("{}\n", json!({"type": format!("a.{}", "b".repeat(250)), "data": 1}));
    let ndjson = [("content-type", "application/x-ndjson")];
    // More than the system keeps for a connection.
    for _ in 0..150 {
        client.send("POST", "/api/v3/events/batch", event.repeat(20), &ndjson).await.expect(202);
    }
    let path = format!("/api/v3/keys/{}", lazy["id"].as_str().unwrap());
    client.send("DELETE", &path, "", &[]).await.expect(204);
    let began = std::time::Instant::now();
    while Stream::request(&server, key, "").await.status() != 200 {
        // After a minute the system ends the connection.
        assert!(began.elapsed() < TIMEOUT / 2);
        tokio::task::yield_now().await;
    }
    drop(unread);
}

#[tokio::test]
async fn deliveries_are_counted_by_state() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let hook = hook(&client, &receiver, json!({"types": ["order.*"]})).await;
    let none = client.get("/deliveries/counts").await.expect(200);
    assert_eq!(
        (&none["total"], &none["at_least"], &none["counted_since"]),
        (&json!(0), &json!(false), &Value::Null)
    );
    for _ in 0..3 {
        let event = client.publish("order.paid", json!({})).await;
        client.finished(&event).await;
    }
    for query in ["", "?type=order.*", &format!("?hook={hook}")] {
        let counts = client.get(&format!("/deliveries/counts{query}")).await.expect(200);
        assert_eq!(
            (&counts["counts"]["succeeded"], &counts["counts"]["waiting"]),
            (&json!(3), &json!(0)),
            "{query}"
        );
        assert_eq!((&counts["total"], &counts["at_least"]), (&json!(3), &json!(false)), "{query}");
    }
    let none = client.get("/deliveries/counts?type=user.*").await.expect(200);
    assert_eq!(none["total"], 0);
    client.get("/deliveries/counts?state=waiting").await.expect(400);
}

/// Only with a database that several nodes share.
#[tokio::test]
async fn a_stream_shows_what_another_node_does() {
    if !BINARY.is_on_postgres() {
        return;
    }
    let (server, client) = engine().await;
    let key = client.post("/keys", json!({"name": "cli"})).await.expect(201)["key"].clone();
    let receiver = Receiver::start().await;
    let hook = hook(&client, &receiver, json!({})).await;
    let other = server.another_node().await;
    let mut stream = Stream::open(&server, key.as_str().unwrap(), "").await;
    let at_other: Client = client.clone().at(other.base());
    let began = std::time::Instant::now();
    while at_other.get(&format!("/hooks/{hook}")).await.status != 200 {
        assert!(began.elapsed() < TIMEOUT, "the other node knows key and hook");
        tokio::task::yield_now().await;
    }
    let mut seen = 0;
    while seen < 3 {
        assert!(began.elapsed() < TIMEOUT, "the stream shows what another node does");
        let event = at_other.publish("order.paid", json!({"number": seen})).await;
        let delivery = at_other.finished(&event).await[0]["id"].clone();
        let Some(changes) = until_succeeded(&mut stream).await else {
            stream = Stream::open(&server, key.as_str().unwrap(), "").await;
            continue;
        };
        for (number, change) in changes.iter().enumerate() {
            assert_eq!((&change["delivery"]["id"], &change["delivery"]["hook"]), (&delivery, &json!(hook)));
            // The stream's own node may be the one that attempts it.
            let may_be_here = match change["change"].as_str().unwrap() {
                "created" => number == 0,
                "changed" => number > 0,
                _ => true,
            };
            assert!(may_be_here, "{changes:#?}");
        }
        seen += 1;
    }
}

/// What is told until a delivery has succeeded. How much happens between two looks at other nodes differs. `None` if a node was
/// held up so long that something may have been missed.
async fn until_succeeded(stream: &mut Stream) -> Option<Vec<Value>> {
    let mut changes = Vec::new();
    loop {
        match stream.next().await {
            (name, change) if name == "delivery" => {
                let is_last = change["delivery"]["state"] == "succeeded";
                changes.push(change);
                if is_last {
                    return Some(changes);
                }
            }
            (name, _) if name == "lagged" || name == "end" => return None,
            (name, data) => panic!("{name}: {data}"),
        }
    }
}
