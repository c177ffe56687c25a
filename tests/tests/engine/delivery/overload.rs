//! Receivers that say that they are overloaded.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hookwright_tests::{Client, Receiver, Reply};
use serde_json::{Value, json};

use crate::start::patch_hook;
use crate::{engine, hook};

/// A receiver that sends these responses in order and 200 after them, and when each request arrived.
#[allow(clippy::disallowed_methods, reason = "tests measure how long the engine waits")]
async fn timed(replies: Vec<Reply>) -> (Receiver, Arc<Mutex<Vec<Instant>>>) {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    let receiver = Receiver::responding(move |_| {
        let mut noted = noted.lock().unwrap();
        noted.push(Instant::now());
        replies.get(noted.len() - 1).cloned().unwrap_or_else(|| Reply::status(200))
    })
    .await;
    (receiver, times)
}

#[tokio::test]
async fn retry_after_holds_for_all_deliveries_of_the_hook_but_not_for_tests_or_other_hooks() {
    let (_server, client) = engine().await;
    join_all([429, 502, 503, 504].map(|status| check_pause(&client, status))).await;
}

async fn check_pause(client: &Client, status: u16) {
    const PAUSE: Duration = Duration::from_secs(5);
    let kind = format!("status.{status}");
    let asks = Reply::Status(status, vec![("retry-after", PAUSE.as_secs().to_string())], Vec::new());
    let (receiver, times) = timed(vec![asks]).await;
    let other = Receiver::start().await;
    let members = json!({"types": [kind], "retry": {"schedule_s": [60]}});
    let id = hook(client, &receiver, members.clone()).await;
    hook(client, &other, members).await;
    let first = client.publish(&kind, json!(1)).await;
    let is_attempted = |delivery: &Value| delivery["attempts"] != json!([]);
    client.deliveries_when(&first, is_attempted).await;
    other.next().await;
    receiver.next().await;

    client.publish(&kind, json!(2)).await;
    other.next().await;
    client.post(&format!("/hooks/{id}/test"), json!({})).await.expect(202);
    assert_eq!(receiver.next().await.header("hookwright-event-type"), "hookwright.test", "{status}");
    assert_eq!(receiver.next().await.json(), 2, "{status}");
    let times = times.lock().unwrap().clone();
    assert!(times[2] - times[0] >= PAUSE, "{status}: {:?}", times[2] - times[0]);
}

#[tokio::test]
async fn a_receiver_that_goes_on_being_overloaded_gets_a_pause_without_asking() {
    let (_server, client) = engine().await;
    let (receiver, times) = timed(vec![Reply::status(503); 3]).await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": []}})).await;
    for number in 1..=4 {
        let event = client.publish("t", json!(number)).await;
        client.finished(&event).await;
    }
    let times = times.lock().unwrap().clone();
    assert!(times[3] - times[2] >= Duration::from_secs(1), "{:?}", times[3] - times[2]);
}

#[tokio::test]
async fn a_hook_with_another_url_does_not_wait_for_the_receiver_that_it_had() {
    let (_server, client) = engine().await;
    let asks = Reply::Status(429, vec![("retry-after", "3600".to_owned())], Vec::new());
    let (receiver, _) = timed(vec![asks]).await;
    let id = hook(&client, &receiver, json!({"retry": {"schedule_s": [60]}})).await;
    let first = client.publish("t", json!(1)).await;
    client.deliveries_when(&first, |delivery| delivery["attempts"] != json!([])).await;
    client.publish("t", json!(2)).await;
    let other = Receiver::start().await;
    patch_hook(&client, &id, json!({"url": other.url("/")})).await;
    assert_eq!(other.next().await.json(), 2);
}
