use super::*;
use crate::domain::{DeliveryId, EventKey, HookId, Trigger};

fn change(tenant: i64, number: i64) -> Arc<DeliveryChange> {
    let delivery = Delivery {
        id: DeliveryId(number),
        tenant: TenantId(tenant),
        hook: HookId(1),
        event: EventKey(1),
        event_type: "a.b".parse().unwrap(),
        trigger: Trigger::Event,
        state: DeliveryState::Pending,
        attempts: 0,
        failures: 0,
        due_at: None,
        lease: None,
    };
    let (kind, at) = (ChangeKind::Created, UnixMillis(0));
    Arc::new(DeliveryChange { kind, at, delivery, event_id: None, attempt: None })
}

#[tokio::test]
async fn each_watcher_sees_its_own_tenant() {
    let live = Arc::<LiveChanges>::default();
    let mut watches = [live.watch(TenantId(1)).unwrap(), live.watch(TenantId(1)).unwrap()];
    let mut other = live.watch(TenantId(2)).unwrap();
    live.tell(change(1, 7));
    for watch in &mut watches {
        assert_eq!(watch.next().await.unwrap().delivery.id, DeliveryId(7));
    }
    assert!(other.try_next().is_none());
    assert!(live.is_watched(TenantId(1)) && !live.is_watched(TenantId(3)));
    drop(watches);
    assert!(!live.is_watched(TenantId(1)) && live.is_watched(TenantId(2)));
    live.close();
    assert!(other.next().await.is_none());
}

#[tokio::test]
async fn a_slow_watcher_learns_how_much_it_missed() {
    let live = Arc::<LiveChanges>::default();
    let mut watch = live.watch(TenantId(1)).unwrap();
    (0..MAX_QUEUED as i64 + 3).for_each(|number| live.tell(change(1, number)));
    assert_eq!((watch.take_missed(), watch.take_missed()), (3, 0));
    let seen = std::iter::from_fn(|| watch.try_next()).count();
    assert_eq!(seen, MAX_QUEUED);
}

#[test]
fn watchers_are_bounded() {
    let live = Arc::<LiveChanges>::default();
    let of_one: Vec<_> = (0..MAX_WATCHERS_OF_TENANT).map(|_| live.watch(TenantId(1)).unwrap()).collect();
    assert!(live.watch(TenantId(1)).is_err());
    let mut all = Vec::new();
    while let Ok(watch) = live.watch(TenantId(2 + all.len() as i64)) {
        all.push(watch);
    }
    assert_eq!(of_one.len() + all.len(), MAX_WATCHERS);
    drop(of_one);
    assert!(live.watch(TenantId(1)).is_ok());
}
