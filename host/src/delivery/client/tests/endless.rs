//! Receivers that send without end, or in the smallest pieces. The limits of an exchange count bytes and reads, not time.

use super::*;
use crate::domain::Response;
use crate::domain::attempt::BodyFailureKind;

/// The outcome of a request to a receiver that sends `beginning` and then `part` repeatedly until the connection is closed,
/// and how often it could.
async fn endless(beginning: &str, part: &str) -> (Outcome, usize) {
    let (client, receiver) = (client(8), Receiver::start().await);
    let sending = async {
        let mut peer = receiver.accept().await;
        peer.serve(beginning).await;
        let mut times = 0;
        while peer.0.write_all(part.as_bytes()).await.is_ok() {
            times += 1;
            // One piece at a time, as from a receiver that takes its time: they do not gather in the socket.
            tokio::task::yield_now().await;
        }
        times
    };
    within(async { tokio::join!(client.request(post(receiver.address())), sending) }).await
}

#[tokio::test]
async fn what_precedes_a_response_is_limited() {
    for (beginning, part, said) in [
        (
            "",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "protocol: the receiver sent over 8 interim responses (1xx) before its response",
        ),
        (
            "",
            "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
            "protocol: the receiver sent over 8 interim responses (1xx) before its response",
        ),
        ("", "\r\n", "protocol: the receiver sent over 8 interim responses (1xx) before its response"),
        (
            "HTTP/1.1 200 OK\r\n",
            "x: y\r\n",
            "protocol: the receiver sent its response in over 512 pieces without completing it",
        ),
        (
            "HTTP/1.1 200 OK\r\nx: ",
            "y",
            "protocol: the receiver sent its response in over 512 pieces without completing it",
        ),
    ] {
        let (outcome, times) = endless(beginning, part).await;
        assert_eq!(why(outcome), said, "{part}");
        assert!(times < 20_000, "{times} {part}");
    }
    let (outcome, _) = endless("HTTP/1.1 200 OK\r\n", &"a-header: and its value\r\n".repeat(100)).await;
    // Which limit it reaches first is up to how the pieces arrive.
    let said = why(outcome);
    assert!(
        said.starts_with("protocol: message head is too large") || said.contains("too many headers"),
        "{said}"
    );
}

#[tokio::test]
async fn a_body_that_never_ends_is_read_to_its_limit_and_its_status_kept() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let zeros = "0".repeat(4096);
    for (beginning, part, failure) in [
        (chunked, "1\r\nx\r\n", None),
        (chunked, "400\r\n", Some("protocol: ")),
        (
            chunked,
            zeros.as_str(),
            Some("protocol: the receiver sent over 256 KiB without completing its response"),
        ),
        (
            chunked,
            "0",
            Some("protocol: the receiver sent its response in over 512 pieces without completing it"),
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "x=y;", Some("protocol: ")),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x: y\r\n", Some("protocol: ")),
        ("HTTP/1.1 200 OK\r\n\r\n", "some more text", None),
    ] {
        let (outcome, _) = endless(beginning, part).await;
        let Outcome::Response(Response { status, body_truncated, body_failure, .. }) = outcome else {
            panic!("{outcome:?} {part:.20}")
        };
        assert_eq!((status, body_truncated), (200, true), "{part:.20}");
        match (failure, body_failure) {
            // Either enough was read of it, or it came in too many pieces.
            (None, None) => {}
            (None, Some(failure)) => assert!(failure.message.contains("over 512 pieces"), "{failure:?}"),
            (Some(said), Some(failure)) => {
                assert_eq!(failure.kind, BodyFailureKind::Protocol);
                let found = format!("{}: {}", failure.kind, failure.message);
                assert!(found.starts_with(said), "{found} {part:.20}");
            }
            (Some(_), None) => panic!("no failure: {part:.20}"),
        }
    }
}

/// One read may return thousands of interim responses, and hyper would parse all of them.
#[tokio::test]
async fn many_interim_responses_in_one_read_are_not_parsed() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let answer = format!("{}{OK}", "HTTP/1.1 100 Continue\r\n\r\n".repeat(9));
    let (outcome, _) = tokio::join!(client.request(post(receiver.address())), async {
        let mut peer = receiver.accept().await;
        peer.serve(&answer).await;
        peer
    });
    assert_eq!(
        why(outcome),
        "protocol: the receiver sent over 8 interim responses (1xx) before its response"
    );
}

/// The counts start at zero with each exchange.
#[tokio::test]
async fn a_connection_may_be_used_any_number_of_times() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let mut peer = receiver.used(&client).await;
    let answer = format!("HTTP/1.1 100 Continue\r\n\r\n{OK}");
    for _ in 0..600 {
        let (outcome, _) = tokio::join!(client.request(post(receiver.address())), peer.serve(&answer));
        assert_eq!(status(&outcome), 200);
    }
}
