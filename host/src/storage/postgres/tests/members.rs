//! Nodes that join, leave and die.

use std::sync::Arc;

use super::*;
use crate::domain::{DeliveryState, HookId, Members, NodeNumber};
use crate::storage::{Accepted, Membership};

/// Applies what the node sees at once, as a dispatcher without anything in flight does.
fn apply(membership: Arc<Membership>) {
    let mut changes = membership.changes();
    tokio::spawn(async move {
        loop {
            let view = changes.borrow_and_update().view().clone();
            membership.set_applied(&view);
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
}

async fn join(database: &TestDatabase, name: &str) -> PostgresDatabase {
    let opened = database.open(name).await;
    apply(opened.membership());
    opened
}

/// Waits until each node sees these numbers, and all have applied it.
async fn agreed(nodes: &[&PostgresDatabase], numbers: &[u16]) -> Vec<Members> {
    let mut all = Vec::new();
    for node in nodes {
        let is_so = |members: &Members| {
            let seen = members.view().members().iter().map(|member| member.node.0);
            // A node that joins is one that drains until its engine has started.
            let all_started = members.view().members().iter().all(|member| !member.draining);
            members.is_agreed() && all_started && seen.eq(numbers.iter().copied())
        };
        let mut changes = node.membership().changes();
        let members = tokio::time::timeout(std::time::Duration::from_secs(60), changes.wait_for(is_so)).await;
        all.push(members.expect("they agree in time").unwrap().clone());
    }
    all
}

/// Each hook has one owner among the nodes, and its limit is divided.
fn check_division(members: &[Members]) {
    for hook in (1..200).map(HookId) {
        assert_eq!(members.iter().filter(|one| one.owns(hook)).count(), 1);
        assert_eq!(members.iter().map(|one| one.share(7, hook)).sum::<usize>(), 7);
    }
}

/// Takes the node's work over, as another one does that believes that it is dead.
async fn take_over(by: &PostgresDatabase, node: NodeNumber, epoch: i64) {
    let mut transaction = by.stores.pool().begin().await.unwrap();
    take_over_in(&mut transaction, node, epoch).await;
    transaction.commit().await.unwrap();
}

async fn take_over_in(transaction: &mut PgConnection, node: NodeNumber, epoch: i64) {
    let sql = "UPDATE nodes SET heartbeat_at = heartbeat_at - interval '11 seconds' WHERE number = $1";
    sqlx::query(sql).bind(i32::from(node.0)).execute(&mut *transaction).await.unwrap();
    let query = sqlx::query_scalar("SELECT take_over($1, $2)").bind(i32::from(node.0)).bind(epoch);
    let taken: Option<i64> = query.fetch_one(&mut *transaction).await.unwrap();
    assert!(taken.is_some());
}

#[tokio::test]
async fn nodes_that_join_leave_and_return_divide_the_hooks() {
    let database = create!();
    let one = join(&database, "one").await;
    check_division(&agreed(&[&one], &[1]).await);
    let (two, three) = (join(&database, "two").await, join(&database, "three").await);
    let before = agreed(&[&one, &two, &three], &[1, 2, 3]).await;
    check_division(&before);

    // One that is shutting down owns nothing, and keeps its part until it has ended.
    three.membership().drain();
    let mut changes = one.membership().changes();
    let drains = |members: &Members| members.view().members().iter().any(|member| member.draining);
    let draining = changes.wait_for(|members| drains(members) && members.is_agreed()).await.unwrap().clone();
    assert!((1..200).map(HookId).all(|hook| draining.owner(hook) != Some(NodeNumber(3))));
    assert_eq!(draining.share(9, HookId(1)), 3);
    three.close().await.unwrap();
    check_division(&agreed(&[&one, &two], &[1, 2]).await);

    // One whose work was taken over returns as another.
    let epoch = two.stores.session.epoch();
    take_over(&one, NodeNumber(2), epoch).await;
    let mut changes = two.membership().changes();
    let returned = |members: &Members| {
        members.is_agreed() && members.view().members().iter().any(|member| member.epoch == epoch + 2)
    };
    changes.wait_for(returned).await.unwrap();
    let after = agreed(&[&one, &two], &[1, 2]).await;
    check_division(&after);
    assert_eq!(two.stores.session.epoch(), epoch + 2);
    for hook in (1..200).map(HookId).filter(|hook| before[0].owns(*hook)) {
        assert!(after[0].owns(hook), "a hook whose owner stays moves nowhere");
    }
}

#[tokio::test]
async fn a_node_that_returns_records_what_was_in_flight_and_accepts_again() {
    let database = create!();
    let (one, two) = (join(&database, "one").await, join(&database, "two").await);
    agreed(&[&one, &two], &[1, 2]).await;
    let (first, second) =
        (World::of_node(one.stores(), NodeNumber(1)), World::of_node(two.stores(), NodeNumber(2)));
    let hook = first.stored_hook().await;
    let ids = [
        second.delivery_in(hook, DeliveryState::Delivering).await,
        second.delivery_in(hook, DeliveryState::Delivering).await,
    ];
    let term = two.membership().term();
    take_over(&one, NodeNumber(2), two.stores.session.epoch()).await;
    let mut changes = two.membership().changes();
    changes.wait_for(|members| two.membership().term() != term && members.is_agreed()).await.unwrap();
    assert!(!two.membership().holds(term));
    // The other node has claimed one of them meanwhile.
    let now = crate::domain::UnixMillis(i64::MAX / 2);
    let claimed = first.claim(hook, now, 1).await.remove(0).delivery;
    for id in ids {
        second.record(second.record_of(id, DeliveryState::Succeeded)).await;
        let delivery = first.delivery(id).await;
        let expected = if id == claimed.id { DeliveryState::Delivering } else { DeliveryState::Pending };
        assert_eq!(
            (delivery.state, delivery.attempts),
            (expected, 1),
            "its attempt is counted, and nothing else"
        );
    }
    let acceptance = second.event_for(hook, Some(LEASE_END));
    let new = acceptance.deliveries[0].id;
    // On a busy machine a heartbeat may be late: then the node is fenced until the next one.
    let accepted = loop {
        match second.storage.events.accept(vec![acceptance.clone()]).await {
            Err(StorageError::Fenced) => tokio::task::yield_now().await,
            accepted => break accepted.unwrap(),
        }
    };
    assert_eq!(accepted, [Accepted::Stored]);
    second.record(second.record_of(new, DeliveryState::Succeeded)).await;
    assert_eq!(second.delivery(new).await.state, DeliveryState::Succeeded);
}

#[tokio::test]
async fn a_node_that_does_not_learn_that_it_has_joined_again_asks_again() {
    let database = create!();
    let (one, two) = (join(&database, "one").await, join(&database, "two").await);
    agreed(&[&one, &two], &[1, 2]).await;
    let session = &two.stores.session;
    for taken_over_again in [false, true] {
        let epoch = session.epoch();
        let mut transaction = one.stores.pool().begin().await.unwrap();
        take_over_in(&mut transaction, session.node, epoch).await;
        // The answer to this call reaches nobody.
        let query = sqlx::query_scalar("SELECT epoch FROM rejoin_process($1, $2)");
        let query = query.bind(session.number()).bind(session.process);
        let joined: Option<i64> = query.fetch_optional(&mut *transaction).await.unwrap();
        assert_eq!(joined, Some(epoch + 2));
        if taken_over_again {
            take_over_in(&mut transaction, session.node, epoch + 2).await;
        }
        transaction.commit().await.unwrap();
        let mut changes = two.membership().changes();
        let expected = if taken_over_again { epoch + 4 } else { epoch + 2 };
        let has_joined = |members: &Members| {
            members.is_agreed() && members.view().members().iter().any(|member| member.epoch == expected)
        };
        changes.wait_for(has_joined).await.unwrap();
        assert_eq!(session.epoch(), expected);
        assert!(!session.over.is_cancelled());
    }
    let world = World::of_node(two.stores(), NodeNumber(2));
    world.storage.events.accept(vec![world.event()]).await.unwrap();
}

#[tokio::test]
async fn a_fenced_node_accepts_nothing() {
    let database = create!();
    let one = database.open("one").await;
    let world = World::of_node(one.stores(), NodeNumber(1));
    // Its heartbeat ends.
    one.stores.session.over.cancel();
    one.membership().fence();
    let refused = world.storage.events.accept(vec![world.event()]).await;
    assert!(matches!(refused, Err(StorageError::Fenced)), "{refused:?}");
}

#[tokio::test]
async fn what_becomes_due_is_found_without_a_look_at_each_hook() {
    let database = create!();
    let one = database.open("one").await;
    let world = World::of_node(one.stores(), NodeNumber(1));
    let hook = world.stored_hook().await;
    world.delivery_in(hook, DeliveryState::Pending).await;
    let other = world.stored_hook().await;
    world.delivery_in(other, DeliveryState::Waiting).await;
    let at = |after: i64| crate::domain::UnixMillis(NOW.0 + after);
    for (from, until, expected) in [
        (-1, 0, vec![(hook, 0)]),
        (0, 4_999, vec![]),
        (0, 5_000, vec![(other, 5_000)]),
        (-1, 5_000, vec![(hook, 0), (other, 5_000)]),
    ] {
        let found = world.storage.deliveries.due_between(at(from), at(until), &[]).await.unwrap().unwrap();
        let mut found: Vec<_> = found.into_iter().map(|it| (it.hook, it.first_due_at.0 - NOW.0)).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{from} to {until}");
    }
    let unknown = world.storage.deliveries.due_between(at(-1), at(5_000), &[hook]).await.unwrap().unwrap();
    assert_eq!(unknown.into_iter().map(|it| it.hook).collect::<Vec<_>>(), [other]);
}

/// Such as what a node with a slow clock gave back.
#[tokio::test]
async fn what_had_become_due_before_the_last_claim_is_claimed_after_a_change_of_the_nodes() {
    let database = create!();
    let opened = database.open("one").await;
    let world = world(&opened).await;
    let hook = world.stored_hook().await;
    world.delivery_in(hook, DeliveryState::Pending).await;
    assert_eq!(world.claim(hook, NOW, 10).await.len(), 1);
    let mut late = world.event_for(hook, None);
    late.deliveries[0].due_at = crate::domain::UnixMillis(NOW.0 - 60_000);
    let id = late.deliveries[0].id;
    world.store(late).await;
    let membership = opened.membership();
    membership.set_applied(membership.members().view());
    let claimed = world.claim(hook, NOW, 10).await;
    assert_eq!(claimed.iter().map(|one| one.delivery.id).collect::<Vec<_>>(), [id]);
}
