//! Lists of the deliveries that a filter selects.

use std::cmp::Reverse;

use crate::domain::{Delivery, DeliveryFilter, DeliveryId, DeliveryState, EventId, TenantId};
use crate::storage::{DeliveryQuery, ListOrder, Listed, NoteFilter, Storage, StorageError};

/// The part of a list that is wanted.
#[derive(Debug, Clone, Copy)]
pub enum ListPart {
    /// Newest first, older than this one.
    Before(Option<DeliveryId>),
    /// Oldest first, newer than this one.
    After(DeliveryId),
}

impl ListPart {
    fn order(self) -> ListOrder {
        match self {
            Self::Before(_) => ListOrder::NewestFirst,
            Self::After(_) => ListOrder::OldestFirst,
        }
    }

    fn contains(self, id: DeliveryId) -> bool {
        match self {
            Self::Before(before) => before.is_none_or(|before| id < before),
            Self::After(after) => id > after,
        }
    }
}

/// The tenant's deliveries that `filter` selects: about `limit`, in order.
///
/// # Errors
/// If storage fails.
pub async fn list_filtered(
    storage: &Storage,
    tenant: TenantId,
    filter: &DeliveryFilter,
    part: ListPart,
    limit: u32,
) -> Result<Listed, StorageError> {
    if let Some(event) = &filter.event {
        return of_event(storage, tenant, (filter, event), part).await;
    }
    let (before, after) = match part {
        ListPart::Before(before) => (before, None),
        ListPart::After(after) => (None, Some(after)),
    };
    let query = |state: Option<DeliveryState>| DeliveryQuery {
        hook: filter.hook,
        state,
        event_type: filter.event_type.clone(),
        since: filter.since,
        until: filter.until,
        before,
        after,
        order: part.order(),
        limit,
    };
    let states = filter.states.iter().copied().map(Some);
    let states: Vec<_> = if filter.states.is_empty() { vec![None] } else { states.collect() };
    // Each state has its own index.
    let mut lists = Vec::with_capacity(states.len());
    for state in states {
        lists.push(storage.deliveries.list(tenant, &query(state)).await?);
    }
    Ok(merged(lists, part.order(), limit as usize))
}

/// The tenant's deliveries whose notes are `wanted` and that `filter` selects, newest first: about `limit`, older than
/// `before`. At least one condition of `wanted` is set.
///
/// # Errors
/// If storage fails.
pub async fn list_noted(
    storage: &Storage,
    tenant: TenantId,
    (wanted, filter): (NoteFilter, &DeliveryFilter),
    before: Option<DeliveryId>,
    limit: u32,
) -> Result<Listed, StorageError> {
    let event = match &filter.event {
        Some(id) => match storage.events.event(tenant, id).await? {
            Some(event) => Some(event.key),
            None => return Ok(Listed { deliveries: Vec::new(), searched_to: None }),
        },
        None => None,
    };
    let mut listed = storage.delivery_notes.list_noted(tenant, wanted, before, limit).await?;
    listed
        .deliveries
        .retain(|delivery| filter.selects(delivery) && event.is_none_or(|event| delivery.event == event));
    Ok(listed)
}

async fn of_event(
    storage: &Storage,
    tenant: TenantId,
    (filter, event): (&DeliveryFilter, &EventId),
    part: ListPart,
) -> Result<Listed, StorageError> {
    let Some(event) = storage.events.event(tenant, event).await? else {
        return Ok(Listed { deliveries: Vec::new(), searched_to: None });
    };
    let mut deliveries = storage.deliveries.of_event(tenant, event.key).await?;
    if part.order() == ListOrder::NewestFirst {
        deliveries.reverse();
    }
    deliveries.retain(|delivery| filter.selects(delivery) && part.contains(delivery.id));
    Ok(Listed { deliveries, searched_to: None })
}

/// Several lists with the same order and limit as one. It ends where the first of them ends early, since what follows there
/// is unknown.
fn merged(mut lists: Vec<Listed>, order: ListOrder, limit: usize) -> Listed {
    if lists.len() == 1 {
        return lists.remove(0);
    }
    let is_newest_first = order == ListOrder::NewestFirst;
    let ends = lists.iter().filter_map(|list| list.searched_to);
    let end = if is_newest_first { ends.max() } else { ends.min() };
    let mut deliveries: Vec<Delivery> = lists.into_iter().flat_map(|list| list.deliveries).collect();
    let is_before_end =
        |id: DeliveryId| end.is_none_or(|end| if is_newest_first { id >= end } else { id <= end });
    deliveries.retain(|delivery| is_before_end(delivery.id));
    match order {
        ListOrder::NewestFirst => deliveries.sort_unstable_by_key(|delivery| Reverse(delivery.id)),
        ListOrder::OldestFirst => deliveries.sort_unstable_by_key(|delivery| delivery.id),
    }
    // One that changed its state between two of the lists.
    deliveries.dedup_by_key(|delivery| delivery.id);
    deliveries.truncate(limit);
    let searched_to = end.filter(|_| deliveries.len() < limit);
    Listed { deliveries, searched_to }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventKey, HookId, Trigger};

    fn listed(ids: &[i64], searched_to: Option<i64>) -> Listed {
        let delivery = |id| Delivery {
            id: DeliveryId(id),
            tenant: TenantId(1),
            hook: HookId(2),
            event: EventKey(3),
            event_type: "a".parse().unwrap(),
            trigger: Trigger::Event,
            state: DeliveryState::Waiting,
            attempts: 0,
            failures: 0,
            due_at: None,
            lease: None,
        };
        let deliveries = ids.iter().copied().map(delivery).collect();
        Listed { deliveries, searched_to: searched_to.map(DeliveryId) }
    }

    #[test]
    fn lists_merge_without_a_gap() {
        use ListOrder::*;
        for (lists, order, ids, searched_to) in [
            (vec![listed(&[9, 5], None), listed(&[8, 6], None)], NewestFirst, vec![9, 8, 6], None),
            (vec![listed(&[9, 5], None), listed(&[], Some(7))], NewestFirst, vec![9], Some(7)),
            (vec![listed(&[9, 8, 7], None), listed(&[], Some(6))], NewestFirst, vec![9, 8, 7], None),
            (vec![listed(&[9, 8, 4], None), listed(&[6], Some(5))], NewestFirst, vec![9, 8, 6], None),
            (vec![listed(&[4], Some(3)), listed(&[6], Some(5))], NewestFirst, vec![6], Some(5)),
            (vec![listed(&[4], None), listed(&[4], None)], NewestFirst, vec![4], None),
            (vec![listed(&[5, 9], None), listed(&[6, 8], None)], OldestFirst, vec![5, 6, 8], None),
            (vec![listed(&[5, 9], None), listed(&[], Some(7))], OldestFirst, vec![5], Some(7)),
            (vec![listed(&[6], Some(7)), listed(&[4], Some(5))], OldestFirst, vec![4], Some(5)),
        ] {
            let found = merged(lists, order, 3);
            let found_ids: Vec<i64> = found.deliveries.iter().map(|delivery| delivery.id.0).collect();
            assert_eq!((found_ids, found.searched_to), (ids, searched_to.map(DeliveryId)));
        }
    }
}
