use futures_util::FutureExt as _;

use super::*;

fn clients(connections: usize, connections_per_address: usize) -> Arc<Clients> {
    let trusted_proxies = TrustedProxies(vec!["127.0.0.1/32".parse().unwrap()]);
    let (request_bytes, answer_bytes) = (1 << 20, 1 << 20);
    Clients::new(ClientLimits {
        connections,
        connections_per_address,
        trusted_proxies,
        request_bytes,
        answer_bytes,
    })
}

fn admit(clients: &Arc<Clients>, address: &str) -> Option<Admitted> {
    match clients.admit(address.parse().unwrap()) {
        Admission::Admitted(admitted) => Some(admitted),
        Admission::WhenFreed | Admission::Refused => None,
    }
}

fn is_told(admitted: &Admitted) -> bool {
    admitted.told_to_end().now_or_never().is_some()
}

#[test]
fn an_address_that_has_too_many_loses_its_oldest_idle_one() {
    let clients = clients(100, 2);
    let (first, second) = (admit(&clients, "192.0.2.1").unwrap(), admit(&clients, "192.0.2.1").unwrap());
    let other = admit(&clients, "192.0.2.2").unwrap();
    let third = admit(&clients, "192.0.2.1").expect("it is taken in, in place of the first");
    assert_eq!([&first, &second, &third, &other].map(is_told), [true, false, false, false]);
    // Requests under way are never broken off.
    second.client().begin_request();
    third.client().begin_request();
    assert!(matches!(clients.admit("192.0.2.1".parse().unwrap()), Admission::Refused));
    assert!(admit(&clients, "192.0.2.2").is_some());
    second.client().end_request();
    let mut table = clients.lock();
    assert!(!table.end_idle(1, Some(group("192.0.2.1".parse().unwrap())), 1), "it looks again too soon");
    assert!(table.end_idle(1, Some(group("192.0.2.1".parse().unwrap())), clients.now_ms() + 10));
    drop(table);
    assert!(is_told(&second));
}

#[test]
fn a_connection_that_has_had_requests_outlasts_those_that_never_had_one() {
    let clients = clients(100, 3);
    let served = admit(&clients, "192.0.2.1").unwrap();
    served.client().begin_request();
    served.client().end_request();
    let flood: Vec<_> = (0..10).map(|_| admit(&clients, "192.0.2.1").unwrap()).collect();
    assert!(!is_told(&served));
    assert_eq!(flood.iter().filter(|one| is_told(one)).count(), 8);
}

#[test]
fn a_proxy_has_as_many_as_there_may_be() {
    let clients = clients(100, 2);
    let all: Vec<_> = (0..50).map(|_| admit(&clients, "127.0.0.1").unwrap()).collect();
    assert!(!all.iter().any(is_told));
}

#[test]
fn if_all_places_are_taken_the_address_that_has_most_makes_room() {
    let clients = clients(4, 100);
    let other = admit(&clients, "192.0.2.2").unwrap();
    let mut many: Vec<_> = (0..3).map(|_| admit(&clients, "192.0.2.1").unwrap()).collect();
    many[0].client().begin_request();
    assert!(matches!(clients.admit("192.0.2.3".parse().unwrap()), Admission::WhenFreed));
    assert_eq!([&other, &many[0], &many[1], &many[2]].map(is_told), [false, false, true, false]);
    // None more is told to end while one is ending.
    assert!(matches!(clients.admit("192.0.2.3".parse().unwrap()), Admission::WhenFreed));
    assert!(!is_told(&many[2]));
    // But one that got a request just before it was told makes no room soon: the next is told.
    many[1].client().begin_request();
    assert!(matches!(clients.admit("192.0.2.3".parse().unwrap()), Admission::WhenFreed));
    assert!(is_told(&many[2]));
    many[2].client().begin_request();
    other.client().begin_request();
    assert!(matches!(clients.admit("192.0.2.3".parse().unwrap()), Admission::Refused));
    other.client().end_request();
    many.remove(1);
    assert!(clients.freed().now_or_never().is_some());
    let newcomer = admit(&clients, "192.0.2.3").expect("there is room now");
    for busy in [&other, &many[0], &many[1], &newcomer] {
        busy.client().begin_request();
    }
    assert!(matches!(clients.admit("192.0.2.4".parse().unwrap()), Admission::Refused));
}

#[test]
fn nothing_is_kept_of_clients_that_are_gone() {
    let clients = clients(4, 1);
    for n in 0..100 {
        drop(admit(&clients, &format!("192.0.2.{n}")).unwrap());
    }
    let table = clients.lock();
    assert_eq!((table.open.len(), table.of_address.len(), table.ending.len()), (0, 0, 0));
}

#[test]
fn at_the_end_all_are_told_and_nobody_comes_in() {
    let clients = clients(4, 4);
    let one = admit(&clients, "192.0.2.1").unwrap();
    let mut ending = Box::pin(clients.end_all());
    assert!((&mut ending).now_or_never().is_none());
    assert!(is_told(&one));
    assert!(matches!(clients.admit("192.0.2.1".parse().unwrap()), Admission::Refused));
    drop(one);
    assert!(ending.now_or_never().is_some());
}

#[test]
fn a_proxy_is_believed_whose_requests_it_passes_on_and_nobody_else() {
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
