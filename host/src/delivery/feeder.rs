//! Claims due deliveries from disk: retries, deliveries without room in memory, and ended leases.
//!
//! One loop without input. It looks at the disk, leases what there is room for, and sleeps until the next delivery is due or
//! it is woken. A restart and a normal day run the same code. One transaction claims for many hooks, round robin between
//! tenants, so that a tenant with thousands of failing hooks does not delay others' retries.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::round_robin::{DueHook, LOCKED_STEP, RoundRobin};
use super::dispatcher::Dispatcher;
use super::fair_queue::ClaimCapacity;
use super::hook_health::Gate;
use super::work::Work;
use crate::clock;
use crate::directory::Directory;
use crate::domain::{Hook, HookId, Lease, TenantId, UnixMillis};
use crate::log_limiter::LogLimiter;
use crate::sources::Sources;
use crate::storage::{Backlog, Claims, DeliveryStore, HookClaim, StorageError};

/// How many deliveries are claimed at once, about: a claim is one short transaction.
const CLAIM_SIZE: usize = 256;
/// For how many hooks at once. Each costs an index look-up.
const MAX_CLAIM_HOOKS: usize = 128;
/// After this many claims the disk is asked again for due hooks, since others may have become due.
const MAX_CLAIMS: usize = 4;
/// Room in memory that has become free is filled so long after the last look at the earliest, so that a receiver that
/// answers at once does not cause a look for each request.
const BETWEEN_REFILLS: Duration = Duration::from_millis(20);
/// How many bytes of events and rendered requests one claim brings into memory at most, so that its transaction is short.
const MAX_CLAIM_BYTES: usize = 16 << 20;
/// If other tenants leave a hook no room, it is looked at again after this.
const WITHOUT_ROOM: Duration = Duration::from_millis(100);
/// After storage failed, the next look is after this.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// The longest time between two looks.
const MAX_SLEEP: Duration = Duration::from_secs(60);
/// The same if other nodes write what this one delivers.
const MAX_SLEEP_BESIDE_OTHERS: Duration = Duration::from_millis(500);
/// So long after it is due, what others write is still found without looking at each hook: it may be committed late, and
/// clocks differ.
const COMMITTED_LATE: Duration = Duration::from_secs(10);

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

/// What keeps the feeder from its work is logged now and then.
static FAILURES: LogLimiter = LogLimiter::new();

impl Feeder {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let (wakes, refills) = (self.dispatcher.feeder_wakes(), self.dispatcher.refills());
        loop {
            let now = self.sources.now();
            // What becomes due during the look may come after its read, so it wakes the next look.
            self.dispatcher.set_next_look(None);
            let is_full = self.dispatcher.take_full_look() || !self.dispatcher.membership().is_shared();
            let looked = if is_full { self.look(now, &stop).await } else { self.glance(now, &stop).await };
            let next = match looked {
                Ok(next) => next,
                Err(error) => {
                    if let Some(unlogged) = FAILURES.permit() {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(unlogged, error, "cannot read due deliveries");
                    }
                    self.dispatcher.want_full_look();
                    Some(now.plus(AFTER_FAILURE))
                }
            };
            self.dispatcher.set_next_look(next);
            let most =
                if self.dispatcher.membership().is_shared() { MAX_SLEEP_BESIDE_OTHERS } else { MAX_SLEEP };
            let sleep = next.map_or(most, |next| self.sources.now().until(next));
            let refill_at = (clock::monotonic() + BETWEEN_REFILLS).into();
            tokio::select! {
                () = stop.cancelled() => return,
                () = wakes.notified() => {}
                () = refill(&refills, refill_at) => {}
                () = tokio::time::sleep(sleep.min(most)) => {}
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
        let read = self.dispatcher.queue().begin_read();
        let backlog = self.deliveries.backlog().await?;
        let due = backlog.iter().filter(|it| it.first_due_at <= now && self.owns(it.hook));
        let due_hooks = due.map(|backlog| backlog.hook).collect();
        let mut after = None;
        loop {
            after = self.dispatcher.queue().retain_backlogs((&due_hooks, read), after, LOCKED_STEP);
            if after.is_none() {
                break;
            }
        }
        Ok(self.claim_due(backlog, now, stop).await)
    }

    /// The same, but finds only what has become due just now, and what is known to be left: other nodes write what is due for
    /// this one, and to look at each hook all the time would cost too much.
    async fn glance(
        &self,
        now: UnixMillis,
        stop: &CancellationToken,
    ) -> Result<Option<UnixMillis>, StorageError> {
        let from = UnixMillis(now.0 - i64::try_from(COMMITTED_LATE.as_millis()).unwrap_or(0));
        let until = now.plus(MAX_SLEEP_BESIDE_OTHERS);
        let known = self.dispatcher.queue().backlogs();
        let Some(mut backlog) = self.deliveries.due_between(from, until, &known).await? else {
            return self.look(now, stop).await;
        };
        backlog.extend(known.into_iter().map(|hook| Backlog { hook, first_due_at: now }));
        Ok(self.claim_due(backlog, now, stop).await)
    }

    /// Claims what is due of `backlog` and has room. Returns when to look again.
    async fn claim_due(
        &self,
        backlog: Vec<Backlog>,
        now: UnixMillis,
        stop: &CancellationToken,
    ) -> Option<UnixMillis> {
        let mut next: Option<UnixMillis> = None;
        let (due, later): (Vec<_>, Vec<_>) = backlog.into_iter().partition(|it| it.first_due_at <= now);
        for backlog in later.iter().filter(|backlog| self.enabled(backlog.hook).is_some()) {
            next = earlier(next, backlog.first_due_at);
        }
        let due = due.into_iter().filter_map(|it| Some((self.enabled(it.hook)?, it.first_due_at)));
        let due = self.pass_gates(due.collect(), now, &mut next);
        let mut round_robin = RoundRobin::of(&due, &self.dispatcher);
        let mut due = round_robin.sort(due);
        for _ in 0..MAX_CLAIMS {
            if due.is_empty() || stop.is_cancelled() {
                return next;
            }
            let Selection { mut wanted, max_bytes, without_room } = self.select(&mut due, &mut round_robin);
            if without_room {
                next = earlier(next, now.plus(WITHOUT_ROOM));
            }
            self.take_probes(&mut wanted, now, &mut next).await;
            if !wanted.is_empty() {
                next = earlier(next, self.claim(wanted, max_bytes, now).await);
            }
        }
        // If some are left, the next look is at once and also finds what has become due meanwhile.
        if due.is_empty() {
            return next;
        }
        if self.dispatcher.membership().is_shared() {
            // A glance would not find them again.
            let mut queue = self.dispatcher.queue();
            due.into_iter().for_each(|(hook, tenant)| queue.set_backlog(hook, tenant, true));
        }
        earlier(next, now)
    }

    fn owns(&self, hook: HookId) -> bool {
        self.directory.hook(hook).is_some_and(|hook| self.dispatcher.owns(hook.id, hook.tenant))
    }

    /// The hook, if it is there, sends, and is this node's, with its tenant.
    fn enabled(&self, hook: HookId) -> Option<(HookId, TenantId)> {
        let is_wanted =
            |hook: &Arc<Hook>| self.directory.sends(hook) && self.dispatcher.owns(hook.id, hook.tenant);
        self.directory.hook(hook).filter(is_wanted).map(|hook| (hook.id, hook.tenant))
    }

    /// Leaves out hooks whose circuits are open, unless it is time to probe.
    fn pass_gates(
        &self,
        mut due: Vec<DueHook>,
        now: UnixMillis,
        next: &mut Option<UnixMillis>,
    ) -> Vec<DueHook> {
        due.retain(|((hook, tenant), _)| match self.dispatcher.health().gate(*hook, now) {
            Gate::Open | Gate::ProbeDue => true,
            Gate::ShutUntil(until) => {
                // A glance would not find it again.
                self.dispatcher.queue().set_backlog(*hook, *tenant, true);
                *next = earlier(*next, until);
                false
            }
        });
        due
    }

    /// Of `wanted`, leaves out hooks whose circuits are open and that another node probes.
    async fn take_probes(&self, wanted: &mut Vec<HookClaim>, now: UnixMillis, next: &mut Option<UnixMillis>) {
        let health = self.dispatcher.health();
        let is_due = |claim: &&HookClaim| health.gate(claim.hook, now) == Gate::ProbeDue;
        let due = wanted.iter().filter(is_due).filter_map(|claim| self.directory.hook(claim.hook));
        let due: Vec<_> = due.map(|hook| (hook.id, hook.timeout)).collect();
        if due.is_empty() {
            return;
        }
        let taken = health.take_probes(&due, now).await.unwrap_or_else(|error| {
            if let Some(unlogged) = FAILURES.permit() {
                let error = &error as &dyn std::error::Error;
                tracing::error!(unlogged, error, "cannot probe hooks whose circuits are open");
            }
            FxHashSet::default()
        });
        let left_out: HashSet<HookId> =
            due.into_iter().map(|(hook, _)| hook).filter(|hook| !taken.contains(hook)).collect();
        if left_out.is_empty() {
            return;
        }
        *next = earlier(*next, now.plus(AFTER_FAILURE));
        let mut queue = self.dispatcher.queue();
        wanted.retain(|claim| {
            let is_left_out = left_out.contains(&claim.hook);
            if is_left_out {
                // A glance would not find it again.
                queue.set_backlog(claim.hook, claim.tenant, true);
            }
            !is_left_out
        });
    }

    /// Selects what is claimed next, and takes its hooks from the front of `due`.
    fn select(&self, due: &mut VecDeque<(HookId, TenantId)>, round_robin: &mut RoundRobin) -> Selection {
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
            let sharing = round_robin.take(hook, tenant);
            let ClaimCapacity { deliveries, tenant_bytes } = queue.claim_capacity(hook, tenant, *of_tenant);
            if deliveries == 0 {
                queue.set_backlog(hook, tenant, true);
                without_room |= !queue.wakes_feeder(hook);
                continue;
            }
            // One probes the receiver.
            let is_probe = self.dispatcher.health().is_shut(hook);
            let share = queue.share_of_room((hook, tenant), *of_tenant, sharing);
            let limit = if is_probe { 1 } else { deliveries.min(of_each).min(share) };
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
        let term = self.dispatcher.term();
        let lease = Lease::generate(&self.sources.ids, now, now.plus(self.dispatcher.lease()));
        let read = self.dispatcher.queue().begin_read();
        let claims = self.deliveries.claim(wanted.clone(), now, lease, max_bytes).await;
        {
            let (mut queue, started_at) = (self.dispatcher.queue(), clock::monotonic());
            for (HookClaim { hook, tenant, .. }, claims) in wanted.into_iter().zip(claims) {
                let Claims { claimed, more } = match claims {
                    Ok(claims) => claims,
                    Err(error) => {
                        // One failure concerns many hooks.
                        if let Some(unlogged) = FAILURES.permit() {
                            let error = &error as &dyn std::error::Error;
                            tracing::error!(%hook, unlogged, error, "cannot lease deliveries");
                        }
                        next = earlier(next, now.plus(AFTER_FAILURE));
                        continue;
                    }
                };
                if !claimed.is_empty() {
                    // When the hook has something due next was not read.
                    next = earlier(next, now);
                }
                match more {
                    true => queue.set_backlog(hook, tenant, true),
                    false => queue.end_backlog(hook, read),
                }
                for one in claimed {
                    // Whether there is room for more is checked below.
                    queue.push_claimed(Work::claimed(one, lease, term), started_at);
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

/// Ends when there is room to fill, but not before `at`.
async fn refill(refills: &Notify, at: tokio::time::Instant) {
    refills.notified().await;
    tokio::time::sleep_until(at).await;
}

fn earlier(so_far: Option<UnixMillis>, at: impl Into<Option<UnixMillis>>) -> Option<UnixMillis> {
    so_far.into_iter().chain(at.into()).min()
}

mod round_robin;

#[cfg(test)]
mod tests;
