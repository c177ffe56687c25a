//! `/readyz` and `/health`: whether an engine should get requests.

use std::time::{Duration, Instant};

use hookwright_tests::{Client, Server, TIMEOUT, server::ADMIN_KEY};
use serde_json::json;

use crate::BINARY;

const DELAY: &str = "HOOKWRIGHT_SHUTDOWN_DELAY_MS";

fn probes(server: &Server) -> [(Client, &'static str); 2] {
    let admin = Client::new(server.admin().unwrap(), ADMIN_KEY).without_key();
    [(admin, "/readyz"), (server.operator().without_key(), "/health")]
}

#[tokio::test]
async fn an_engine_that_was_told_to_stop_is_not_ready_and_serves_until_the_delay_is_over() {
    let mut server = Server::start_with(BINARY, &[(DELAY, "600000")]).await;
    let client = server.tenant("acme").await;
    let probes = probes(&server);
    let ready = probes[0].0.send("GET", probes[0].1, "", &[]).await;
    assert_eq!((ready.status, &*ready.bytes), (200, b"ok\n".as_slice()));
    server.signal("-TERM").await;
    for (probe, path) in &probes {
        let began = Instant::now();
        let refused = loop {
            let response = probe.send("GET", path, "", &[]).await;
            if response.status != 200 {
                break response;
            }
            assert!(began.elapsed() < TIMEOUT, "{path} still says that it is ready");
        };
        assert_eq!(refused.expect(503)["detail"], "the engine is shutting down", "{path}");
    }
    // What load balancers still send is accepted.
    client.publish("t", json!(1)).await;
    probes[0].0.send("GET", "/livez", "", &[]).await.expect(200);
    // The second signal.
    assert_eq!(server.terminate().await, Some(130));
}

#[tokio::test]
async fn a_shutdown_begins_after_the_delay() {
    let mut server = Server::start_with(BINARY, &[(DELAY, "300")]).await;
    let began = Instant::now();
    assert_eq!(server.terminate().await, Some(0));
    assert!(began.elapsed() >= Duration::from_millis(300));
}
