//! Fetches from disk what is due there: retries, what had no room in memory, leases that ended.
//!
//! One loop without input. It looks at the disk, leases what there is room for, and sleeps until the
//! next delivery is due or somebody wakes it; a restart and a normal day run the same code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Dispatcher;
use super::lanes::Work;
use crate::directory::Directory;
use crate::domain::{HookId, UnixMillis};
use crate::storage::{Claims, DeliveryStore, StorageError};

/// How many deliveries are leased at once: a claim is one short transaction.
const CLAIM_AT_MOST: usize = 256;
/// How many bytes of events and rendered bodies a claim brings into memory.
const CLAIM_BYTES: u64 = 16 * 1024 * 1024;
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
    /// has no room is not counted: the dispatcher wakes the feeder when its lane runs low. At `stop` it ends early.
    async fn look(
        &self,
        now: UnixMillis,
        stop: &CancellationToken,
    ) -> Result<Option<UnixMillis>, StorageError> {
        let mut next: Option<UnixMillis> = None;
        let backlogs = self.deliveries.backlog().await?;
        // Who stored something since has noted it and woken the next look, which finds it.
        let due = backlogs.iter().filter(|backlog| backlog.first_due_at <= now).map(|backlog| backlog.hook);
        self.dispatcher.lanes().keep_backlogs(&due.collect());
        for backlog in backlogs {
            if stop.is_cancelled() {
                break;
            }
            let Some(hook) = self.directory.hook(backlog.hook).filter(|hook| hook.enabled) else { continue };
            if backlog.first_due_at > now {
                next = earlier(next, backlog.first_due_at);
                continue;
            }
            let limit = self.dispatcher.lanes().room_for_claims(hook.id, hook.tenant).min(CLAIM_AT_MOST);
            let lease_until = now.plus(self.dispatcher.lease());
            let Claims { claimed, more } = match self.claim(hook.id, now, lease_until, limit).await {
                Ok(claims) => claims,
                Err(error) => {
                    // One hook's damaged row must not hold up the others.
                    tracing::error!(hook = %hook.id, error = &error as &dyn std::error::Error, "cannot lease deliveries");
                    next = earlier(next, now.plus(AFTER_FAILURE));
                    continue;
                }
            };
            if !claimed.is_empty() {
                // What the hook has due later was not looked at.
                next = earlier(next, now);
            }
            {
                let mut lanes = self.dispatcher.lanes();
                lanes.set_backlog(hook.id, hook.tenant, more);
                let started = Instant::now();
                claimed
                    .into_iter()
                    .for_each(|one| lanes.push_claimed(Work::claimed(one, lease_until), started));
                // A lane that is well filled wakes the feeder when it runs low. One that others leave no
                // room has nothing that could wake it.
                if more && !lanes.wakes_feeder(hook.id) {
                    let again = if limit > 0 { now } else { now.plus(WITHOUT_ROOM) };
                    next = earlier(next, again);
                }
            }
            self.dispatcher.pump();
        }
        Ok(next)
    }

    async fn claim(
        &self,
        hook: HookId,
        now: UnixMillis,
        lease_until: UnixMillis,
        limit: usize,
    ) -> Result<Claims, StorageError> {
        if limit == 0 {
            return Ok(Claims { claimed: Vec::new(), more: true });
        }
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        self.deliveries.claim(hook, now, lease_until, limit, CLAIM_BYTES).await
    }
}

fn earlier(so_far: Option<UnixMillis>, at: UnixMillis) -> Option<UnixMillis> {
    Some(so_far.map_or(at, |so_far| so_far.min(at)))
}
