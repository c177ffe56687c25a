//! Statistics of hooks.

use std::time::Duration;

use super::{OTHER_TENANT, TENANT, World};
use crate::domain::hook_stats::{AttemptEnd, AttemptStats, HookHour, Hour};
use crate::domain::{HookId, NodeNumber, TenantId};

const HOUR: i64 = 500_000;

fn counted(tenant: TenantId, hook: i64, hour: i64, end: AttemptEnd) -> HookHour {
    let mut stats = AttemptStats::default();
    stats.add(end, (end != AttemptEnd::Dropped).then(|| Duration::from_millis(hook.unsigned_abs() + 1)));
    HookHour { tenant, hook: HookId(hook), hour: Hour(hour), stats }
}

fn sum(parts: &[&HookHour]) -> AttemptStats {
    let mut sum = AttemptStats::default();
    parts.iter().for_each(|part| sum.merge(&part.stats));
    sum
}

/// Of several calls, nodes and hooks. What is old is removed in steps.
pub async fn counts_of_attempts_add_up(world: &World) {
    let store = &world.storage.hook_stats;
    let rows = [
        counted(TENANT, 1, HOUR, AttemptEnd::Succeeded),
        counted(TENANT, 1, HOUR + 2, AttemptEnd::Rejected),
        counted(TENANT, 2, HOUR, AttemptEnd::Dropped),
        counted(OTHER_TENANT, 3, HOUR + 1, AttemptEnd::TimedOut),
    ];
    store.add_stats(NodeNumber(0), &[]).await.unwrap();
    store.add_stats(NodeNumber(0), &rows).await.unwrap();
    store.add_stats(NodeNumber(0), &rows[..2]).await.unwrap();
    store.add_stats(NodeNumber(1), &rows[..1]).await.unwrap();
    let stats = async |tenant, hook, first, last| {
        let hours = store.stats(tenant, hook, Hour(first), Hour(last)).await.unwrap();
        hours.into_iter().map(|(hour, stats)| (hour.0, stats)).collect::<Vec<_>>()
    };
    let [first, later, dropped, other] = [&rows[0], &rows[1], &rows[2], &rows[3]];
    let of_first = (HOUR, sum(&[first, first, first]));
    let of_later = (HOUR + 2, sum(&[later, later]));
    let one = Some(HookId(1));
    assert_eq!(stats(TENANT, one, HOUR, HOUR + 2).await, [of_first.clone(), of_later.clone()]);
    assert_eq!(stats(TENANT, one, HOUR, HOUR + 1).await, [of_first]);
    assert_eq!(stats(TENANT, one, HOUR + 1, HOUR + 2).await, std::slice::from_ref(&of_later));
    let all = (HOUR, sum(&[first, first, first, dropped]));
    assert_eq!(stats(TENANT, None, HOUR - 100, HOUR + 60).await, [all, of_later.clone()]);
    assert_eq!(stats(OTHER_TENANT, None, HOUR, HOUR + 2).await, [(HOUR + 1, other.stats.clone())]);
    assert_eq!(stats(OTHER_TENANT, one, HOUR, HOUR + 2).await, []);

    assert_eq!(store.remove_stats_before(Hour(HOUR + 2), 2).await.unwrap(), 2);
    assert_eq!(store.remove_stats_before(Hour(HOUR + 2), 9).await.unwrap(), 2);
    assert_eq!(store.remove_stats_before(Hour(HOUR + 2), 9).await.unwrap(), 0);
    assert_eq!(stats(TENANT, None, HOUR, HOUR + 2).await, [of_later]);
}
