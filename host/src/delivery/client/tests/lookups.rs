//! Look-ups of names.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;
use crate::delivery::client::lookup::{MAX_LOOKUPS, MAX_LOOKUPS_OF_TENANT};

/// A resolver that resolves each name to 127.0.0.1, once for each message of the sender; and the number of its calls.
fn gated() -> (Arc<Resolver>, mpsc::Sender<()>, Arc<AtomicUsize>) {
    let (open, gate) = mpsc::channel();
    let (gate, asked) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let resolver = move |_: &str| {
        count.fetch_add(1, Ordering::SeqCst);
        // At the end of the test, the sender is gone.
        let _ = gate.lock().unwrap().recv();
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))])
    };
    (Arc::new(resolver), open, asked)
}

/// A tenant without other look-ups.
const NEWCOMER: TenantId = TenantId(1_000);

/// Starts [`MAX_LOOKUPS`] look-ups of different names. Each returns whether the name was found.
fn as_many_as_may_be(
    lookups: &Arc<Lookups>,
    tenant: impl Fn(usize) -> TenantId,
) -> tokio::task::JoinSet<bool> {
    let found = |n| {
        let (lookups, tenant) = (Arc::clone(lookups), tenant(n));
        async move { lookups.find(tenant, &format!("{n}.example")).await.is_ok() }
    };
    (0..MAX_LOOKUPS).map(found).collect()
}

/// Waits for this number of calls of the resolver.
async fn was_asked(asked: &AtomicUsize, times: usize) {
    within(async {
        while asked.load(Ordering::SeqCst) < times {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn concurrent_requests_for_a_name_share_a_lookup() {
    let (resolver, open, asked) = gated();
    let lookups = Lookups::by(resolver);
    let (one, other, ()) = tokio::join!(
        within(lookups.find(TENANT, "a.example")),
        within(lookups.find(TENANT, "a.example")),
        async {
            open.send(()).unwrap();
        }
    );
    assert_eq!((one.clone(), one.unwrap().len()), (other, 1));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // What was found is not remembered.
    open.send(()).unwrap();
    within(lookups.find(TENANT, "a.example")).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_request_joins_a_lookup_whose_other_requests_have_timed_out() {
    let (resolver, open, asked) = gated();
    let lookups = Lookups::by(resolver);
    tokio::select! {
        biased;
        _ = lookups.find(TENANT, "a.example") => panic!("the gate is shut"),
        () = was_asked(&asked, 1) => {}
    }
    let (found, ()) =
        tokio::join!(within(lookups.find(TENANT, "a.example")), async { open.send(()).unwrap() });
    assert_eq!((found.is_ok(), asked.load(Ordering::SeqCst)), (true, 1));
}

#[tokio::test]
async fn a_lookup_without_waiting_requests_is_not_started() {
    let (resolver, open, asked) = gated();
    let lookups = Lookups::by(resolver);
    let first = as_many_as_may_be(&lookups, |n| TenantId((n / MAX_LOOKUPS_OF_TENANT) as i64));
    was_asked(&asked, MAX_LOOKUPS).await;
    tokio::select! {
        biased;
        _ = lookups.find(NEWCOMER, "one-too-many.example") => panic!("all turns are taken"),
        () = read_events() => {}
    }
    read_events().await;
    (0..MAX_LOOKUPS).for_each(|_| open.send(()).unwrap());
    assert!(within(first.join_all()).await.into_iter().all(|found| found));
    // The next is the only one since.
    open.send(()).unwrap();
    within(lookups.find(TENANT, "next.example")).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), MAX_LOOKUPS + 1);
}

#[tokio::test]
async fn a_tenant_whose_names_never_resolve_does_not_delay_others() {
    let (resolver, open, asked) = gated();
    let lookups = Lookups::by(resolver);
    let dead = as_many_as_may_be(&lookups, |_| TENANT);
    was_asked(&asked, MAX_LOOKUPS_OF_TENANT).await;
    read_events().await;
    assert_eq!(asked.load(Ordering::SeqCst), MAX_LOOKUPS_OF_TENANT);
    // Not even one who asks for a name that the first waits for.
    let same = format!("{}.example", MAX_LOOKUPS - 1);
    let other = tokio::spawn(async move { lookups.find(NEWCOMER, &same).await.is_ok() });
    was_asked(&asked, MAX_LOOKUPS_OF_TENANT + 1).await;
    (0..=MAX_LOOKUPS).for_each(|_| open.send(()).unwrap());
    assert!(within(other).await.unwrap());
    assert_eq!(within(dead.join_all()).await.len(), MAX_LOOKUPS);
}

#[tokio::test]
async fn different_names_are_looked_up_separately() {
    let (resolver, open, asked) = gated();
    let lookups = Lookups::by(resolver);
    for _ in 0..2 {
        open.send(()).unwrap();
    }
    let (one, other) =
        tokio::join!(within(lookups.find(TENANT, "a.example")), within(lookups.find(TENANT, "b.example")));
    assert_eq!((one.is_ok(), other.is_ok(), asked.load(Ordering::SeqCst)), (true, true, 2));
}

#[tokio::test]
async fn a_name_is_resolved_checked_and_connected_to() {
    let resolver = |host: &str| match host {
        "here.example" => Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))]),
        "inside.example" => {
            Ok(vec![SocketAddr::from(([10, 0, 0, 1], 0)), SocketAddr::from(([10, 0, 0, 2], 0))])
        }
        "nowhere.example" => Ok(Vec::new()),
        _ => Err(std::io::Error::other("no such name")),
    };
    let (client, receiver) = (resolving(Arc::new(resolver)), Receiver::start().await);
    let to = |host: &str| {
        let url = format!("http://{host}:{}/", receiver.address().port());
        http::Request::post(url).body(Full::default()).unwrap()
    };
    let (outcome, request) =
        tokio::join!(client.request(to("here.example")), async { receiver.accept().await.serve(OK).await });
    assert_eq!(status(&outcome), 200);
    assert!(request.contains(&format!("host: here.example:{}\r\n", receiver.address().port())), "{request}");
    for (host, said) in [
        (
            "inside.example",
            "egress-refused: inside.example has no address that the operator's egress policy allows",
        ),
        ("nowhere.example", "dns: cannot resolve nowhere.example: the name has no address"),
        ("other.example", "dns: cannot resolve other.example: no such name"),
    ] {
        assert_eq!(why(client.request(to(host)).await), said);
    }
}
