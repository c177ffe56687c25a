//! Deletes what is kept only for some time, in the background and in small steps.
//!
//! Tenants whose events are kept for the same time are a [`Class`]. A pass over all events, oldest first, deletes those of its
//! tenants and goes on from there the next time. An event with a delivery that is not final is left behind, and looked at again.
//!
//! A step deletes some events in one transaction, which the database's writer shares with others, and waits before the next one.
//! The more events are too old, the shorter it waits: it keeps up with any rate of acceptance, and disturbs little otherwise.

mod counters;
mod left_behind;
mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use counters::RetentionCounters;
use left_behind::LeftBehind;
pub use policy::RetentionDefaults;
use policy::{Class, Policy};

use crate::clock;
use crate::directory::Directory;
use crate::domain::{DeliveryId, EventKey, NodeNumber, TenantId, UnixMillis};
use crate::log_limiter::LogLimiter;
use crate::sources::Sources;
use crate::storage::{RetentionStore, StorageError, Trim};

/// How often it looks for what has become too old.
const EVERY: Duration = Duration::from_secs(1);
/// How many events one look visits.
const VISITED: u32 = 1_000;
/// How many events or deliveries one step deletes.
const STEP: usize = 50;
/// How long it waits after a step if nothing is late.
const PAUSE: Duration = Duration::from_millis(50);
/// If events are late by more than this part of the time for which they are kept, it does not wait.
const LATE_PART: u32 = 100;
/// How long one class or tenant may take before it is the next one's turn.
const TIME_EACH: Duration = Duration::from_secs(5);
/// How often it tells other nodes that it goes on.
const RENEWED_EVERY: Duration = Duration::from_secs(10);
/// How often it looks for what can be deleted as whole days.
const SELDOM: Duration = Duration::from_secs(15);
/// Attempts that were under way at an erasure end within this time.
const LATE_ATTEMPTS: Duration = Duration::from_secs(600);
/// Days are deleted as a whole if events are kept at least for so many of them.
const WHOLE_DAYS: Duration = Duration::from_secs(7 * 86_400);
/// How many names one step deletes.
const NAMES: u32 = 1_000;
/// How often it tidies up.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// Entries of indexes are left alone that may still get deliveries.
const UNCHANGED_AFTER: Duration = Duration::from_secs(3_600);

/// See the module's head.
pub struct Retention {
    sources: Sources,
    directory: Arc<Directory>,
    store: Arc<dyn RetentionStore>,
    node: NodeNumber,
    defaults: RetentionDefaults,
    counters: Arc<RetentionCounters>,
    passes: Vec<Pass>,
    trims: BTreeMap<(TenantId, Trim), TrimPass>,
    renewed_at: Option<Instant>,
    seldom_at: Option<Instant>,
    tidied_at: Option<Instant>,
    /// If whole days are deleted: up to which event the others are deleted one by one.
    singly_until: EventKey,
}

/// How far the events of a class are deleted.
struct Pass {
    class: Class,
    /// All events up to this one were looked at.
    done: EventKey,
    left: LeftBehind,
}

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

/// Another node deletes.
struct OtherNodeDeletes;

enum Stopped {
    OtherNodeDeletes,
    Failed(StorageError),
}

impl From<StorageError> for Stopped {
    fn from(error: StorageError) -> Self {
        Self::Failed(error)
    }
}

impl From<OtherNodeDeletes> for Stopped {
    fn from(OtherNodeDeletes: OtherNodeDeletes) -> Self {
        Self::OtherNodeDeletes
    }
}

/// Events that replays are about to send.
type Held = [(TenantId, EventKey, EventKey)];

impl Retention {
    /// For `node`, which deletes if no other node does.
    #[must_use]
    pub fn new(
        sources: Sources,
        directory: Arc<Directory>,
        store: Arc<dyn RetentionStore>,
        node: NodeNumber,
        defaults: RetentionDefaults,
    ) -> Self {
        let (passes, trims) = (Vec::new(), BTreeMap::new());
        let counters = Arc::default();
        let (renewed_at, seldom_at, tidied_at, singly_until) = (None, None, None, EventKey(0));
        Self {
            sources,
            directory,
            store,
            node,
            defaults,
            counters,
            passes,
            trims,
            renewed_at,
            seldom_at,
            tidied_at,
            singly_until,
        }
    }

    /// What this process has deleted.
    #[must_use]
    pub fn counters(&self) -> Arc<RetentionCounters> {
        Arc::clone(&self.counters)
    }

    /// Deletes until the future is dropped.
    pub async fn run(mut self) {
        let failures = LogLimiter::new();
        loop {
            tokio::time::sleep(EVERY).await;
            match self.pass().await {
                Ok(()) | Err(Stopped::OtherNodeDeletes) => {}
                Err(Stopped::Failed(error)) => {
                    // What was to be looked at again may be lost: everything is.
                    (self.passes, self.trims, self.renewed_at) = (Vec::new(), BTreeMap::new(), None);
                    if let Some(unlogged) = failures.permit() {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(
                            error,
                            unlogged,
                            "cannot delete what is older than its retention; trying again"
                        );
                    }
                }
            }
        }
    }

    async fn pass(&mut self) -> Result<(), Stopped> {
        self.renew().await?;
        let now = self.sources.now();
        let policy = Policy::of(&self.defaults, &self.directory.tenants());
        let held = match policy.classes.is_empty() {
            true => Vec::new(),
            false => self.store.held_by_replays().await?,
        };
        self.store.erase_late(now.minus(LATE_ATTEMPTS)).await?;
        self.seldom(&policy, now, &held).await?;
        self.follow(&policy);
        for index in 0..self.passes.len() {
            self.delete_class(index, &held).await?;
        }
        for (tenant, what, keep) in &policy.trims {
            self.trim((*tenant, *what), *keep).await?;
        }
        self.forget_names(&policy, now).await?;
        if self.tidied_at.is_some_and(|at| clock::elapsed(at) < TIDY_EVERY) {
            return Ok(());
        }
        let began = clock::monotonic();
        self.tidied_at = Some(began);
        while clock::elapsed(began) < TIME_EACH {
            if !self.store.tidy(now.minus(UNCHANGED_AFTER)).await? {
                break;
            }
            self.renew().await?;
            tokio::time::sleep(PAUSE / 5).await;
        }
        Ok(())
    }

    /// Goes on only if no other node deletes meanwhile.
    async fn renew(&mut self) -> Result<(), Stopped> {
        if self.renewed_at.is_some_and(|at| clock::elapsed(at) < RENEWED_EVERY) {
            return Ok(());
        }
        if !self.store.takes_lease(self.node).await? {
            // What another node leaves behind is unknown here.
            (self.passes, self.trims, self.renewed_at) = (Vec::new(), BTreeMap::new(), None);
            return Err(OtherNodeDeletes.into());
        }
        self.renewed_at = Some(clock::monotonic());
        Ok(())
    }

    /// A class whose time or tenants changed begins again: events that it has passed may be too old now.
    fn follow(&mut self, policy: &Policy) {
        self.passes.retain(|pass| policy.classes.contains(&pass.class));
        for class in &policy.classes {
            if !self.passes.iter().any(|pass| pass.class == *class) {
                self.passes.push(Pass {
                    class: class.clone(),
                    done: EventKey(0),
                    left: LeftBehind::default(),
                });
            }
        }
        let wanted: BTreeSet<_> = policy.trims.iter().map(|(tenant, what, _)| (*tenant, *what)).collect();
        self.trims.retain(|key, _| wanted.contains(key));
    }

    async fn seldom(&mut self, policy: &Policy, now: UnixMillis, held: &Held) -> Result<(), Stopped> {
        if self.seldom_at.is_some_and(|at| clock::elapsed(at) < SELDOM) {
            return Ok(());
        }
        self.seldom_at = Some(clock::monotonic());
        if let Some(longest) = policy.longest.filter(|_| self.store.deletes_days()) {
            let until = EventKey(EventKey::first_at(now.minus(longest)).0 - 1);
            // A replay holds its own tenant's events: those of others in the same days are deleted one by one.
            let held_from = held.iter().map(|(_, after, _)| *after).min().filter(|after| *after < until);
            let (deleted, singly) = self.store.delete_days(held_from.unwrap_or(until)).await?;
            self.counters.add(deleted);
            self.singly_until = if held_from.is_some() { EventKey(i64::MAX) } else { singly };
        }
        Ok(())
    }

    async fn delete_class(&mut self, index: usize, held: &Held) -> Result<(), Stopped> {
        let began = clock::monotonic();
        let Some(Pass { class, .. }) = self.passes.get(index) else { return Ok(()) };
        let class = class.clone();
        let by_days = self.store.deletes_days() && class.is_everybody() && class.keep >= WHOLE_DAYS;
        let most = if by_days { self.singly_until } else { EventKey(i64::MAX) };
        let again = self.passes[index].left.due(clock::monotonic());
        let again = again.into_iter().map(|(key, tenant)| (EventKey(key), tenant)).collect();
        for events in self.without_held(index, again, held).chunks(STEP) {
            self.delete(index, events).await?;
            self.pause(Duration::ZERO, class.keep).await?;
        }
        while clock::elapsed(began) < TIME_EACH {
            let too_old = self.sources.now().minus(class.keep);
            let until = EventKey(EventKey::first_at(too_old).0 - 1).min(most);
            let done = self.passes[index]
                .left
                .begin_again(clock::monotonic())
                .map_or(self.passes[index].done, |key| EventKey(key - 1));
            let visited = self.store.events_between(done, until, VISITED).await?;
            let Some((last, _)) = visited.last().copied() else {
                self.passes[index].done = done;
                break;
            };
            let events = visited.into_iter().filter(|(_, tenant)| class.has(*tenant)).collect();
            for events in self.without_held(index, events, held).chunks(STEP) {
                self.delete(index, events).await?;
                let late_by = too_old.0 - events[0].0.created_at().0;
                self.pause(Duration::from_millis(u64::try_from(late_by).unwrap_or(0)), class.keep).await?;
            }
            self.passes[index].done = last;
        }
        Ok(())
    }

    /// Leaves those behind that replays hold, and returns the others.
    fn without_held(
        &mut self,
        index: usize,
        events: Vec<(EventKey, TenantId)>,
        held: &Held,
    ) -> Vec<(EventKey, TenantId)> {
        let (held_now, events): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|event| is_held(held, *event));
        self.leave(index, held_now);
        events
    }

    /// Deletes events. Those that must wait are left behind.
    async fn delete(&mut self, index: usize, events: &[(EventKey, TenantId)]) -> Result<(), Stopped> {
        let keys: Vec<_> = events.iter().map(|(key, _)| *key).collect();
        let done = self.store.delete_events(&keys).await?;
        self.counters.add(done.deleted);
        let kept: BTreeSet<_> = done.kept.into_iter().collect();
        self.leave(index, events.iter().copied().filter(|(key, _)| kept.contains(key)));
        Ok(())
    }

    fn leave(&mut self, index: usize, events: impl IntoIterator<Item = (EventKey, TenantId)>) {
        let events = events.into_iter().map(|(key, tenant)| (key.0, tenant));
        self.passes[index].left.add(events, clock::monotonic());
    }

    /// Waits after a step, if what it deleted was not late by much.
    async fn pause(&mut self, late_by: Duration, keep: Duration) -> Result<(), Stopped> {
        let late = (keep / LATE_PART).max(Duration::from_secs(1));
        let left = 1.0 - late_by.as_secs_f64() / late.as_secs_f64();
        if left > 0.0 {
            tokio::time::sleep(PAUSE.mul_f64(left)).await;
        }
        self.renew().await
    }

    async fn trim(&mut self, key: (TenantId, Trim), keep: Duration) -> Result<(), Stopped> {
        let began = clock::monotonic();
        while clock::elapsed(began) < TIME_EACH {
            let too_old = self.sources.now().minus(keep);
            let until = DeliveryId(DeliveryId::first_at(too_old).0 - 1);
            let state = self.trims.entry(key).or_default();
            let (done, mut wanted) = (state.done, state.left.due(clock::monotonic()));
            let visited = self.store.deliveries_between(key, done, until, VISITED).await?;
            let last = visited.last().map(|(id, _)| *id);
            wanted.extend(visited.into_iter().filter(|(_, has)| *has).map(|(id, _)| (id.0, key.0)));
            for ids in wanted.chunks(STEP) {
                let ids: Vec<_> = ids.iter().map(|(id, _)| DeliveryId(*id)).collect();
                let trimmed = self.store.trim_attempts(key.0, &ids, key.1, too_old).await?;
                self.counters.add(trimmed.deleted);
                self.trims
                    .entry(key)
                    .or_default()
                    .left
                    .add(trimmed.kept.into_iter().map(|id| (id.0, key.0)), clock::monotonic());
                self.pause(Duration::ZERO, keep).await?;
            }
            match last {
                Some(last) => self.trims.entry(key).or_default().done = last,
                None => break,
            }
        }
        Ok(())
    }

    async fn forget_names(&mut self, policy: &Policy, now: UnixMillis) -> Result<(), Stopped> {
        let known_from = now.minus(self.defaults.names);
        // An event is found by its sender's id as long as it is kept.
        let before = policy.longest.map_or(UnixMillis(0), |keep| now.minus(keep.max(self.defaults.names)));
        loop {
            let forgotten = self.store.forget_names(known_from, before, NAMES).await?;
            self.counters.ids.fetch_add(forgotten, std::sync::atomic::Ordering::Relaxed);
            if forgotten == 0 {
                return Ok(());
            }
            tokio::time::sleep(PAUSE / 5).await;
            self.renew().await?;
        }
    }
}

/// Whether a replay of its tenant is about to send the event.
fn is_held(held: &Held, (event, tenant): (EventKey, TenantId)) -> bool {
    held.iter().any(|(owner, after, until)| *owner == tenant && *after < event && event <= *until)
}

#[cfg(test)]
pub(super) mod tests;
