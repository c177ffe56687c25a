//! What receivers respond, or do instead.

use super::*;
use crate::domain::Response;
use crate::domain::attempt::BodyFailureKind;

/// The outcome of a request with this response on a new connection, and the receiver's end of it. `then` says whether the
/// receiver closes the connection after the response.
async fn answered(
    request: Asked,
    answer: &str,
    then: Then,
) -> (Outcome, Receiver, DeliveryClient, Option<Peer>) {
    let (client, receiver) = (client(8), Receiver::start().await);
    let (outcome, peer) = tokio::join!(client.request(request(receiver.address())), async {
        let mut peer = receiver.accept().await;
        peer.serve(answer).await;
        match then {
            Then::Close => None,
            Then::Wait => Some(peer),
        }
    });
    (outcome, receiver, client, peer)
}

/// Makes a request to a receiver.
type Asked = fn(SocketAddr) -> Request;

enum Then {
    Close,
    Wait,
}

fn head(to: SocketAddr) -> Request {
    let mut request = post(to);
    *request.method_mut() = http::Method::HEAD;
    *request.body_mut() = Full::default();
    request
}

fn response(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Response(response) => response,
        other => panic!("no answer: {other:?}"),
    }
}

#[tokio::test]
async fn after_these_responses_the_connection_is_reused() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let informed = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{OK}");
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 65536\r\n\r\n{}", "x".repeat(65_536));
    let old = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n";
    let headed = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    let cases: [(Asked, &str, &str); 7] = [
        (post, OK, "ok"),
        (post, chunked, "abcde"),
        (post, &informed, "ok"),
        (post, &long, &"x".repeat(Response::MAX_RECORDED_BODY)),
        (post, "HTTP/1.1 204 No Content\r\n\r\n", ""),
        (post, old, ""),
        (head, headed, ""),
    ];
    for (request, answer, body) in cases {
        let (outcome, receiver, client, peer) = answered(request, answer, Then::Wait).await;
        let response = response(outcome);
        assert_eq!(String::from_utf8_lossy(&response.body), body);
        assert_eq!(response.body_truncated, answer.len() > 60_000);
        let mut peer = peer.unwrap();
        let (outcome, _) = tokio::join!(client.request(post(receiver.address())), peer.serve(OK));
        assert_eq!(status(&outcome), 200, "{answer}");
    }
}

#[tokio::test]
async fn after_these_responses_the_connection_is_closed() {
    let too_long = format!("HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n{}", "x".repeat(65_537));
    for (answer, body) in [
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", "ok"),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok"),
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", ""),
        (&too_long, &*"x".repeat(Response::MAX_RECORDED_BODY)),
    ] {
        let (outcome, receiver, client, peer) = answered(post, answer, Then::Wait).await;
        let response = response(outcome);
        assert_eq!(String::from_utf8_lossy(&response.body), body);
        peer.unwrap().is_closed().await;
        receiver.used(&client).await;
    }
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_the_connection() {
    let (outcome, ..) = answered(post, "HTTP/1.1 200 OK\r\n\r\nall of it", Then::Close).await;
    assert_eq!(response(outcome).body, b"all of it");
}

#[tokio::test]
async fn a_malformed_or_missing_response_is_named() {
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(70_000));
    for (answer, said) in [
        ("", "protocol: connection closed before message completed"),
        ("HTTP/1.1 2", "protocol: connection closed before message completed"),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "protocol: invalid HTTP version parsed"),
        (&endless, "protocol: message head is too large"),
    ] {
        let (outcome, ..) = answered(post, answer, Then::Close).await;
        assert_eq!(why(outcome), said, "{answer:.40}");
    }
}

/// The receiver has sent the status before the body broke off.
#[tokio::test]
async fn a_response_with_an_incomplete_body_keeps_its_status() {
    for (answer, body, said) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok", "ok", "end of file before message length reached"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nxx\r\n",
            "ok",
            "Invalid chunk size line: missing size digit",
        ),
    ] {
        let (outcome, ..) = answered(post, answer, Then::Close).await;
        let Response { status, body: read, body_truncated, body_failure, .. } = response(outcome);
        assert_eq!((status, String::from_utf8_lossy(&read).as_ref(), body_truncated), (200, body, true));
        let failure = body_failure.unwrap();
        assert_eq!((failure.kind, failure.message.as_str()), (BodyFailureKind::Protocol, said));
    }
}

/// The receiver does not read the rest of the request, and the connection cannot be reused before it is sent.
#[tokio::test]
async fn a_response_before_the_request_is_read_counts() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let mut request = post(receiver.address());
    *request.body_mut() = Full::from("x".repeat(32 << 20));
    let (outcome, mut peer) = tokio::join!(client.request(request), async {
        let mut peer = receiver.accept().await;
        peer.say("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n").await;
        peer
    });
    assert_eq!(status(&outcome), 413);
    peer.is_closed().await;
}

#[tokio::test]
async fn a_receiver_that_never_responds_times_out_and_its_connection_is_closed() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let mut peer = receiver.used(&client).await;
    let limit = Duration::from_millis(200);
    let (outcome, _) = tokio::join!(client.request_within(post(receiver.address()), limit), peer.request());
    assert_eq!(outcome, Outcome::TimedOut { after: limit });
    peer.is_closed().await;
    receiver.used(&client).await;
}

#[tokio::test]
async fn a_response_whose_body_never_ends_keeps_its_status_and_its_connection_is_closed() {
    for (begun, status) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", 200),
        ("HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n", 503),
    ] {
        let (client, receiver) = (client(8), Receiver::start().await);
        let mut peer = receiver.used(&client).await;
        let limit = Duration::from_millis(200);
        let (outcome, _) =
            tokio::join!(client.request_within(post(receiver.address()), limit), peer.serve(begun));
        let response = response(outcome);
        assert_eq!(
            (response.status, &response.body[..], response.body_truncated),
            (status, &b"ab"[..], true)
        );
        let failure = response.body_failure.unwrap();
        assert_eq!(failure.kind, BodyFailureKind::Timeout);
        assert_eq!(failure.message, "the response body did not end within 200 ms");
        peer.is_closed().await;
        receiver.used(&client).await;
    }
}

#[tokio::test]
async fn an_attempt_that_is_dropped_closes_its_connection() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let mut peer = receiver.used(&client).await;
    tokio::select! {
        biased;
        outcome = client.request(post(receiver.address())) => panic!("{outcome:?}"),
        _ = peer.request() => {}
    }
    peer.is_closed().await;
}

#[tokio::test]
async fn a_refused_connection_is_named() {
    let address = Receiver::start().await.address();
    let said = why(client(8).request(post(address)).await);
    assert!(said.starts_with(&format!("connect: cannot connect to {address}: ")), "{said}");
}
