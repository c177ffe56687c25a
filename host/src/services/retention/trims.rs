//! Removes the attempts, or only the bodies, of tenants that keep these for less time than their events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::left_behind::{Left, LeftBehind};
use super::policy::Policy;
use super::steps::{STEP, Steps, Stopped, TIME_EACH, VISITED};
use crate::clock;
use crate::domain::{DeliveryId, TenantId};
use crate::storage::Trim;

/// A tenant, and what is removed of it.
pub(super) type TrimKey = (TenantId, Trim);

/// How far each tenant is trimmed.
#[derive(Default)]
pub(super) struct Trims(BTreeMap<TrimKey, TrimPass>);

/// How far a tenant's attempts are trimmed.
struct TrimPass {
    done: DeliveryId,
    left: LeftBehind,
}

impl Default for TrimPass {
    fn default() -> Self {
        Self { done: DeliveryId(0), left: LeftBehind::default() }
    }
}

impl Trims {
    /// Begins all of them again.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Begins one again: after a failure, what it was to look at again may be lost.
    pub(super) fn begin_again(&mut self, key: TrimKey) {
        self.0.remove(&key);
    }

    /// Forgets tenants that keep everything as long as their events.
    pub(super) fn follow(&mut self, policy: &Policy) {
        let wanted: BTreeSet<_> = policy.trims.iter().map(|(tenant, what, _)| (*tenant, *what)).collect();
        self.0.retain(|key, _| wanted.contains(key));
    }

    /// Removes of one tenant what is too old now, for some time at most.
    pub(super) async fn run(
        &mut self,
        steps: &mut Steps,
        key: TrimKey,
        keep: Duration,
    ) -> Result<(), Stopped> {
        let began = clock::monotonic();
        let state = self.0.entry(key).or_default();
        while clock::elapsed(began) < TIME_EACH {
            let too_old = steps.sources.now().minus(keep);
            let until = DeliveryId(DeliveryId::first_at(too_old).0 - 1);
            let again = state.left.due(clock::monotonic());
            let visited = steps.store.deliveries_between(key, state.done, until, VISITED).await?;
            let last = visited.last().map(|(id, _)| *id);
            let visited = visited.into_iter().filter(|(_, has)| *has).map(|(id, _)| id);
            let wanted: Vec<_> = again.into_iter().map(|left| DeliveryId(left.id)).chain(visited).collect();
            for ids in wanted.chunks(STEP) {
                let trimmed = steps.store.trim_attempts(key.0, ids, key.1, too_old).await?;
                steps.counters.add(trimmed.deleted);
                let kept = trimmed.kept.into_iter().map(|id| Left { id: id.0, tenant: key.0, bytes: 0 });
                state.left.add(kept, clock::monotonic());
                steps.pause(Duration::ZERO, keep).await?;
            }
            match last {
                Some(last) => state.done = last,
                None => break,
            }
        }
        Ok(())
    }
}
