//! Deletes what is kept only for some time, in the background and in small steps.
//!
//! Tenants whose events are kept for the same time are a [`Class`](policy::Class). A pass over all events, oldest first, deletes
//! those of its tenants and goes on from there the next time. An event with a delivery that is not final is left behind, and
//! looked at again.
//!
//! A step deletes some events in one transaction, which the database's writer shares with others, and waits before the next one.
//! The more events are too old, the shorter it waits: it keeps up with any rate of acceptance, and disturbs little otherwise.
//! A step that fails goes on in halves. A single row that fails, since it is damaged for example, is logged and set aside for an
//! hour.

mod counters;
mod left_behind;
mod parts;
mod passes;
mod policy;
mod steps;
mod trims;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use counters::RetentionCounters;
use passes::{Held, Passes};
use policy::Policy;
pub use policy::RetentionDefaults;
use steps::{OtherNodeDeletes, Steps, Stopped, TIME_EACH};
use trims::Trims;

use crate::clock;
use crate::directory::Directory;
use crate::domain::{EventKey, NodeNumber, UnixMillis};
use crate::sources::Sources;
use crate::storage::{OverdueBytes, RetentionStore, TenantUsageStore};

/// How often it looks for what has become too old.
const EVERY: Duration = Duration::from_secs(1);
/// How often it looks for what can be deleted as whole days.
const SELDOM: Duration = Duration::from_secs(15);
/// Attempts that were under way at an erasure end within this time.
const LATE_ATTEMPTS: Duration = Duration::from_secs(600);
/// How many names one step deletes.
const NAMES: u32 = 1_000;
/// How often it tidies up.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// Entries of indexes are left alone that may still get deliveries.
const UNCHANGED_AFTER: Duration = Duration::from_secs(3_600);
/// How often it stores how much it had to leave, if that has changed.
const REPORTED_EVERY: Duration = Duration::from_secs(5);
/// How often it stores that anyway: a node that has lost the lease may have stored what it knew.
const REPORTED_AGAIN_EVERY: Duration = Duration::from_secs(60);

/// See the module's head.
pub struct Retention {
    steps: Steps,
    directory: Arc<Directory>,
    usage: Arc<dyn TenantUsageStore>,
    defaults: RetentionDefaults,
    passes: Passes,
    trims: Trims,
    seldom_at: Option<Instant>,
    tidied_at: Option<Instant>,
    /// How much it had to leave when it stored that last.
    reported: Option<OverdueBytes>,
    reported_at: Option<Instant>,
}

impl Retention {
    /// For `node`, which deletes if no other node does.
    #[must_use]
    pub fn new(
        sources: Sources,
        directory: Arc<Directory>,
        (store, usage): (Arc<dyn RetentionStore>, Arc<dyn TenantUsageStore>),
        node: NodeNumber,
        defaults: RetentionDefaults,
    ) -> Self {
        let (passes, trims) = (Passes::new(), Trims::default());
        let steps = Steps::new(sources, store, node);
        let (seldom_at, tidied_at, reported, reported_at) = (None, None, None, None);
        Self { steps, directory, usage, defaults, passes, trims, seldom_at, tidied_at, reported, reported_at }
    }

    /// What this process has deleted.
    #[must_use]
    pub fn counters(&self) -> Arc<RetentionCounters> {
        Arc::clone(&self.steps.counters)
    }

    /// Deletes until the future is dropped.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(OtherNodeDeletes) = self.pass().await {
                // What another node leaves behind is unknown here.
                self.passes.clear();
                self.trims.clear();
                self.reported = None;
            }
        }
    }

    /// Does each part for a while. One that fails does not keep the others from going on.
    async fn pass(&mut self) -> Result<(), OtherNodeDeletes> {
        let renewed = self.steps.renew().await;
        if !self.steps.go_on("lease", renewed)? {
            return Ok(());
        }
        let now = self.steps.sources.trusted_now();
        let policy = Policy::of(&self.defaults, &self.directory.tenants());
        // This deletes nothing because of its age, and erasures carry the time that the clock showed.
        let late = self.steps.store.erase_late(self.steps.sources.now().minus(LATE_ATTEMPTS)).await;
        self.steps.go_on("erased content", late)?;
        self.passes.follow(&policy);
        self.trims.follow(&policy);
        self.delete_events(&policy, now).await?;
        for (tenant, what, keep) in &policy.trims {
            let done = self.trims.run(&mut self.steps, (*tenant, *what), *keep).await;
            if !self.steps.go_on("attempts", done)? {
                self.trims.begin_again((*tenant, *what));
            }
        }
        let done = self.forget_names(&policy, now).await;
        self.steps.go_on("ids", done)?;
        let done = self.tidy(now).await;
        self.steps.go_on("space", done)?;
        Ok(())
    }

    async fn delete_events(&mut self, policy: &Policy, now: UnixMillis) -> Result<(), OtherNodeDeletes> {
        let held = match policy.classes.is_empty() {
            true => Ok(Vec::new()),
            false => self.steps.store.held_by_replays().await,
        };
        let held = match held {
            Ok(held) => held,
            // Otherwise, what they are about to send would be deleted.
            Err(error) => return self.steps.go_on("replays", Err(error)).map(drop),
        };
        let done = self.seldom(policy, now, &held).await;
        self.steps.go_on("days", done)?;
        for index in 0..self.passes.count() {
            let done = self.passes.run(&mut self.steps, index, &held).await;
            self.steps.go_on("events", done)?;
        }
        let done = self.report_overdue().await;
        self.steps.go_on("usage", done)?;
        Ok(())
    }

    async fn seldom(&mut self, policy: &Policy, now: UnixMillis, held: &Held) -> Result<(), Stopped> {
        if self.seldom_at.is_some_and(|at| clock::elapsed(at) < SELDOM) {
            return Ok(());
        }
        self.seldom_at = Some(clock::monotonic());
        self.steps.renew().await?;
        let store = &self.steps.store;
        if let Some(longest) = policy.longest.filter(|_| store.deletes_days()) {
            let until = EventKey(EventKey::first_at(now.minus(longest)).0 - 1);
            // A replay holds its own tenant's events: those of others in the same days are deleted one by one.
            let held_from = held.iter().map(|(_, after, _)| *after).min().filter(|after| *after < until);
            let (deleted, singly) = store.delete_days(held_from.unwrap_or(until)).await?;
            self.steps.counters.add(deleted);
            self.passes.singly_until = if held_from.is_some() { EventKey(i64::MAX) } else { singly };
        }
        Ok(())
    }

    /// Stores how much is kept although it is too old: it counts against the limits of tenants, on all nodes.
    async fn report_overdue(&mut self) -> Result<(), Stopped> {
        let since = self.reported_at.map(clock::elapsed);
        if since.is_some_and(|since| since < REPORTED_EVERY) {
            return Ok(());
        }
        // What was stored before a start holds until everything was looked at.
        let Some(overdue) = self.passes.overdue() else { return Ok(()) };
        let is_old = since.is_none_or(|since| since >= REPORTED_AGAIN_EVERY);
        if is_old || self.reported.as_ref() != Some(&overdue) {
            self.steps.renew().await?;
            self.usage.set_overdue(&overdue).await?;
            (self.reported, self.reported_at) = (Some(overdue), Some(clock::monotonic()));
        }
        Ok(())
    }

    async fn forget_names(&mut self, policy: &Policy, now: UnixMillis) -> Result<(), Stopped> {
        let known_from = now.minus(self.defaults.names);
        // An event is found by its sender's id as long as it is kept.
        let before = policy.longest.map_or(UnixMillis(0), |keep| now.minus(keep.max(self.defaults.names)));
        loop {
            let forgotten = self.steps.store.forget_names(known_from, before, NAMES).await?;
            self.steps.counters.ids.fetch_add(forgotten, std::sync::atomic::Ordering::Relaxed);
            if forgotten == 0 {
                return Ok(());
            }
            self.steps.pause_briefly().await?;
        }
    }

    async fn tidy(&mut self, now: UnixMillis) -> Result<(), Stopped> {
        if self.tidied_at.is_some_and(|at| clock::elapsed(at) < TIDY_EVERY) {
            return Ok(());
        }
        let began = clock::monotonic();
        self.tidied_at = Some(began);
        while clock::elapsed(began) < TIME_EACH && self.steps.store.tidy(now.minus(UNCHANGED_AFTER)).await? {
            self.steps.pause_briefly().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
