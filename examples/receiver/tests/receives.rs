//! The receiver over HTTP.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use receiver::{Receiver, Refused, Verdict, Verifier};
use tokio::sync::mpsc;

const KEY: &[u8] = b"twenty-four bytes of key";

fn signed(url: &str, id: &str, body: &'static str) -> Request<Full<Bytes>> {
    #[expect(clippy::disallowed_methods, reason = "the receiver under test reads the machine's clock")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(KEY).unwrap();
    mac.update(format!("{id}.{now}.{body}").as_bytes());
    Request::post(url)
        .header("webhook-id", id)
        .header("webhook-timestamp", now)
        .header("webhook-signature", format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        .body(Full::from(body))
        .unwrap()
}

#[tokio::test]
async fn genuine_requests_are_accepted_once_and_others_refused() {
    let verifier = Verifier::new(&[format!("whsec_{}", STANDARD.encode(KEY))]).unwrap();
    let receiver = Receiver::bind(([127, 0, 0, 1], 0).into()).await.unwrap().at("/orders", verifier);
    let base = format!("http://{}", receiver.address().unwrap());
    let (sender, mut arrivals) = mpsc::channel(10);
    let serving = tokio::spawn(receiver.serve(sender));
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let orders = format!("{base}/orders");
    let mut tampered = signed(&orders, "evt_2", "{}");
    *tampered.body_mut() = Full::from("{\"total\":1}");

    for (request, status, verdict) in [
        (signed(&orders, "evt_1", "{}"), StatusCode::NO_CONTENT, Verdict::Verified),
        (signed(&orders, "evt_1", "{}"), StatusCode::NO_CONTENT, Verdict::Duplicate),
        (tampered, StatusCode::UNAUTHORIZED, Verdict::Refused(Refused::NoMatch)),
    ] {
        assert_eq!(client.request(request).await.unwrap().status(), status);
        assert_eq!(arrivals.recv().await.unwrap().verdict, verdict);
    }
    let elsewhere = client.request(signed(&base, "evt_3", "{}")).await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);

    drop((client, arrivals));
    serving.await.unwrap().unwrap();
}
