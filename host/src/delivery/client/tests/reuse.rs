//! Which connection a request goes over.

use super::*;
use crate::delivery::client::Sender;
use crate::delivery::client::endpoint::Endpoint;

#[tokio::test]
async fn a_connection_is_reused() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let mut peer = receiver.used(&client).await;
    for _ in 0..3 {
        let (outcome, request) = tokio::join!(client.request(post(receiver.address())), peer.serve(OK));
        assert_eq!(status(&outcome), 200);
        let address = receiver.address();
        assert_eq!(
            request,
            format!("POST /path HTTP/1.1\r\nhost: {address}\r\ncontent-length: 6\r\n\r\na body")
        );
    }
}

#[tokio::test]
async fn a_client_takes_an_idle_connection_of_a_sibling() {
    let connector = Arc::new(Connector::new(loopback(), tls::client_config(None).unwrap()));
    let siblings = DeliveryClient::siblings(&connector, 2, 8);
    let receiver = Receiver::start().await;
    let mut peer = receiver.used(&siblings[0]).await;
    for sibling in [1, 1, 0, 1] {
        let request = siblings[sibling].request(post(receiver.address()));
        let (outcome, _) = tokio::join!(request, peer.serve(OK));
        assert_eq!(status(&outcome), 200);
    }
    // It goes back to the client on whose runtime it was opened.
    let endpoint = Endpoint::of(post(receiver.address()).uri(), None).unwrap();
    assert!(siblings[0].pools[0].take(&endpoint, TENANT).is_some());
}

#[tokio::test]
async fn a_connection_that_a_rule_permits_to_one_tenant_is_not_used_for_another() {
    const OTHER: TenantId = TenantId(2);
    for (rule, is_shared) in [("127.0.0.0/8".to_owned(), true), (format!("{TENANT}=127.0.0.0/8"), false)] {
        let policy =
            EgressPolicy::new(vec![EgressRule::parse(&rule).unwrap()], Vec::new(), Arc::new(|_| None));
        let connector = Arc::new(Connector::new(policy, tls::client_config(None).unwrap()));
        let client = DeliveryClient::siblings(&connector, 1, 8).remove(0);
        let receiver = Receiver::start().await;
        let mut peer = receiver.used(&client).await;
        let others = client.request_of(OTHER, post(receiver.address()));
        if is_shared {
            assert_eq!(status(&tokio::join!(others, peer.serve(OK)).0), 200);
        } else {
            let refused = "egress-refused: 127.0.0.1 has no address that the operator's egress policy allows";
            tokio::select! {
                outcome = others => assert_eq!(why(outcome), refused),
                request = peer.request() => panic!("{request}"),
            }
        }
        let (outcome, _) = tokio::join!(client.request(post(receiver.address())), peer.serve(OK));
        assert_eq!(status(&outcome), 200, "{rule}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_attempt() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let (first, second) = tokio::join!(receiver.used(&client), async {
        // The first has its connection by now, so that there are two.
        receiver.used(&client).await
    });
    drop((first, second));
    read_events().await;
    // Both are found closed, one after the other.
    receiver.used(&client).await;
}

#[tokio::test]
async fn a_connection_with_unexpected_bytes_is_not_reused() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let mut peer = receiver.used(&client).await;
    peer.say("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n").await;
    read_events().await;
    receiver.used(&client).await;
    peer.is_closed().await;
}

#[tokio::test]
async fn bytes_after_a_response_close_the_connection() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let (outcome, mut peer) = tokio::join!(client.request(post(receiver.address())), async {
        let mut peer = receiver.accept().await;
        peer.serve(&format!("{OK}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
        peer
    });
    assert_eq!(status(&outcome), 200);
    peer.is_closed().await;
    receiver.used(&client).await;
}

/// The receiver closes the connection while the request is on its way, so it is unknown whether the request was processed.
#[tokio::test]
async fn a_request_that_does_no_harm_is_sent_again_if_the_connection_closes_before_a_response() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let mut put = post(receiver.address());
    *put.method_mut() = http::Method::PUT;
    let of_sender = |is_repeatable| Sender { is_repeatable, ..TENANT.into() };
    for (sender, request) in [
        (of_sender(false), named(receiver.address())),
        (of_sender(false), put),
        (of_sender(true), post(receiver.address())),
    ] {
        let mut peer = receiver.used(&client).await;
        let again = request.clone();
        let again = || Some(again.clone());
        let (outcome, ()) = tokio::join!(client.send(sender, request, &again, TEST_TIMEOUT), async {
            let first = peer.request().await;
            drop(peer);
            let second = receiver.accept().await.serve(OK).await;
            assert_eq!(first, second);
        });
        assert_eq!(status(&outcome.unwrap()), 200);
    }
}

#[tokio::test]
async fn a_request_is_sent_again_only_once() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let mut peer = receiver.used(&client).await;
    let (outcome, ()) = tokio::join!(client.request(named(receiver.address())), async {
        peer.request().await;
        drop(peer);
        receiver.accept().await.request().await;
    });
    assert_eq!(why(outcome), "protocol: connection closed before message completed");
}

#[tokio::test]
async fn a_request_without_a_webhook_id_is_not_sent_again() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let mut peer = receiver.used(&client).await;
    let (outcome, ()) = tokio::join!(client.request(post(receiver.address())), async {
        peer.request().await;
        drop(peer);
    });
    assert_eq!(why(outcome), "protocol: connection closed before message completed");
}

#[tokio::test]
async fn a_request_with_a_partial_response_is_not_sent_again() {
    for begun in ["HTTP/1.1 ", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
        let (client, receiver) = (client(8), Receiver::start().await);
        let mut peer = receiver.used(&client).await;
        let (outcome, ()) = tokio::join!(client.request(named(receiver.address())), async {
            peer.serve(begun).await;
            drop(peer);
        });
        assert_eq!(why(outcome), "protocol: connection closed before message completed", "{begun}");
    }
}

#[tokio::test]
async fn concurrent_requests_each_have_a_connection() {
    const AT_ONCE: usize = 256;
    let (client, receiver) = (Arc::new(client(AT_ONCE)), Receiver::start().await);
    let address = receiver.address();
    let accepted = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let serving = tokio::spawn(async move {
        let mut peers = tokio::task::JoinSet::new();
        loop {
            let mut peer = receiver.accept().await;
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            peers.spawn(async move {
                loop {
                    peer.serve(OK).await;
                }
            });
        }
    });
    for round in 0..4 {
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let client = Arc::clone(&client);
            requests.spawn(async move { client.request(post(address)).await });
        }
        for outcome in requests.join_all().await {
            assert_eq!(status(&outcome), 200);
        }
        assert!(accepted.load(std::sync::atomic::Ordering::Relaxed) <= AT_ONCE, "{round}");
    }
    serving.abort();
}
