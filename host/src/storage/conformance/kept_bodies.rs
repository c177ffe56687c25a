//! Bodies of requests that hooks have kept.

use super::{NOW, OTHER_TENANT, TENANT, World};
use crate::domain::kept_body::KeptBody;
use crate::domain::{DeliveryState, OrderingGroup, RequestBody, UnixMillis};
use crate::storage::{LeftGroup, Record};

/// Each is stored with its attempt, is read by its tenant until it expires, and is then removed in steps.
pub async fn bodies_are_kept_until_they_expire(world: &World) {
    let store = &world.storage.kept_bodies;
    let (hook, mut attempts) = (world.stored_hook().await, Vec::new());
    let at = |after: i64| UnixMillis(NOW.0 + after);
    let long = vec![7; KeptBody::MAX_LEN + 1];
    for (number, body, state) in [
        (1, RequestBody::Text("{}".into()), DeliveryState::Succeeded),
        (2, RequestBody::Binary(vec![0, 159, 255]), DeliveryState::Exhausted),
        (3, RequestBody::None, DeliveryState::Succeeded),
        (4, RequestBody::Binary(long), DeliveryState::Waiting),
    ] {
        let id = world.delivery_in(hook, DeliveryState::Delivering).await;
        let kept_body = Some(Box::new(KeptBody::of(&body, at(number))));
        // Records by which a delivery leaves its group are written in another way.
        let group = OrderingGroup { hook, key: "k".parse().unwrap() };
        let leaves = (state == DeliveryState::Waiting).then_some(LeftGroup { group, at: NOW });
        let record = Record { kept_body, leaves, ..world.record_of(id, state) };
        let attempt = record.attempt.as_ref().unwrap().id;
        // The second time as after a lost answer.
        world.record(record.clone()).await;
        world.record(record).await;
        let bytes = body.as_bytes();
        attempts.push((attempt, bytes[..bytes.len().min(KeptBody::MAX_LEN)].to_vec()));
    }
    let without =
        world.record_of(world.delivery_in(hook, DeliveryState::Delivering).await, DeliveryState::Succeeded);
    let other = without.attempt.as_ref().unwrap().id;
    world.record(without).await;

    let kept = async |now| {
        let mut kept = Vec::new();
        for (attempt, bytes) in &attempts {
            assert_eq!(store.kept_body(OTHER_TENANT, *attempt, now).await.unwrap(), None);
            if let Some(body) = store.kept_body(TENANT, *attempt, now).await.unwrap() {
                assert_eq!(body, *bytes);
                kept.push(*attempt);
            }
        }
        kept
    };
    let ids: Vec<_> = attempts.iter().map(|(id, _)| *id).collect();
    assert_eq!(kept(NOW).await, ids);
    assert_eq!(store.kept_body(TENANT, other, NOW).await.unwrap(), None);
    assert_eq!(kept(at(2)).await, ids[2..], "what has expired is not shown, though it is there");
    assert_eq!(store.remove_expired_bodies(at(3), 2).await.unwrap(), 2);
    assert_eq!(kept(NOW).await, ids[2..]);
    assert_eq!(store.remove_expired_bodies(at(3), 2).await.unwrap(), 1);
    assert_eq!(store.remove_expired_bodies(at(3), 2).await.unwrap(), 0);
    assert_eq!(kept(NOW).await, ids[3..]);
}
