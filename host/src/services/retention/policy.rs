//! How long what is kept: the settings, and the tenants that differ from them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::{Tenant, TenantId};
use crate::storage::Trim;

/// How long data is kept of tenants that have no times of their own. `None`: for ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct RetentionDefaults {
    /// Events, with all that belongs to them.
    pub events: Option<Duration>,
    /// Attempts, if not as long as their events.
    pub attempts: Option<Duration>,
    /// Bodies of requests and responses, if not as long as their attempts.
    pub bodies: Option<Duration>,
    /// Ids of senders and idempotency keys, at least.
    pub names: Duration,
}

/// The tenants whose events are kept for the same time. They are deleted in one pass over all events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// For how long.
    pub keep: Duration,
    members: Members,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Members {
    /// Those that have this time of their own.
    These(Vec<TenantId>),
    /// All but those that have a time of their own.
    AllBut(Vec<TenantId>),
}

impl Class {
    /// Whether the events of this tenant are kept for this time.
    pub fn has(&self, tenant: TenantId) -> bool {
        match &self.members {
            Members::These(tenants) => tenants.binary_search(&tenant).is_ok(),
            Members::AllBut(tenants) => tenants.binary_search(&tenant).is_err(),
        }
    }

    /// Whether all tenants are in it.
    pub fn is_everybody(&self) -> bool {
        matches!(&self.members, Members::AllBut(others) if others.is_empty())
    }
}

/// What holds now.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Times for events. Tenants whose events are kept for ever are in none.
    pub classes: Vec<Class>,
    /// The tenants whose attempts or bodies are removed before their events, and after how long.
    pub trims: Vec<(TenantId, Trim, Duration)>,
    /// The longest time for which an event is kept; `None`: for ever.
    pub longest: Option<Duration>,
}

impl Policy {
    /// Of these tenants, which are all there are.
    pub fn of(defaults: &RetentionDefaults, tenants: &[impl AsRef<Tenant>]) -> Self {
        let (mut own, mut trims) = (BTreeMap::<Duration, Vec<TenantId>>::new(), Vec::new());
        for tenant in tenants.iter().map(AsRef::as_ref) {
            let kept = tenant.options.retention;
            if let Some(keep) = kept.events.filter(|keep| Some(*keep) != defaults.events) {
                own.entry(keep).or_default().push(tenant.id);
            }
            let events = kept.events.or(defaults.events).unwrap_or(Duration::MAX);
            let attempts = kept.attempts.or(defaults.attempts).unwrap_or(Duration::MAX);
            let bodies = kept.bodies.or(defaults.bodies).unwrap_or(Duration::MAX);
            if attempts < events {
                trims.push((tenant.id, Trim::Attempts, attempts));
            }
            if bodies < attempts.min(events) {
                trims.push((tenant.id, Trim::Bodies, bodies));
            }
        }
        let mut others: Vec<TenantId> = own.values().flatten().copied().collect();
        others.sort_unstable();
        let longest = own.last_key_value().map(|(keep, _)| *keep);
        let mut classes: Vec<Class> = Vec::with_capacity(own.len() + 1);
        for (keep, mut tenants) in own {
            tenants.sort_unstable();
            classes.push(Class { keep, members: Members::These(tenants) });
        }
        if let Some(keep) = defaults.events {
            classes.push(Class { keep, members: Members::AllBut(others) });
        }
        let longest = defaults.events.map(|keep| longest.unwrap_or_default().max(keep));
        Self { classes, trims, longest }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{TenantOptions, UnixMillis};

    const DAY: Duration = Duration::from_secs(86_400);

    fn tenant(id: i64, [events, attempts, bodies]: [Option<u32>; 3]) -> Arc<Tenant> {
        let mut options = TenantOptions::default();
        let days = |days: Option<u32>| days.map(|days| DAY * days);
        options.retention.events = days(events);
        options.retention.attempts = days(attempts);
        options.retention.bodies = days(bodies);
        let name = id.to_string();
        Arc::new(Tenant { id: TenantId(id), name, client_id: None, options, created_at: UnixMillis(0) })
    }

    fn defaults(events: Option<u32>, attempts: Option<u32>) -> RetentionDefaults {
        let days = |days: Option<u32>| days.map(|days| DAY * days);
        RetentionDefaults { events: days(events), attempts: days(attempts), bodies: None, names: DAY }
    }

    #[test]
    fn tenants_with_the_same_time_are_in_one_class() {
        let tenants = [
            tenant(1, [None, None, None]),
            tenant(2, [Some(7), None, None]),
            tenant(3, [Some(7), None, None]),
            tenant(4, [Some(30), None, None]),
            tenant(5, [Some(90), None, None]),
        ];
        let policy = Policy::of(&defaults(Some(30), None), &tenants);
        let classes: Vec<_> = policy
            .classes
            .iter()
            .map(|class| (class.keep, (1..=6).filter(|id| class.has(TenantId(*id))).collect::<Vec<_>>()))
            .collect();
        // The sixth is not known any more.
        assert_eq!(classes, [(DAY * 7, vec![2, 3]), (DAY * 90, vec![5]), (DAY * 30, vec![1, 4, 6])]);
        assert_eq!(policy.longest, Some(DAY * 90));
        assert!(policy.classes.iter().all(|class| !class.is_everybody()));
        let policy = Policy::of(&defaults(None, None), &tenants);
        assert_eq!((policy.classes.len(), policy.longest), (3, None));
        assert!(Policy::of(&defaults(Some(30), None), &tenants[..1]).classes[0].is_everybody());
    }

    #[test]
    fn what_is_shorter_than_the_time_of_what_it_belongs_to_is_removed_earlier() {
        for (kept, expected) in [
            ([None, None, None], vec![(Trim::Attempts, 10)]),
            ([Some(5), None, None], vec![]),
            ([None, Some(40), None], vec![]),
            ([None, Some(40), Some(35)], vec![]),
            ([None, Some(40), Some(2)], vec![(Trim::Bodies, 2)]),
            ([None, Some(3), Some(2)], vec![(Trim::Attempts, 3), (Trim::Bodies, 2)]),
        ] {
            let policy = Policy::of(&defaults(Some(30), Some(10)), &[tenant(1, kept)]);
            let expected: Vec<_> =
                expected.into_iter().map(|(what, days)| (TenantId(1), what, DAY * days)).collect();
            assert_eq!(policy.trims, expected, "{kept:?}");
        }
    }
}
