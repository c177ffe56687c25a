//! Where requests must not go.

use hookwright_tests::{Receiver, Server};
use serde_json::json;

use crate::{BINARY, hook};

#[tokio::test]
async fn without_the_operators_leave_nothing_goes_to_loopback() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_EGRESS_ALLOW", "")]).await;
    let client = server.tenant("acme").await;
    let receiver = Receiver::start().await;
    let port = receiver.url("/").rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
    ] {
        let body = json!({"url": format!("http://{host}:{port}/"), "types": [format!("to.{}", host.len())], "retry": {"schedule_s": []}});
        let id = client.post("/hooks", body).await.expect(201)["id"].as_str().unwrap().to_owned();
        let event = client.publish(&format!("to.{}", host.len()), json!({})).await;
        let delivery = client.settled(&event).await.remove(0);
        let attempt = &delivery["attempts"][0];
        assert_eq!(attempt["error"]["kind"], "egress-refused", "{host}: {delivery}");
        client.send("DELETE", &format!("/api/v3/hooks/{id}"), "", &[]).await;
    }
    assert_eq!(receiver.so_far().len(), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    let elsewhere = Receiver::start().await;
    let location = elsewhere.url("/secret");
    let receiver = Receiver::answering(move |_| {
        hookwright_tests::Reply::Status(307, vec![("location", location.clone())], vec![])
    })
    .await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": []}})).await;
    let event = client.publish("t", json!({})).await;
    assert_eq!(client.settled(&event).await[0]["state"], "exhausted");
    assert_eq!(elsewhere.so_far().len(), 0);
}
