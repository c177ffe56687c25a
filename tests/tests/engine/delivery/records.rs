//! Records of attempts.

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::{BINARY, engine, hook};

#[tokio::test]
async fn secrets_are_sent_with_each_attempt_and_masked_in_its_record() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_MASKED_HEADERS", "X-Of-Operator")]).await;
    let client = server.tenant("acme").await;
    // Only with a plugin is the request stored for the retry.
    for pipeline in
        [json!([]), json!([{"plugin": "cloudevents", "settings": {"mode": "structured", "source": "/test"}}])]
    {
        let failed = std::sync::atomic::AtomicBool::new(false);
        let receiver = Receiver::responding(move |_| {
            let again = failed.swap(true, std::sync::atomic::Ordering::SeqCst);
            Reply::Status(
                if again { 200 } else { 500 },
                vec![("set-cookie", "sid=cookie-of-it".to_owned())],
                vec![],
            )
        })
        .await;
        let headers = json!({
            "x-anything": "token-of-hook", "x-named": "b", "x-of-operator": "c", "accept": "text/plain",
            "x-api-key": "d",
        });
        let members = json!({
            "url": receiver.url("/path?a=1&api_key=in-the-url"), "headers": headers, "masked_headers": ["X-Named"],
            "pipeline": pipeline, "retry": {"schedule_s": [1]},
        });
        let id = hook(&client, &receiver, members).await;
        let event = client.publish("t", json!({"n": 1})).await;
        let delivery = client.finished(&event).await.remove(0);
        assert_eq!(delivery["attempts"].as_array().unwrap().len(), 2, "{delivery}");
        for (attempt, arrival) in delivery["attempts"].as_array().unwrap().iter().zip(receiver.so_far()) {
            for (name, value) in headers.as_object().unwrap() {
                assert_eq!(arrival.header(name), value.as_str().unwrap(), "{name}");
            }
            assert_eq!(arrival.path, "/path?a=1&api_key=in-the-url");
            let shown = &attempt["request"];
            for name in ["x-anything", "x-named", "x-of-operator", "x-api-key"] {
                assert_eq!(shown["headers"][name], "•••", "{name}: {shown}");
            }
            assert_eq!(shown["headers"]["accept"], "text/plain");
            assert_eq!(shown["headers"]["webhook-id"], event.as_str());
            assert_eq!(shown["url"], receiver.url("/path?a=1&api_key=•••"));
            assert_eq!(attempt["response"]["headers"]["set-cookie"], "•••");
        }
        client.send("DELETE", &format!("/api/v3/hooks/{id}"), "", &[]).await.expect(204);
    }
}

#[tokio::test]
async fn headers_that_a_hook_names_are_masked() {
    let (_server, client) = engine().await;
    let members = json!({"url": "https://a.example", "types": ["t"], "masked_headers": ["X-One", "x-two"]});
    let made = client.post("/hooks", members).await.expect(201);
    assert_eq!(made["masked_headers"], json!(["x-one", "x-two"]));
    let path = format!("/api/v3/hooks/{}", made["id"].as_str().unwrap());
    let merge = [("content-type", "application/merge-patch+json")];
    let patched =
        client.send("PATCH", &path, json!({"description": "d"}).to_string(), &merge).await.expect(200);
    assert_eq!(patched["masked_headers"], json!(["x-one", "x-two"]));
    let patched =
        client.send("PATCH", &path, json!({"masked_headers": null}).to_string(), &merge).await.expect(200);
    assert_eq!(patched["masked_headers"], json!([]));
    let refused = json!({"url": "https://a.example", "types": ["t"], "masked_headers": ["a", "b c"]});
    let problem = client.post("/hooks", refused).await.expect(400);
    assert_eq!(problem["pointer"], "/masked_headers/1", "{problem}");
}

/// Returns state and attempt of an event for a receiver that sends this text and keeps the connection open.
async fn attempt_of(what: &'static [u8]) -> (Value, Value) {
    let (_server, client) = engine().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let members = json!({"url": url, "types": ["t"], "retry": {"schedule_s": []}, "timeout_ms": 500});
    client.post("/hooks", members).await.expect(201);
    let playing = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(what).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let event = client.publish("t", json!({})).await;
    let delivery = client.finished(&event).await.remove(0);
    playing.abort();
    (delivery["state"].clone(), delivery["attempts"][0].clone())
}

#[tokio::test]
async fn a_response_whose_body_never_ends_counts_with_its_status() {
    for (response, state, status) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok"[..], "succeeded", 200),
        (b"HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\nok", "exhausted", 500),
    ] {
        let (found, attempt) = attempt_of(response).await;
        assert_eq!(found, state, "{attempt}");
        assert_eq!(
            (&attempt["outcome"], &attempt["response"]["status"]),
            (&json!("response"), &json!(status))
        );
        assert_eq!(
            (&attempt["response"]["body"], &attempt["response"]["body_truncated"]),
            (&json!("ok"), &json!(true))
        );
        let message = "the response body did not end within 500 ms";
        assert_eq!(attempt["error"], json!({"kind": "timeout", "message": message}));
    }
}

#[tokio::test]
async fn endless_interim_responses_are_a_protocol_failure() {
    let endless = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000);
    let (state, attempt) = attempt_of(endless.leak().as_bytes()).await;
    assert_eq!(state, "exhausted");
    let message = "the receiver sent over 8 interim responses (1xx) before its response";
    assert_eq!(attempt["error"], json!({"kind": "protocol", "message": message}));
}

#[tokio::test]
async fn the_size_of_a_record_is_limited() {
    let (server, client) = engine().await;
    let receiver = Receiver::responding(|_| {
        let headers =
            [("x-quotes", "\"".repeat(12_000)), ("x-more", "y".repeat(12_000)), ("x-last", "z".into())];
        Reply::Status(500, headers.to_vec(), vec![b'x'; 60_000])
    })
    .await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": []}})).await;
    let event = client.publish("t", json!(1)).await;
    let attempt = client.finished(&event).await[0]["attempts"][0].clone();
    assert_eq!(attempt["truncated"], true);
    let response = &attempt["response"];
    assert_eq!(response["body"].as_str().unwrap().len(), 16 * 1024);
    assert_eq!(response["body_truncated"], true);
    let quotes = response["headers"]["x-quotes"].as_str().unwrap();
    assert!(quotes.len() < 9_000 && quotes.ends_with("\"…"), "{}", quotes.len());
    assert_eq!(response["headers"]["x-last"], Value::Null);
    assert_eq!(server.stored_with(b"x-last").await, [""; 0]);
}

#[tokio::test]
async fn attempts_are_paged() {
    let (_server, client) = engine().await;
    let receiver = Receiver::responding(|_| Reply::status(500)).await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": []}})).await;
    let event = client.publish("t", json!(1)).await;
    let mut delivery = client.finished(&event).await.remove(0);
    let path = format!("/deliveries/{}", delivery["id"].as_str().unwrap());
    for attempts in 2..=23 {
        client.post(&format!("{path}/retry"), json!({})).await.expect(202);
        let is_done = |it: &Value| it["attempt_count"] == attempts && it["state"] == "exhausted";
        delivery = client.deliveries_when(&event, is_done).await.remove(0);
    }
    let numbers = |attempts: &Value| -> Vec<u64> {
        attempts.as_array().unwrap().iter().map(|attempt| attempt["number"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&delivery["attempts"]), (4..=23).collect::<Vec<_>>());
    let next = delivery["attempts_next"].as_str().unwrap();
    let older = client.get(&format!("{path}/attempts?cursor={next}")).await.expect(200);
    assert_eq!((numbers(&older["data"]), &older["next"]), (vec![3, 2, 1], &Value::Null));
    let mut shown = Vec::new();
    let mut page = client.get(&format!("{path}/attempts?limit=10")).await.expect(200);
    loop {
        shown.extend(numbers(&page["data"]));
        let Some(next) = page["next"].as_str() else { break };
        page = client.get(&format!("{path}/attempts?limit=10&cursor={next}")).await.expect(200);
    }
    assert_eq!(shown, (1..=23).rev().collect::<Vec<_>>());
    client.get(&format!("{path}/attempts?limit=101")).await.expect(400);
    client.get("/deliveries/dlv_01m8rz4g3k2v7/attempts").await.expect(404);
}

/// The requests of a tenant may use 32 MB of memory. Other deliveries wait without using up an attempt.
#[tokio::test]
async fn large_requests_wait_for_memory() {
    const EVENTS: usize = 60;
    let (_server, client) = engine().await;
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let held = std::sync::Arc::clone(&gate);
    let receiver = Receiver::responding(move |_| Reply::Held(std::sync::Arc::clone(&held))).await;
    hook(&client, &receiver, json!({"timeout_ms": 60_000})).await;
    let data = json!("x".repeat(900_000));
    let mut events = Vec::new();
    for _ in 0..EVENTS {
        events.push(client.publish("t", data.clone()).await);
    }
    let count = async |state: &str| {
        let page = client.get(&format!("/deliveries?state={state}&limit=100")).await.expect(200);
        page["data"].as_array().unwrap().len()
    };
    while count("pending").await == 0 {
        tokio::task::yield_now().await;
    }
    assert!(receiver.so_far().len() < 40);
    while count("succeeded").await < EVENTS {
        gate.notify_waiters();
        tokio::task::yield_now().await;
    }
    for event in events {
        let delivery = client.finished(&event).await.remove(0);
        assert_eq!(delivery["attempt_count"], 1, "{delivery}");
    }
}

#[tokio::test]
async fn a_hook_can_have_the_bodies_that_were_sent_kept() {
    let (server, client) = engine().await;
    let receiver = Receiver::responding(|_| Reply::status(500)).await;
    let scopes = json!(["deliveries:read"]);
    let key = client.post("/keys", json!({"name": "support", "scopes": scopes})).await.expect(201);
    let without_events = Client::new(server.base(), key["key"].as_str().unwrap());
    // The second is stored for the retry, the first is written again, and the last is not text.
    for (plugin, settings) in [
        (None, json!({})),
        (Some("body-template"), json!({"template": "n is ${data.n}"})),
        (Some("javascript"), json!({"script": "return { body: new Uint8Array([0, 255]) };"})),
    ] {
        let pipeline: Vec<Value> =
            plugin.iter().map(|plugin| json!({"plugin": plugin, "settings": settings})).collect();
        let members = json!({"pipeline": pipeline, "retry": {"schedule_s": [1]}, "retain_bodies_s": 3600});
        let id = hook(&client, &receiver, members).await;
        assert_eq!(client.get(&format!("/hooks/{id}")).await.expect(200)["retain_bodies_s"], 3600);
        let seen = receiver.so_far().len();
        let event = client.publish("t", json!({"n": 1, "long": "ä".repeat(40_000)})).await;
        let delivery = client.finished(&event).await.remove(0);
        let attempts = delivery["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 2);
        for (attempt, arrival) in attempts.iter().zip(&receiver.so_far()[seen..]) {
            let path = format!(
                "/deliveries/{}/attempts/{}/body",
                delivery["id"].as_str().unwrap(),
                attempt["id"].as_str().unwrap()
            );
            let shown = client.get(&path).await.expect(200);
            let (body, is_cut) = (&arrival.body, arrival.body.len() > 65_536);
            match std::str::from_utf8(body) {
                Ok(text) => assert_eq!(shown["body"], text[..text.floor_char_boundary(65_536)]),
                Err(_) => assert_eq!(shown["body_base64"], "AP8="),
            }
            assert_eq!(shown["body_truncated"], is_cut);
            assert!(attempt["request"]["body_kept_until"].is_string(), "{attempt}");
            without_events.get(&path).await.expect(403);
        }
        client.send("DELETE", &format!("/api/v3/hooks/{id}"), "", &[]).await.expect(204);
    }
    hook(&client, &receiver, json!({"retry": {"schedule_s": []}})).await;
    let event = client.publish("t", json!({})).await;
    let delivery = client.finished(&event).await.remove(0);
    let (id, attempt) = (delivery["id"].as_str().unwrap(), &delivery["attempts"][0]);
    assert_eq!(attempt["request"].get("body_kept_until"), None);
    let attempt = attempt["id"].as_str().unwrap();
    for (attempt, says) in
        [(attempt, "retain_bodies_s"), ("atp_0000000000000", "no attempt"), ("x", "no attempt")]
    {
        let missing = client.get(&format!("/deliveries/{id}/attempts/{attempt}/body")).await.expect(404);
        assert!(missing["detail"].as_str().unwrap().contains(says), "{missing}");
    }
}
