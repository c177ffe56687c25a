//! Flow control of hooks and tenants: how many requests are sent at a time, and how many in a second. Most have none.

use std::sync::Arc;
use std::time::Duration;

use super::flow_map::FlowMap;
use super::{BatchOptions, HookId, Invalid, Members, Owned, TenantId};

/// What a hook asks for. A new member needs a default, a line in the JSON of the options' column, and a member of v3.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flow {
    /// The most requests in flight, at least one. The engine's own limit holds, too.
    pub max_in_flight: Option<u32>,
    /// The most requests in a second.
    pub max_per_second: Option<Rate>,
    /// How events are sent together, if they are.
    pub batch: Option<BatchOptions>,
}

impl Flow {
    /// For options: none if nothing is asked for.
    #[must_use]
    pub fn into_option(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }

    /// Whether only the hook's owner may send its deliveries, because what is asked for cannot be divided between nodes.
    #[must_use]
    pub fn is_for_owner_only(&self) -> bool {
        self.max_per_second.is_some()
    }
}

/// A number of requests in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// In millionths, so that rates can be compared.
    millionths: u64,
}

impl Rate {
    /// The lowest rate that can be asked for.
    pub const MIN: f64 = 0.01;
    /// The highest.
    pub const MAX: f64 = 10_000.0;

    /// A rate in requests per second, rounded to millionths.
    ///
    /// # Errors
    /// If it is not from 0.01 to 10,000.
    pub fn per_second(rate: f64) -> Result<Self, Invalid> {
        if (Self::MIN..=Self::MAX).contains(&rate) {
            return Ok(Self::nearest(rate));
        }
        Err(Invalid::new("a rate must be from 0.01 to 10,000 requests per second"))
    }

    /// The nearest rate within the bounds.
    #[must_use]
    pub fn nearest(rate: f64) -> Self {
        Self { millionths: (rate.clamp(Self::MIN, Self::MAX) * 1e6).round() as u64 }
    }

    /// A rate in requests per minute, at least one.
    #[must_use]
    pub fn per_minute(rate: u32) -> Self {
        Self { millionths: u64::from(rate.max(1)) * 1_000_000 / 60 }
    }

    /// The number of requests in a second.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.millionths as f64 / 1e6
    }

    /// The time between two requests.
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_nanos(1_000_000_000_000_000 / self.millionths)
    }

    /// The number of requests in `time`, rounded up.
    #[must_use]
    pub fn in_time(self, time: Duration) -> usize {
        (self.as_f64() * time.as_secs_f64()).ceil() as usize
    }
}

/// The flow control of all hooks and tenants that have some. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Flows {
    /// That of hooks.
    pub hooks: FlowMap<HookId, Arc<Flow>>,
    /// The rates of tenants. Each holds for all hooks of the tenant together.
    pub tenants: FlowMap<TenantId, Rate>,
    /// How many requests of tenants may be in flight on a node, where that differs from the settings.
    pub in_flight: FlowMap<TenantId, u32>,
}

impl Flows {
    /// Whether no hook and no tenant has any that decides which node sends.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty() && self.tenants.is_empty()
    }

    /// Whether this and `other` are clones of the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.hooks.is_same(&other.hooks)
            && self.tenants.is_same(&other.tenants)
            && self.in_flight.is_same(&other.in_flight)
    }

    /// How many requests of `tenant` a node may have in flight, if the setting says `default`.
    #[must_use]
    pub fn in_flight_of(&self, tenant: TenantId, default: usize) -> usize {
        self.in_flight.get(&tenant).map_or(default, |most| *most as usize)
    }

    /// By what the owner of `hook` is chosen. One node owns all hooks of a tenant that has a rate.
    #[must_use]
    pub fn owned(&self, hook: HookId, tenant: TenantId) -> Owned {
        if self.tenants.contains_key(&tenant) { Owned::HooksOf(tenant) } else { Owned::Hook(hook) }
    }

    /// How many requests of `hook` a node may have in flight beside the other `members`, if the engine's limit is `limit`.
    #[must_use]
    pub fn share(&self, members: &Members, limit: usize, (hook, tenant): (HookId, TenantId)) -> usize {
        let flow = self.hooks.get(&hook).map(|flow| &**flow);
        let own_limit = flow.and_then(|flow| flow.max_in_flight).map_or(usize::MAX, |most| most as usize);
        let (limit, owned) = (own_limit.min(limit), self.owned(hook, tenant));
        let is_for_owner_only = flow.is_some_and(Flow::is_for_owner_only) || owned != Owned::Hook(hook);
        match is_for_owner_only {
            true if members.owns(owned) => limit,
            true => 0,
            false => members.share(limit, hook),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::members::agreed;

    #[test]
    fn a_rate_has_bounds_and_keeps_six_decimals() {
        for (given, interval) in [(0.01, 100_000_000_000), (50.0, 20_000_000), (10_000.0, 100_000)] {
            let rate = Rate::per_second(given).unwrap();
            assert_eq!((rate.as_f64(), rate.interval()), (given, Duration::from_nanos(interval)));
        }
        for given in [0.0, 0.009_999, 10_000.1, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Rate::per_second(given).is_err(), "{given}");
        }
        assert_eq!(Rate::per_minute(120), Rate::per_second(2.0).unwrap());
        assert!(Rate::per_minute(0).interval() > Duration::from_secs(59));
        let slow = Rate::per_second(0.01).unwrap();
        assert_eq!((slow.in_time(Duration::from_secs(10)), slow.in_time(Duration::from_secs(101))), (1, 2));
    }

    #[test]
    fn what_cannot_be_divided_is_the_owners() {
        let (tenant, other) = (TenantId(1), TenantId(2));
        let flow =
            |max_in_flight, max_per_second| Arc::new(Flow { max_in_flight, max_per_second, batch: None });
        let rate = Rate::per_second(5.0).unwrap();
        let hooks = [(1, flow(Some(2), None)), (2, flow(Some(7), None)), (3, flow(None, Some(rate)))];
        let hooks = hooks.map(|(hook, flow)| (HookId(hook), flow));
        let tenants = [(other, rate)].into_iter().collect();
        let flows = Flows { hooks: hooks.into_iter().collect(), tenants, ..Flows::default() };
        let nodes = [[1, 2, 3], [2, 3, 1], [3, 1, 2]].map(|nodes| agreed(&nodes));
        let shares = |hook, tenant| {
            let mut shares = nodes.each_ref().map(|node| flows.share(node, 10, (HookId(hook), tenant)));
            shares.sort_unstable();
            shares
        };
        assert_eq!(shares(1, tenant), [0, 0, 2], "it cannot be divided");
        assert_eq!(shares(2, tenant), [2, 2, 3]);
        assert_eq!(shares(3, tenant), [0, 0, 10]);
        assert_eq!(shares(4, tenant), [3, 3, 4], "it has no flow control");
        assert_eq!(shares(2, other), [0, 0, 7]);
        let owners = |tenant| {
            let owner = |hook| nodes[0].owner(flows.owned(HookId(hook), tenant));
            let mut owners: Vec<_> = (1..100).map(owner).collect();
            owners.dedup();
            owners.len()
        };
        assert_eq!(owners(other), 1, "all hooks of a tenant with a rate have one owner");
        assert!(owners(tenant) > 10);
    }
}
