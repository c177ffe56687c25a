//! Connections through the operator's proxy.

use std::sync::mpsc;

use super::*;
use crate::delivery::client::{OwnFailure, Route};
use crate::domain::egress_route::EgressProxy;

fn through(proxy: &str, resolver: Arc<Resolver>) -> DeliveryClient {
    let proxy = Some(EgressProxy::parse(proxy).unwrap());
    let connector =
        Connector::resolving(loopback(), tls::client_config(None).unwrap(), Lookups::by(resolver));
    let connector = Arc::new(connector.by(Route { proxy, ..Route::default() }));
    DeliveryClient::siblings(&connector, 1, 8).remove(0)
}

async fn sent(client: &DeliveryClient, limit: Duration) -> Result<Outcome, OwnFailure> {
    let receiver = SocketAddr::from(([127, 0, 0, 1], 9));
    client.send(TENANT, named(receiver), &|| None, limit).await
}

#[tokio::test]
async fn a_proxy_that_is_not_reached_in_time_is_no_receivers_failure() {
    let (name_server, answer) = mpsc::channel::<()>();
    let answer = std::sync::Mutex::new(answer);
    let resolver = move |_: &str| {
        let _ = answer.lock().unwrap().recv();
        Ok(Vec::new())
    };
    let client = through("http://proxy.example:3128", Arc::new(resolver));
    let failure = sent(&client, Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(failure.to_string(), "the egress proxy failed: no connection within 20 ms");
    drop(name_server);
}

#[tokio::test]
async fn behind_a_proxy_that_was_reached_the_receiver_is_the_one_that_fails() {
    for (answer, limit, expected) in [
        (
            "HTTP/1.1 200 OK\r\n\r\nSSH-2.0-x\r\n",
            TEST_TIMEOUT,
            "connect: cannot connect to 127.0.0.1:9: the receiver sent data before the request",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\n\r\n",
            TEST_TIMEOUT,
            "connect: cannot connect to 127.0.0.1:9: the operator's proxy answered 502",
        ),
        ("HTTP/1.1 ", Duration::from_secs(1), "timeout"),
    ] {
        let proxy = Receiver::start().await;
        let client = through(&format!("http://{}", proxy.address()), Arc::new(|_: &str| Ok(Vec::new())));
        let (outcome, _peer) = tokio::join!(sent(&client, limit), async {
            let mut peer = proxy.accept().await;
            peer.serve(answer).await;
            peer
        });
        match outcome.unwrap() {
            Outcome::TimedOut { .. } => assert_eq!(expected, "timeout"),
            outcome => assert_eq!(why(outcome), expected),
        }
    }
}
