//! Publishing to an engine whose answers the test chooses.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use publish::Publisher;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// Answers each request with the next of `answers`, and keeps the requests.
async fn engine(answers: &'static [(u16, &'static str)]) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let kept = Arc::clone(&kept);
            let service = service_fn(move |request: Request<Incoming>| {
                let kept = Arc::clone(&kept);
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let mut kept = kept.lock().unwrap();
                    let (status, answer) = answers[kept.len()];
                    kept.push((head.headers, body));
                    let answer = Full::<Bytes>::from(answer);
                    Ok::<_, Infallible>(Response::builder().status(status).body(answer).unwrap())
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, seen)
}

fn data(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

#[tokio::test]
async fn an_event_is_sent_again_under_the_same_key_until_it_is_accepted() {
    let (url, seen) =
        engine(&[(503, "busy"), (202, r#"{"id":"evt_1","deliveries":2,"duplicate":false}"#)]).await;
    let publisher = Publisher::new(&url, "hwk_1").retrying_after(&[Duration::ZERO]);
    let answer = publisher.publish("order.paid", &data(r#"{"total": 1.50}"#)).await.unwrap();
    assert_eq!(answer["deliveries"], 2);
    let seen = seen.lock().unwrap();
    let [first, second] = seen.as_slice() else { panic!("two requests") };
    assert_eq!(first.0["idempotency-key"], second.0["idempotency-key"]);
    assert_eq!(first.0["authorization"], "Bearer hwk_1");
    assert_eq!(second.1, r#"{"type":"order.paid","data":{"total": 1.50}}"#);
}

#[tokio::test]
async fn a_refused_event_is_an_error_and_is_not_sent_again() {
    let (url, seen) = engine(&[(400, r#"{"pointer":"/type"}"#)]).await;
    let publisher = Publisher::new(&url, "hwk_1").retrying_after(&[Duration::ZERO]);
    let error = publisher.publish("", &data("{}")).await.unwrap_err();
    assert_eq!(error.to_string(), r#"400 Bad Request: {"pointer":"/type"}"#);
    assert_eq!(seen.lock().unwrap().len(), 1);
}
