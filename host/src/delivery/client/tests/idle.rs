//! How many connections are idle, and for how long.

use crate::clock;

use super::*;

const OTHER: TenantId = TenantId(2);

/// One connection to each receiver, used once.
async fn used(client: &DeliveryClient, receivers: &[Receiver]) -> Vec<Peer> {
    let mut peers = Vec::new();
    for receiver in receivers {
        peers.push(receiver.used(client).await);
    }
    peers
}

#[tokio::test]
async fn beyond_the_limit_the_oldest_idle_connection_is_closed() {
    let client = client(2);
    let receivers = [Receiver::start().await, Receiver::start().await, Receiver::start().await];
    let mut peers = used(&client, &receivers).await;
    peers[0].is_closed().await;
    for kept in [1, 2] {
        let (outcome, _) =
            tokio::join!(client.request(post(receivers[kept].address())), peers[kept].serve(OK));
        assert_eq!(status(&outcome), 200);
    }
}

#[tokio::test]
async fn the_tenant_with_most_idle_connections_loses_its_oldest() {
    let (client, shared, own) = (client(2), Receiver::start().await, Receiver::start().await);
    let to_shared = || post(shared.address());
    // Two connections to one receiver: the other tenant's is the older one.
    let (theirs, ours, mut peers) =
        tokio::join!(client.request_of(OTHER, to_shared()), client.request(to_shared()), async {
            let mut peers = [shared.accept().await, shared.accept().await];
            for peer in &mut peers {
                peer.serve(OK).await;
                read_events().await;
            }
            peers
        });
    assert_eq!((status(&theirs), status(&ours)), (200, 200));
    own.used(&client).await;
    peers[1].is_closed().await;
    let (outcome, _) = tokio::join!(client.request_of(OTHER, to_shared()), peers[0].serve(OK));
    assert_eq!(status(&outcome), 200);
}

#[tokio::test]
async fn without_a_pool_every_connection_is_closed_after_its_request() {
    let (client, receiver) = (client(0), Receiver::start().await);
    receiver.used(&client).await.is_closed().await;
    receiver.used(&client).await.is_closed().await;
}

#[tokio::test]
async fn the_newest_is_used_first() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let address = receiver.address();
    let (one, other, mut peers) =
        tokio::join!(client.request(post(address)), client.request(post(address)), async {
            let mut peers = [receiver.accept().await, receiver.accept().await];
            peers[0].request().await;
            peers[1].serve(OK).await;
            // Not before the other one is idle.
            read_events().await;
            peers[0].say(OK).await;
            peers
        });
    assert_eq!((status(&one), status(&other)), (200, 200));
    let (outcome, _) = tokio::join!(client.request(post(address)), peers[0].serve(OK));
    assert_eq!(status(&outcome), 200);
}

#[tokio::test]
async fn a_connection_that_is_idle_for_too_long_is_closed_without_traffic() {
    let idle_timeout = Duration::from_millis(60);
    let (client, receiver) = (client_with(8, idle_timeout), Receiver::start().await);
    let mut peer = receiver.used(&client).await;
    peer.is_closed().await;
    // The client is still there: that was the sweep.
    receiver.used(&client).await;
}

#[tokio::test]
async fn a_connection_may_be_idle_for_a_minute_after_each_use() {
    let (client, receiver) = (client(8), Receiver::start().await);
    let pool = &client.pools[0];
    let began = clock::monotonic();
    assert_eq!(pool.close_old(began), began + IDLE_TIMEOUT);
    let mut peer = receiver.used(&client).await;
    let rests = clock::monotonic();
    // It is looked at again when it is too old, or before.
    let next = pool.close_old(rests + Duration::from_secs(50));
    assert!(next <= rests + IDLE_TIMEOUT && next > began + IDLE_TIMEOUT);
    let (outcome, _) = tokio::join!(client.request(post(receiver.address())), peer.serve(OK));
    assert_eq!(status(&outcome), 200);
    let rests_anew = pool.close_old(next - Duration::from_secs(2));
    assert!(rests_anew > next);
    pool.close_old(rests_anew);
    peer.is_closed().await;
}
