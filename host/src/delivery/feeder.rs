//! Fetches from disk what is due there: retries, what had no room in memory, leases that ended.
//!
//! One loop without input. It looks at the disk, leases what there is room for, and sleeps until the
//! next delivery is due or somebody wakes it; a restart and a normal day run the same code. Many hooks are claimed in
//! one transaction, tenants in turn, so that one with thousands of hooks that fail does not delay others' retries.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Dispatcher;
use super::lanes::Work;
use crate::directory::Directory;
use crate::domain::{HookId, Lease, TenantId, UnixMillis};
use crate::storage::{Claims, DeliveryStore, HookClaim, StorageError};

/// How many deliveries are leased at once, about: a claim is one short transaction.
const CLAIM_AT_MOST: usize = 256;
/// Of how many hooks, each of which is looked up in an index.
const HOOKS_IN_A_CLAIM: usize = 128;
/// For how many hooks room is looked for without a pause.
const AT_A_TIME: usize = 256;
/// After so many claims the disk is asked again who has something due: others may have by then.
const CLAIMS_IN_A_LOOK: usize = 4;
/// How many bytes of events and rendered bodies one claim brings into memory at most, so that the transaction stays short.
const MAX_CLAIM_BYTES: usize = 16 << 20;
/// Where others leave a hook no room, it is looked at again after this.
const WITHOUT_ROOM: Duration = Duration::from_millis(100);
/// After storage failed, the next look is after this.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// The feeder looks at least so often, whatever it believes to be due.
const AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// See the module's head.
pub struct Feeder {
    /// Where what is fetched goes.
    pub dispatcher: Arc<Dispatcher>,
    /// Knows which hooks are enabled.
    pub directory: Arc<Directory>,
    /// The disk.
    pub deliveries: Arc<dyn DeliveryStore>,
}

impl Feeder {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let woken = self.dispatcher.woken();
        loop {
            let now = self.directory.clock().now();
            // Whoever stores something due while the look is under way wakes the next one: this look may
            // have read the disk before.
            self.dispatcher.set_next_look(None);
            let next = match self.look(now, &stop).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot read due deliveries");
                    Some(now.plus(AFTER_FAILURE))
                }
            };
            self.dispatcher.set_next_look(next);
            let sleep = next.map_or(AT_LEAST_EVERY, |next| self.directory.clock().now().until(next));
            tokio::select! {
                () = stop.cancelled() => return,
                () = woken.notified() => {}
                () = tokio::time::sleep(sleep.min(AT_LEAST_EVERY)) => {}
            }
        }
    }

    /// Leases what is due and has room. When something is due next, as far as is known; what is due and
    /// has no room is not counted: the dispatcher wakes the feeder when its lane runs low. At `stop` it ends early, and
    /// where much is due, so that what has become due meanwhile is seen.
    async fn look(
        &self,
        now: UnixMillis,
        stop: &CancellationToken,
    ) -> Result<Option<UnixMillis>, StorageError> {
        let mut next: Option<UnixMillis> = None;
        let (due, later): (Vec<_>, Vec<_>) =
            self.deliveries.backlog().await?.into_iter().partition(|backlog| backlog.first_due_at <= now);
        // Who stored something since has noted it and woken the next look, which finds it.
        // Collected before the lock is taken, under which attempts begin and end.
        let due_hooks = due.iter().map(|backlog| backlog.hook).collect();
        let mut after = None;
        loop {
            after = self.dispatcher.lanes().keep_backlogs(&due_hooks, after, AT_A_TIME);
            if after.is_none() {
                break;
            }
        }
        for backlog in later.iter().filter(|backlog| self.enabled(backlog.hook).is_some()) {
            next = earlier(next, backlog.first_due_at);
        }
        let due = due.into_iter().filter_map(|it| Some((self.enabled(it.hook)?, it.first_due_at)));
        let mut due = in_turns(due.collect());
        for _ in 0..CLAIMS_IN_A_LOOK {
            if due.is_empty() || stop.is_cancelled() {
                return Ok(next);
            }
            let Looked { wanted, max_bytes, without_room } = self.wanted(&mut due);
            if without_room {
                next = earlier(next, now.plus(WITHOUT_ROOM));
            }
            if !wanted.is_empty() {
                next = earlier(next, self.claim(wanted, max_bytes, now).await);
            }
        }
        // Also for what has become due while the others were claimed.
        Ok(if due.is_empty() { next } else { earlier(next, now) })
    }

    /// The hook, if it is there, enabled and readable, with its tenant.
    fn enabled(&self, hook: HookId) -> Option<(HookId, TenantId)> {
        self.directory.hook(hook).filter(|hook| hook.is_sent_to()).map(|hook| (hook.id, hook.tenant))
    }

    /// What is claimed next of the hooks `due`, which are taken from its front.
    fn wanted(&self, due: &mut VecDeque<(HookId, TenantId)>) -> Looked {
        let of_each = (CLAIM_AT_MOST / due.len().clamp(1, HOOKS_IN_A_CLAIM)).max(1);
        let (mut wanted, mut without_room) = (Vec::new(), false);
        let mut of_tenants: HashMap<TenantId, usize> = HashMap::new();
        let (mut lanes, mut looked_at) = (self.dispatcher.lanes(), 0);
        while wanted.len() < HOOKS_IN_A_CLAIM
            && let Some((hook, tenant)) = due.pop_front()
        {
            looked_at += 1;
            if looked_at % AT_A_TIME == 0 {
                // Attempts start and end meanwhile.
                drop(lanes);
                lanes = self.dispatcher.lanes();
            }
            let of_tenant = of_tenants.entry(tenant).or_default();
            let (room, tenant_bytes) = lanes.room_for_claims(hook, tenant, *of_tenant);
            if room == 0 {
                lanes.set_backlog(hook, tenant, true);
                without_room |= !lanes.wakes_feeder(hook);
                continue;
            }
            let limit = room.min(of_each);
            *of_tenant += limit;
            wanted.push(HookClaim {
                hook,
                tenant,
                limit: u32::try_from(limit).unwrap_or(u32::MAX),
                tenant_bytes: tenant_bytes as u64,
            });
        }
        Looked { wanted, max_bytes: MAX_CLAIM_BYTES.min(lanes.free_bytes()) as u64, without_room }
    }

    /// Leases what is `wanted` and hands it on. When there is more to be fetched, as far as is known.
    async fn claim(&self, wanted: Vec<HookClaim>, max_bytes: u64, now: UnixMillis) -> Option<UnixMillis> {
        let mut next = None;
        let lease = Lease::generate(self.directory.ids(), now, now.plus(self.dispatcher.lease()));
        let claims = self.deliveries.claim(wanted.clone(), now, lease, max_bytes).await;
        {
            let (mut lanes, began) = (self.dispatcher.lanes(), Instant::now());
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
                    // What the hook has due later was not looked at.
                    next = earlier(next, now);
                }
                lanes.set_backlog(hook, tenant, more);
                for one in claimed {
                    // Whether there is room for more is asked below.
                    lanes.push_claimed(Work::claimed(one, lease), began);
                }
                // A lane that is well filled wakes the feeder when it runs low.
                if more && !lanes.wakes_feeder(hook) {
                    next = earlier(next, now);
                }
            }
        }
        self.dispatcher.pump();
        next
    }
}

/// What is claimed next.
struct Looked {
    wanted: Vec<HookClaim>,
    /// How many bytes all of it takes at most.
    max_bytes: u64,
    /// There is a hook that nothing in memory wakes the feeder for, since others leave it no room.
    without_room: bool,
}

/// Hooks that have something due, one of each tenant in turn; of a tenant, and of tenants, first what has been due for
/// the longest time.
fn in_turns(mut due: Vec<((HookId, TenantId), UnixMillis)>) -> VecDeque<(HookId, TenantId)> {
    due.sort_by_key(|(_, due_at)| *due_at);
    let mut of_tenants: HashMap<TenantId, usize> = HashMap::new();
    let mut in_turns: Vec<_> = due
        .into_iter()
        .map(|((hook, tenant), _)| {
            let before = of_tenants.entry(tenant).or_default();
            *before += 1;
            (*before, hook, tenant)
        })
        .collect();
    // Stable: within a round the order of the due times stays.
    in_turns.sort_by_key(|(round, ..)| *round);
    in_turns.into_iter().map(|(_, hook, tenant)| (hook, tenant)).collect()
}

fn earlier(so_far: Option<UnixMillis>, at: impl Into<Option<UnixMillis>>) -> Option<UnixMillis> {
    so_far.into_iter().chain(at.into()).min()
}

#[cfg(test)]
mod tests;
