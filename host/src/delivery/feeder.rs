//! Claims due deliveries from disk: retries, deliveries without room in memory, and ended leases.
//!
//! One loop without input. It looks at the disk, leases what there is room for, and sleeps until the next delivery is due or
//! it is woken. A restart and a normal day run the same code. One transaction claims for many hooks, round robin between
//! tenants, so that a tenant with thousands of failing hooks does not delay others' retries.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::dispatcher::Dispatcher;
use super::fair_queue::ClaimCapacity;
use super::work::Work;
use crate::clock;
use crate::directory::Directory;
use crate::domain::{HookId, Lease, TenantId, UnixMillis};
use crate::sources::Sources;
use crate::storage::{Claims, DeliveryStore, HookClaim, StorageError};

/// How many deliveries are claimed at once, about: a claim is one short transaction.
const CLAIM_SIZE: usize = 256;
/// For how many hooks at once. Each costs an index look-up.
const MAX_CLAIM_HOOKS: usize = 128;
/// How many hooks are looked at under one lock of the queue.
const LOCKED_STEP: usize = 256;
/// After this many claims the disk is asked again for due hooks, since others may have become due.
const MAX_CLAIMS: usize = 4;
/// How many bytes of events and rendered requests one claim brings into memory at most, so that its transaction is short.
const MAX_CLAIM_BYTES: usize = 16 << 20;
/// If other tenants leave a hook no room, it is looked at again after this.
const WITHOUT_ROOM: Duration = Duration::from_millis(100);
/// After storage failed, the next look is after this.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// The longest time between two looks.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// See the module's head.
pub struct Feeder {
    /// Time, and ids of leases.
    pub sources: Sources,
    /// Takes what is claimed.
    pub dispatcher: Arc<Dispatcher>,
    /// Knows which hooks are enabled.
    pub directory: Arc<Directory>,
    /// The disk.
    pub deliveries: Arc<dyn DeliveryStore>,
}

impl Feeder {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let wakes = self.dispatcher.feeder_wakes();
        loop {
            let now = self.sources.now();
            // What becomes due during the look may come after its read, so it wakes the next look.
            self.dispatcher.set_next_look(None);
            let next = match self.look(now, &stop).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot read due deliveries");
                    Some(now.plus(AFTER_FAILURE))
                }
            };
            self.dispatcher.set_next_look(next);
            let sleep = next.map_or(MAX_SLEEP, |next| self.sources.now().until(next));
            tokio::select! {
                () = stop.cancelled() => return,
                () = wakes.notified() => {}
                () = tokio::time::sleep(sleep.min(MAX_SLEEP)) => {}
            }
        }
    }

    /// Claims what is due and has room. Returns when to look again. What is due and has no room is not counted, because
    /// the dispatcher wakes the feeder when the hook's queue runs low. The look ends early at `stop`, and after some claims
    /// so that what has become due meanwhile is seen.
    async fn look(
        &self,
        now: UnixMillis,
        stop: &CancellationToken,
    ) -> Result<Option<UnixMillis>, StorageError> {
        let mut next: Option<UnixMillis> = None;
        let (due, later): (Vec<_>, Vec<_>) =
            self.deliveries.backlog().await?.into_iter().partition(|backlog| backlog.first_due_at <= now);
        // A backlog that was noted after the disk was read is forgotten too early, but it also woke the next look.
        let due_hooks = due.iter().map(|backlog| backlog.hook).collect();
        let mut after = None;
        loop {
            after = self.dispatcher.queue().retain_backlogs(&due_hooks, after, LOCKED_STEP);
            if after.is_none() {
                break;
            }
        }
        for backlog in later.iter().filter(|backlog| self.enabled(backlog.hook).is_some()) {
            next = earlier(next, backlog.first_due_at);
        }
        let due = due.into_iter().filter_map(|it| Some((self.enabled(it.hook)?, it.first_due_at)));
        let mut due = round_robin(due.collect());
        for _ in 0..MAX_CLAIMS {
            if due.is_empty() || stop.is_cancelled() {
                return Ok(next);
            }
            let Selection { wanted, max_bytes, without_room } = self.select(&mut due);
            if without_room {
                next = earlier(next, now.plus(WITHOUT_ROOM));
            }
            if !wanted.is_empty() {
                next = earlier(next, self.claim(wanted, max_bytes, now).await);
            }
        }
        // If some are left, the next look is at once and also finds what has become due meanwhile.
        Ok(if due.is_empty() { next } else { earlier(next, now) })
    }

    /// The hook, if it is there, enabled and readable, with its tenant.
    fn enabled(&self, hook: HookId) -> Option<(HookId, TenantId)> {
        self.directory.hook(hook).filter(|hook| hook.is_sent_to()).map(|hook| (hook.id, hook.tenant))
    }

    /// Selects what is claimed next, and takes its hooks from the front of `due`.
    fn select(&self, due: &mut VecDeque<(HookId, TenantId)>) -> Selection {
        let of_each = (CLAIM_SIZE / due.len().clamp(1, MAX_CLAIM_HOOKS)).max(1);
        let (mut wanted, mut without_room) = (Vec::new(), false);
        let mut of_tenants: HashMap<TenantId, usize> = HashMap::new();
        let (mut queue, mut looked_at) = (self.dispatcher.queue(), 0);
        while wanted.len() < MAX_CLAIM_HOOKS
            && let Some((hook, tenant)) = due.pop_front()
        {
            looked_at += 1;
            if looked_at % LOCKED_STEP == 0 {
                // Attempts start and end meanwhile.
                drop(queue);
                queue = self.dispatcher.queue();
            }
            let of_tenant = of_tenants.entry(tenant).or_default();
            let ClaimCapacity { deliveries, tenant_bytes } = queue.claim_capacity(hook, tenant, *of_tenant);
            if deliveries == 0 {
                queue.set_backlog(hook, tenant, true);
                without_room |= !queue.wakes_feeder(hook);
                continue;
            }
            let limit = deliveries.min(of_each);
            *of_tenant += limit;
            wanted.push(HookClaim {
                hook,
                tenant,
                limit: u32::try_from(limit).unwrap_or(u32::MAX),
                tenant_bytes: tenant_bytes as u64,
            });
        }
        Selection { wanted, max_bytes: MAX_CLAIM_BYTES.min(queue.claimable_bytes()) as u64, without_room }
    }

    /// Claims what is `wanted` and queues it. Returns when to look again for more of it.
    async fn claim(&self, wanted: Vec<HookClaim>, max_bytes: u64, now: UnixMillis) -> Option<UnixMillis> {
        let mut next = None;
        let lease = Lease::generate(&self.sources.ids, now, now.plus(self.dispatcher.lease()));
        let claims = self.deliveries.claim(wanted.clone(), now, lease, max_bytes).await;
        {
            let (mut queue, started_at) = (self.dispatcher.queue(), clock::monotonic());
            for (HookClaim { hook, tenant, .. }, claims) in wanted.into_iter().zip(claims) {
                let Claims { claimed, more } = match claims {
                    Ok(claims) => claims,
                    Err(error) => {
                        tracing::error!(%hook, error = &error as &dyn std::error::Error, "cannot lease deliveries");
                        next = earlier(next, now.plus(AFTER_FAILURE));
                        continue;
                    }
                };
                if !claimed.is_empty() {
                    // When the hook has something due next was not read.
                    next = earlier(next, now);
                }
                queue.set_backlog(hook, tenant, more);
                for one in claimed {
                    // Whether there is room for more is checked below.
                    queue.push_claimed(Work::claimed(one, lease), started_at);
                }
                // A full queue wakes the feeder when it runs low.
                if more && !queue.wakes_feeder(hook) {
                    next = earlier(next, now);
                }
            }
        }
        self.dispatcher.pump();
        next
    }
}

/// What is claimed next.
struct Selection {
    wanted: Vec<HookClaim>,
    /// How many bytes all of it takes at most.
    max_bytes: u64,
    /// Other tenants leave a hook no room, and nothing in memory wakes the feeder for it.
    without_room: bool,
}

/// Sorts hooks that have something due: round robin between tenants, and what has been due for the longest time first.
fn round_robin(mut due: Vec<((HookId, TenantId), UnixMillis)>) -> VecDeque<(HookId, TenantId)> {
    due.sort_by_key(|(_, due_at)| *due_at);
    let mut of_tenants: HashMap<TenantId, usize> = HashMap::new();
    let mut round_robin: Vec<_> = due
        .into_iter()
        .map(|((hook, tenant), _)| {
            let before = of_tenants.entry(tenant).or_default();
            *before += 1;
            (*before, hook, tenant)
        })
        .collect();
    // The sort is stable: within a round, hooks stay in the order of their due times.
    round_robin.sort_by_key(|(round, ..)| *round);
    round_robin.into_iter().map(|(_, hook, tenant)| (hook, tenant)).collect()
}

fn earlier(so_far: Option<UnixMillis>, at: impl Into<Option<UnixMillis>>) -> Option<UnixMillis> {
    so_far.into_iter().chain(at.into()).min()
}

#[cfg(test)]
mod tests;
