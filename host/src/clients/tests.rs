use futures_util::FutureExt as _;

use http::HeaderMap;

use super::connection::{FORWARDED_FOR, MAX_FAILED_LOGINS};
use super::*;
use crate::domain::TenantId;

fn clients(connections: usize, connections_per_address: usize) -> Arc<Clients> {
    let trusted_proxies = TrustedProxies(vec!["127.0.0.1/32".parse().unwrap()]);
    let (request_bytes, answer_bytes) = (1 << 20, 1 << 20);
    Clients::new(ClientLimits {
        connections,
        spare_connections: connections,
        connections_per_address,
        trusted_proxies,
        request_bytes,
        answer_bytes,
        callers: Callers::All,
        is_tls: false,
    })
}

fn admit(clients: &Arc<Clients>, address: &str) -> Option<Admitted> {
    clients.admit(address.parse().unwrap())
}

/// Ends the last request of `client`, whose response has been written.
fn end_request(client: &Client) {
    client.response_handed_over(client.requests());
    client.written();
}

fn is_told(admitted: &Admitted) -> bool {
    admitted.told_to_end().now_or_never().is_some()
}

#[test]
fn an_address_with_too_many_connections_loses_its_oldest_idle_one() {
    let clients = clients(100, 2);
    let (first, second) = (admit(&clients, "192.0.2.1").unwrap(), admit(&clients, "192.0.2.1").unwrap());
    let other = admit(&clients, "192.0.2.2").unwrap();
    let third = admit(&clients, "192.0.2.1").expect("it is accepted in place of the first");
    assert_eq!([&first, &second, &third, &other].map(is_told), [true, false, false, false]);
    // Requests under way are never broken off.
    second.client().begin_request();
    third.client().begin_request();
    assert!(admit(&clients, "192.0.2.1").is_none());
    assert!(admit(&clients, "192.0.2.2").is_some());
    end_request(second.client());
    let mut table = clients.lock();
    assert!(
        !table.end_idle(1, MayEnd::Own(group("192.0.2.1".parse().unwrap())), 1),
        "it looks again too soon"
    );
    assert!(table.end_idle(
        1,
        MayEnd::Own(group("192.0.2.1".parse().unwrap())),
        clients.context.now_ms() + 10
    ));
    drop(table);
    assert!(is_told(&second));
}

#[test]
fn a_connection_that_served_requests_outlasts_unused_ones() {
    let clients = clients(100, 3);
    let served = admit(&clients, "192.0.2.1").unwrap();
    served.client().begin_request();
    end_request(served.client());
    let flood: Vec<_> = (0..10).map(|_| admit(&clients, "192.0.2.1").unwrap()).collect();
    assert!(!is_told(&served));
    assert_eq!(flood.iter().filter(|one| is_told(one)).count(), 8);
}

#[test]
fn a_proxy_has_no_limit_of_its_own() {
    let clients = clients(100, 2);
    let all: Vec<_> = (0..50).map(|_| admit(&clients, "127.0.0.1").unwrap()).collect();
    assert!(!all.iter().any(is_told));
}

#[test]
fn a_connection_that_has_been_idle_for_long_ends_for_any_address() {
    let clients = clients(4, 100);
    let addresses = [1, 2].map(|n| group(format!("192.0.2.{n}").parse().unwrap()));
    let [busy, idle] = addresses.map(|address| clients.admit(address).unwrap());
    let end_idle = |now_ms| clients.lock().end_idle(1, MayEnd::OwnAndThoseOfMore(addresses[0], 1), now_ms);
    busy.client().begin_request();
    let now_ms = idle.client().last_used_ms();
    assert!(!end_idle(now_ms + 4_900), "it has as many");
    assert!(end_idle(now_ms + 5_000));
    assert!(is_told(&idle));
}

#[test]
fn searches_for_idle_connections_are_few() {
    let clients = clients(64, 64);
    let _idle: Vec<_> = (0..32).map(|n| admit(&clients, &format!("192.0.2.{n}")).unwrap()).collect();
    let mut table = clients.lock();
    assert_eq!((0..32).filter(|_| table.end_idle(1, MayEnd::All, 1_000)).count(), 8);
    assert!(table.end_idle(1, MayEnd::All, 1_010), "a moment later there are more");
}

/// As many connections from `address`, each with a request under way.
fn busy(clients: &Arc<Clients>, address: &str, count: usize) -> Vec<Admitted> {
    let admit_one = || {
        admit(clients, address).inspect(|one| {
            one.client().begin_request();
        })
    };
    std::iter::from_fn(admit_one).take(count).collect()
}

#[test]
fn if_all_places_are_taken_the_address_with_most_connections_makes_room() {
    let clients = clients(4, 100);
    let other = admit(&clients, "192.0.2.2").unwrap();
    let many = busy(&clients, "192.0.2.1", 2);
    let last = admit(&clients, "192.0.2.3").unwrap();
    many.iter().for_each(|one| end_request(one.client()));
    many[0].client().begin_request();
    let _newcomer = admit(&clients, "192.0.2.4").expect("it takes the place of an idle one");
    assert_eq!([&other, &last, &many[0], &many[1]].map(is_told), [false, false, false, true]);
    many[1].client().begin_request();
    assert!(
        admit(&clients, "192.0.2.5").is_some(),
        "one that got a request before it was told is in the spare"
    );
}

#[test]
fn while_too_many_are_ending_no_connection_is_accepted() {
    let clients = Clients::new(ClientLimits { spare_connections: 2, ..clients(4, 100).limits.clone() });
    let _first: Vec<_> = (0..4).map(|n| admit(&clients, &format!("192.0.2.{n}")).unwrap()).collect();
    let mut next: Vec<_> = (4..6).map(|n| admit(&clients, &format!("192.0.2.{n}")).unwrap()).collect();
    assert!(admit(&clients, "192.0.2.6").is_none());
    next.pop();
    assert!(admit(&clients, "192.0.2.6").is_some());
}

#[test]
fn busy_addresses_leave_the_last_quarter_to_others() {
    let clients = clients(128, 50);
    let (one, two) = (busy(&clients, "192.0.2.1", 50), busy(&clients, "192.0.2.2", 50));
    assert_eq!((one.len(), two.len()), (50, 46), "three quarters of all places");
    let small = busy(&clients, "192.0.2.3", 10);
    assert_eq!(small.len(), 4, "as few as may use the last quarter");
    assert_eq!(busy(&clients, "192.0.2.4", 10).len(), 4);
}

#[test]
fn a_flood_leaves_the_last_of_the_spare_to_others() {
    let clients = Clients::new(ClientLimits { spare_connections: 8, ..clients(64, 4).limits.clone() });
    let _busy: Vec<_> = (0..60).map(|n| busy(&clients, &format!("192.0.2.{n}"), 1)).collect();
    let flood: Vec<_> = (0..200).filter_map(|_| admit(&clients, "198.51.100.1")).collect();
    assert_eq!(flood.len(), 8, "its four places and half of the spare");
    assert_eq!(busy(&clients, "198.51.100.2", 2).len(), 2);
}

#[test]
fn an_idle_connection_ends_only_for_an_address_with_fewer() {
    let clients = clients(32, 100);
    let _busy = busy(&clients, "192.0.2.1", 20);
    let idle: Vec<_> = std::iter::from_fn(|| admit(&clients, "192.0.2.2")).take(4).collect();
    assert_eq!(idle.len(), 4);
    assert!(admit(&clients, "192.0.2.1").is_none());
    assert!(!idle.iter().any(is_told));
    let _newcomer = admit(&clients, "192.0.2.3").expect("it has none yet");
    let _second = admit(&clients, "192.0.2.3").expect("it has fewer than the one with idle ones");
    assert!(idle.iter().any(is_told));
}

#[test]
fn closed_connections_leave_nothing_behind() {
    let clients = clients(4, 1);
    for n in 0..100 {
        drop(admit(&clients, &format!("192.0.2.{n}")).unwrap());
    }
    let table = clients.lock();
    assert_eq!((table.open.len(), table.by_address.len(), table.ending.len()), (0, 0, 0));
}

#[test]
fn at_shutdown_all_connections_are_told_to_end_and_none_is_accepted() {
    let clients = clients(4, 4);
    let one = admit(&clients, "192.0.2.1").unwrap();
    let mut ending = Box::pin(clients.end_all());
    assert!((&mut ending).now_or_never().is_none());
    assert!(is_told(&one));
    assert!(admit(&clients, "192.0.2.1").is_none());
    drop(one);
    assert!(ending.now_or_never().is_some());
}

#[test]
fn only_a_trusted_proxy_names_the_origin_of_a_request() {
    let clients = clients(4, 4);
    for (address, forwarded, origin) in [
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "203.0.113.9, 198.51.100.1, 127.0.0.1", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1, unknown", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
    ] {
        let admitted = admit(&clients, address).unwrap();
        let headers = HeaderMap::from_iter([(FORWARDED_FOR.parse().unwrap(), forwarded.parse().unwrap())]);
        let headers: HeaderMap = headers;
        assert_eq!(admitted.client().origin(&headers), origin.parse::<IpAddr>().unwrap(), "{forwarded}");
    }
}

#[test]
fn a_connection_with_too_many_failed_logins_ends_and_its_address_is_throttled() {
    let clients = clients(4, 4);
    let (one, other) = (admit(&clients, "192.0.2.1").unwrap(), admit(&clients, "192.0.2.1").unwrap());
    let headers = HeaderMap::new();
    assert!((1..MAX_FAILED_LOGINS).all(|_| !one.client().login_failed(&headers)));
    assert!(!one.client().failed_too_often());
    one.client().login_failed(&headers);
    assert!(one.client().failed_too_often() && !other.client().failed_too_often());
    while !other.client().login_failed(&headers) {}
    assert!(one.client().is_throttled(&headers));
    let proxy = admit(&clients, "127.0.0.1").unwrap();
    while !proxy.client().login_failed(&headers) {}
    assert!(
        !proxy.client().is_throttled(&headers),
        "the operator would be locked out by its own proxy's clients"
    );
}

#[test]
fn a_connection_is_busy_until_its_response_is_written() {
    let clients = clients(4, 4);
    let admitted = admit(&clients, "192.0.2.1").unwrap();
    let client = admitted.client();
    assert!(client.is_idle());
    let first = client.begin_request();
    client.written();
    assert!(!client.is_idle(), "interim responses end no request");
    client.response_handed_over(first);
    assert!(!client.is_idle());
    client.written();
    assert!(client.is_idle());
    let second = client.begin_request();
    client.response_handed_over(first);
    client.written();
    assert!(!client.is_idle(), "the first response does not end the second request");
    client.response_handed_over(second);
    client.written();
    assert!(client.is_idle());
}

#[test]
fn a_tenant_keeps_half_of_the_connections_busy_and_none_when_it_is_gone() {
    let clients = clients(4, 4);
    let (one, other) = (TenantId(1), TenantId(2));
    let all: Vec<_> = (0..4).map(|n| admit(&clients, &format!("192.0.2.{n}")).unwrap()).collect();
    let act = |n: usize, tenant| {
        all[n].client().begin_request();
        all[n].client().act_for(tenant)
    };
    assert_eq!(
        [act(0, one), act(0, one), act(1, one), act(2, one)],
        [Ok(()), Ok(()), Ok(()), Err(TooManyBusy)]
    );
    assert_eq!(act(3, other), Ok(()));
    end_request(all[0].client());
    assert_eq!(act(2, one), Err(TooManyBusy), "the other tenant has left three, half of them is one");
    end_request(all[1].client());
    assert_eq!(act(2, one), Ok(()));
    let kept = Arc::clone(all[0].client());
    drop(all);
    // A handler that runs on after its connection has ended.
    assert_eq!(kept.act_for(one), Ok(()));
    assert!(clients.context.busy.is_empty());
}
