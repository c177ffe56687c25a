use std::sync::Arc;

use tokio::runtime::Handle;

use super::*;
use crate::delivery::HookHealthMonitor;
use crate::delivery::dispatcher::StartAttempt;
use crate::delivery::limits::DispatcherLimits;
use crate::delivery::testing::{self, Collector, work};
use crate::domain::members::agreed;
use crate::domain::{HookId, NodeNumber, TenantId, UnixMillis};
use crate::storage::{Membership, Term};

const NODE: u16 = 1;

/// A dispatcher of node 1, and what it starts.
fn followed(in_flight_per_hook: usize) -> (Arc<Dispatcher>, Arc<Collector>, Arc<Membership>) {
    let membership = Membership::joining(NodeNumber(NODE));
    let limits = DispatcherLimits { in_flight_per_hook, ..testing::limits() };
    let (dispatcher, collector) = (
        Dispatcher::beside(Arc::clone(&membership), limits, HookHealthMonitor::in_memory()),
        Arc::new(Collector::default()),
    );
    dispatcher.start(Arc::clone(&collector) as Arc<dyn StartAttempt>, Handle::current());
    tokio::spawn(follow(Arc::clone(&dispatcher)));
    (dispatcher, collector, membership)
}

/// A hook that node 1 owns beside node 2, or does not.
fn hook(owned: bool) -> i64 {
    let both = agreed(&[NODE, 2]);
    (1..).find(|hook| both.owns(HookId(*hook)) == owned).unwrap()
}

/// The nodes change, and the dispatcher has applied it.
async fn see(membership: &Membership, nodes: &[u16], is_agreed: bool) {
    let view = agreed(nodes).view().clone();
    membership.see(view.clone(), is_agreed);
    while membership.applied() != view.id() {
        membership.beat_wanted().await;
    }
}

#[tokio::test]
async fn a_node_starts_its_part_and_what_it_may_not_start_is_given_back() {
    let (dispatcher, collector, membership) = followed(1);
    assert!(dispatcher.reserve(work(1, hook(true), 1), UnixMillis(0)).is_none(), "it has no part yet");
    see(&membership, &[NODE], true).await;
    let works = [(hook(true), 1), (hook(false), 2), (hook(false), 3)];
    let works = works.map(|(hook, number)| dispatcher.reserve(work(1, hook, number), UnixMillis(0)).unwrap());
    dispatcher.push_reserved(works.to_vec());
    let mut started = collector.take();
    assert_eq!(started.len(), 2);
    assert!(started.iter().all(|(work, permit)| permit.may_start(work)));
    // Node 2 joins, and owns a hook that can have one request in flight.
    membership.see(agreed(&[NODE, 2]).view().clone(), true);
    while dispatcher.queue().most_in_flight(HookId(hook(false)), TenantId(1)) > 0 {
        tokio::task::yield_now().await;
    }
    assert!(!dispatcher.may_start(&started[1].0));
    assert!(dispatcher.may_start(&started[0].0));
    assert!(dispatcher.reserve(work(1, hook(false), 4), UnixMillis(0)).is_none());
    assert!(dispatcher.reserve(work(1, hook(true), 5), UnixMillis(0)).is_some());
    drop(started.remove(1));
    collector.started.notified().await;
    let mut given_back = collector.take();
    while given_back.is_empty() {
        collector.started.notified().await;
        given_back = collector.take();
    }
    let (work, permit) = given_back.remove(0);
    assert!(work.delivery.0 == 3 && !permit.may_start(&work));
    drop(permit);
    // Only now others may start requests of the hook.
    while membership.applied() != agreed(&[NODE, 2]).view().id() {
        membership.beat_wanted().await;
    }
}

#[tokio::test]
async fn a_fenced_node_starts_nothing_until_it_beats_again() {
    let (dispatcher, collector, membership) = followed(5);
    see(&membership, &[NODE], true).await;
    let first = dispatcher.reserve(work(1, 1, 1), UnixMillis(0)).unwrap();
    membership.fence();
    assert!(!dispatcher.may_start(&first));
    dispatcher.push_reserved(vec![first]);
    assert!(collector.take().is_empty());
    membership.see(agreed(&[NODE]).view().clone(), true);
    collector.started.notified().await;
    let started = collector.take();
    assert!(started[0].1.may_start(&started[0].0), "nobody took it over");
}

#[tokio::test]
async fn what_came_into_memory_before_a_takeover_is_not_sent() {
    let (dispatcher, collector, membership) = followed(5);
    see(&membership, &[NODE], true).await;
    let old = dispatcher.reserve(work(1, 1, 1), UnixMillis(0)).unwrap();
    membership.lose();
    see(&membership, &[NODE], true).await;
    dispatcher.push_reserved(vec![old]);
    let started = collector.take();
    assert!(started.iter().all(|(work, permit)| work.term == Term::FIRST && !permit.may_start(work)));
    drop(started);
    let new = dispatcher.reserve(work(1, 1, 2), UnixMillis(0)).unwrap();
    dispatcher.push_reserved(vec![new]);
    let started = collector.take();
    assert!(started.iter().any(|(work, permit)| work.delivery.0 == 2 && permit.may_start(work)));
}
