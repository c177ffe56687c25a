//! Which deliveries a request names.

use std::cmp::Reverse;

use crate::api::params::Params;
use crate::api::problem::Problem;
use crate::domain::{
    Delivery, DeliveryId, DeliveryState, EventId, HookId, Invalid, TenantId, TypePattern, UnixMillis,
};
use crate::storage::{DeliveryQuery, Listed, Storage};

/// The filters of a list of deliveries.
#[derive(Debug, Clone, Default)]
pub(super) struct DeliveryFilter {
    /// Only deliveries in one of these states; empty: in any.
    pub states: Vec<DeliveryState>,
    hook: Option<HookId>,
    event: Option<EventId>,
    event_type: Option<TypePattern>,
    since: Option<UnixMillis>,
    until: Option<UnixMillis>,
}

impl DeliveryFilter {
    /// The filters in the query of a request.
    pub(super) fn of(params: &Params) -> Result<Self, Problem> {
        let event = params.get("event");
        if event.is_some_and(|id| id.len() > EventId::MAX_LEN) {
            let rule = format!("an event's id has at most {} bytes", EventId::MAX_LEN);
            return Err(Problem::parameter("event", rule));
        }
        let event_type = params.parse("type")?;
        let (states, hook) = (states(params.get("state"))?, params.parse("hook")?);
        let (since, until) = params.since_and_until()?;
        Ok(Self {
            states,
            hook,
            event: event.map(EventId::from_path),
            event_type: event_type.filter(|pattern| *pattern != TypePattern::Any),
            since,
            until,
        })
    }

    /// The tenant's deliveries that are selected, newest first, older than `before`.
    pub(super) async fn list(
        &self,
        storage: &Storage,
        tenant: TenantId,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Listed, Problem> {
        if let Some(event) = &self.event {
            return self.of_event(storage, tenant, event, before).await;
        }
        let query = |state| DeliveryQuery {
            hook: self.hook,
            state,
            event_type: self.event_type.clone(),
            since: self.since,
            until: self.until,
            before,
            limit,
        };
        let states = self.states.iter().copied().map(Some);
        let states: Vec<_> = if self.states.is_empty() { vec![None] } else { states.collect() };
        // Each state has its own index.
        let mut lists = Vec::with_capacity(states.len());
        for state in states {
            lists.push(storage.deliveries.list(tenant, &query(state)).await?);
        }
        Ok(merged(lists, limit as usize))
    }

    async fn of_event(
        &self,
        storage: &Storage,
        tenant: TenantId,
        event: &EventId,
        before: Option<DeliveryId>,
    ) -> Result<Listed, Problem> {
        let Some(event) = storage.events.event(tenant, event).await? else {
            return Ok(Listed { deliveries: Vec::new(), searched_to: None });
        };
        let mut deliveries = storage.deliveries.of_event(tenant, event.key).await?;
        deliveries.reverse();
        deliveries
            .retain(|delivery| self.selects(delivery) && before.is_none_or(|before| delivery.id < before));
        Ok(Listed { deliveries, searched_to: None })
    }

    fn selects(&self, delivery: &Delivery) -> bool {
        let made = delivery.id.created_at();
        (self.states.is_empty() || self.states.contains(&delivery.state))
            && self.hook.is_none_or(|hook| delivery.hook == hook)
            && self.event_type.as_ref().is_none_or(|pattern| pattern.matches(&delivery.event_type))
            && self.since.is_none_or(|since| made >= since)
            && self.until.is_none_or(|until| made < until)
    }
}

fn states(text: Option<&str>) -> Result<Vec<DeliveryState>, Problem> {
    let states = text.into_iter().flat_map(|text| text.split(',')).map(str::parse);
    let states: Result<Vec<DeliveryState>, Invalid> = states.collect();
    let mut states = states.map_err(|Invalid(rule)| {
        Problem::parameter("state", format!("{rule}; several states are separated by commas"))
    })?;
    states.sort_unstable_by_key(|state| *state as u8);
    states.dedup();
    Ok(states)
}

/// Several lists with the same limit as one, newest first. It ends where the first of them ends early, since what follows
/// there is unknown.
fn merged(mut lists: Vec<Listed>, limit: usize) -> Listed {
    if lists.len() == 1 {
        return lists.remove(0);
    }
    let end = lists.iter().filter_map(|list| list.searched_to).max();
    let mut deliveries: Vec<Delivery> = lists.into_iter().flat_map(|list| list.deliveries).collect();
    deliveries.retain(|delivery| end.is_none_or(|end| delivery.id >= end));
    deliveries.sort_unstable_by_key(|delivery| Reverse(delivery.id));
    // One that changed its state between two of the lists.
    deliveries.dedup_by_key(|delivery| delivery.id);
    deliveries.truncate(limit);
    let searched_to = end.filter(|_| deliveries.len() < limit);
    Listed { deliveries, searched_to }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventKey, Trigger};

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
        for (lists, ids, searched_to) in [
            (vec![listed(&[9, 5], None), listed(&[8, 6], None)], vec![9, 8, 6], None),
            (vec![listed(&[9, 5], None), listed(&[], Some(7))], vec![9], Some(7)),
            (vec![listed(&[9, 8, 7], None), listed(&[], Some(6))], vec![9, 8, 7], None),
            (vec![listed(&[9, 8, 4], None), listed(&[6], Some(5))], vec![9, 8, 6], None),
            (vec![listed(&[4], Some(3)), listed(&[6], Some(5))], vec![6], Some(5)),
            (vec![listed(&[4], None), listed(&[4], None)], vec![4], None),
        ] {
            let found = merged(lists, 3);
            let found_ids: Vec<i64> = found.deliveries.iter().map(|delivery| delivery.id.0).collect();
            assert_eq!((found_ids, found.searched_to), (ids, searched_to.map(DeliveryId)));
        }
    }

    #[test]
    fn states_are_separated_by_commas() {
        use DeliveryState::*;
        assert_eq!(states(None).unwrap(), []);
        assert_eq!(states(Some("waiting")).unwrap(), [Waiting]);
        assert_eq!(states(Some("exhausted,waiting,exhausted")).unwrap(), [Waiting, Exhausted]);
        for wrong in ["", "waiting,", "waiting, exhausted", "other"] {
            assert!(states(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
