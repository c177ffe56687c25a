//! Removes the attempts, or only the bodies, of tenants that keep these for less time than their events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::left_behind::{Left, LeftBehind};
use super::parts::Parts;
use super::policy::Policy;
use super::steps::{AfterFailure, Steps, Stopped, TIME_EACH, VISITED};
use crate::clock;
use crate::domain::{DeliveryId, TenantId, UnixMillis};
use crate::storage::Trim;

/// A tenant, and what is removed of it.
pub(super) type TrimKey = (TenantId, Trim);

/// A tenant that sends all the time is looked at again after this part of the time for which it keeps something.
const LOOK_PART: u32 = 100;
/// The shortest time until then, and the longest.
const MIN_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT_IF_BUSY: Duration = Duration::from_secs(60);
/// An idle tenant is looked at after this at the latest: the clock may have been set.
const MAX_WAIT: Duration = Duration::from_secs(3_600);

/// How far each tenant is trimmed.
#[derive(Default)]
pub(super) struct Trims(BTreeMap<TrimKey, TrimPass>);

/// How far a tenant's attempts are trimmed.
struct TrimPass {
    keep: Duration,
    done: DeliveryId,
    left: LeftBehind,
    /// Until then, no other delivery is too old.
    next_look: Option<Instant>,
}

impl TrimPass {
    fn of(keep: Duration) -> Self {
        Self { keep, done: DeliveryId(0), left: LeftBehind::default(), next_look: None }
    }

    /// Removes what deliveries have that is too old, of some at a time. One that fails is set aside.
    async fn trim(
        &mut self,
        steps: &mut Steps,
        (tenant, what): TrimKey,
        deliveries: &[DeliveryId],
        too_old: UnixMillis,
    ) -> Result<(), Stopped> {
        let left = |id: DeliveryId| Left { id: id.0, tenant, bytes: 0 };
        let (began, mut parts) = (clock::monotonic(), Parts::of(deliveries));
        steps.forget_failures();
        while let Some(ids) = parts.next() {
            match steps.store.trim_attempts(tenant, ids, what, too_old).await {
                Ok(trimmed) => {
                    steps.forget_failures();
                    steps.counters.add(trimmed.deleted);
                    self.left.add(trimmed.kept.into_iter().map(left), clock::monotonic());
                }
                Err(error) => match steps.failed(ids.len(), &error) {
                    AfterFailure::Halve => parts.halve(ids),
                    AfterFailure::SetAside => {
                        steps.tell_set_aside("attempts of a delivery", &ids[0], tenant, &error);
                        self.left.set_aside(left(ids[0]), clock::monotonic());
                    }
                    AfterFailure::Leave if error.is_outage() => return Err(error.into()),
                    AfterFailure::Leave => {
                        self.left.add(ids.iter().copied().map(left), clock::monotonic());
                        steps.go_on("attempts", Err(Stopped::Failed(error)))?;
                    }
                },
            }
            steps.pause(Duration::ZERO, self.keep).await?;
            if clock::elapsed(began) >= TIME_EACH {
                self.left.add(parts.rest().copied().map(left), clock::monotonic());
                return Ok(());
            }
        }
        Ok(())
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

    /// Removes of one tenant what is too old now, for some time at most. Does not ask the database until something may have become
    /// too old: most of many tenants are idle.
    pub(super) async fn run(
        &mut self,
        steps: &mut Steps,
        key: TrimKey,
        keep: Duration,
    ) -> Result<(), Stopped> {
        let began = clock::monotonic();
        let state = self.0.entry(key).or_insert_with(|| TrimPass::of(keep));
        if state.keep != keep {
            (state.keep, state.next_look) = (keep, None);
        }
        while clock::elapsed(began) < TIME_EACH {
            let too_old = steps.sources.trusted_now().minus(keep);
            let until = DeliveryId(DeliveryId::first_at(too_old).0 - 1);
            let again = state.left.due(clock::monotonic());
            let is_time = state.next_look.is_none_or(|at| at <= clock::monotonic());
            let visited = match is_time {
                true => steps.store.deliveries_between(key, state.done, until, VISITED).await?,
                false => Vec::new(),
            };
            let last = visited.last().map(|(id, _)| *id);
            let visited = visited.into_iter().filter(|(_, has)| *has).map(|(id, _)| id);
            let wanted: Vec<_> = again.into_iter().map(|left| DeliveryId(left.id)).chain(visited).collect();
            state.trim(steps, key, &wanted, too_old).await?;
            if let Some(last) = last {
                state.done = last;
                continue;
            }
            if is_time {
                let next = steps.store.deliveries_between(key, state.done, DeliveryId(i64::MAX), 1).await?;
                let wait = next_look(next.first().map(|(id, _)| *id), keep, steps.sources.trusted_now());
                state.next_look = Some(clock::monotonic() + wait);
            }
            break;
        }
        Ok(())
    }
}

/// After what time to look again, if the oldest delivery that was not looked at is `next`. What is made from now on is too old after
/// `keep`.
pub(super) fn next_look(next: Option<DeliveryId>, keep: Duration, now: UnixMillis) -> Duration {
    let oldest = next.map_or(now, DeliveryId::created_at).min(now);
    let soonest = (keep / LOOK_PART).clamp(MIN_WAIT, MAX_WAIT_IF_BUSY);
    now.until(oldest.plus(keep)).clamp(soonest, MAX_WAIT)
}
